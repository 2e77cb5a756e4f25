// What clients in C++ have in common: the cases, on connections that each library makes in its own way.
#pragma once

#include <algorithm>
#include <exception>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

// Event is what comes from the server: a "text" or "binary" message, a "pong", or the "close", which says code and reason.
struct Event {
  std::string kind, data;
};

// Connection is one of the library's, that of a client.
struct Connection {
  virtual ~Connection() = default;
  virtual void send(const std::string& data, bool binary) = 0;
  virtual void sendFragments(const std::vector<std::string>& fragments) = 0;
  virtual void ping(const std::string& data) = 0;
  virtual void close(int code, const std::string& reason) = 0;
  virtual Event next() = 0;  // waits for it
  virtual std::string subprotocol() = 0;
};

// Dial opens a connection, or throws.
using Dial = std::function<std::unique_ptr<Connection>(const std::string& url, const std::vector<std::string>& subprotocols)>;

const std::vector<std::pair<std::string, std::string>> headers = {{"Cookie", "session=s1"}, {"X-Interop", "from the client"}};

inline std::string join(const std::vector<std::string>& parts, const std::string& between = "") {
  if (parts.empty()) return "";
  return std::accumulate(parts.begin() + 1, parts.end(), parts[0], [&](const std::string& a, const std::string& b) { return a + between + b; });
}

// closed is the close with a code and reason.
inline Event closed(int code, const std::string& reason = "") {
  return {"close", std::to_string(code) + (reason.empty() ? "" : " " + reason)};
}

// Url is ws://HOST:PORT/TARGET.
struct Url {
  std::string host, port, target;
  explicit Url(const std::string& url) {
    size_t colon = url.find(':', 5), slash = url.find('/', 5);
    host = url.substr(5, colon - 5);
    port = url.substr(colon + 1, slash - colon - 1);
    target = url.substr(slash);
  }
};

inline std::string quote(const std::string& s) {
  std::string quoted = "\"";
  for (unsigned char c : s) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c < ' ' ? ' ' : c;
  }
  return quoted + '"';
}

inline std::string expect(Connection& c, const std::string& kind, const std::string& want) {
  Event e = c.next();
  return e.kind == kind && e.data == want ? "ok" : e.kind + " of " + std::to_string(e.data.size()) + " bytes: " + e.data.substr(0, 40);
}

inline std::string exchange(Connection& c, const std::string& data, const std::string& want, bool binary = false) {
  c.send(data, binary);
  return expect(c, binary ? "binary" : "text", want);
}

// answer sends a command and tells what comes back.
inline std::string answer(Connection& c, const std::string& command) {
  c.send(command, false);
  return c.next().data;
}

// goThrough goes through the cases, apart from those that the library has no means for, and prints the report.
inline void goThrough(const std::string& endpoint, const Dial& dial, const std::vector<std::string>& without = {}) {
  std::string longText, chars = "aé€😀", random(1 << 20, 0);
  for (int i = 0; i < (1 << 20) / 10; i++) longText += chars;
  std::generate(random.begin(), random.end(), std::mt19937());
  std::string seven("\x00\x01\x02\x7f\x80\xfe\xff", 7), middle;  // of which too much remains for one fragment when it is compressed
  for (int i = 0; i < 9000; i += 3) middle += {'\xe5', static_cast<char>(0x80 + (random[i] & 0x3f)), static_cast<char>(0x80 + (random[i + 1] & 0x3f))};
  std::vector<std::string> fragments = {"xy", middle, "ending"};

  std::map<std::string, std::function<std::string(Connection&)>> cases = {
      {"text", [](auto& c) { return exchange(c, "hello", "hello"); }},
      {"binary", [&](auto& c) { return exchange(c, seven, seven, true); }},
      {"empty", [](auto& c) { return exchange(c, "", ""); }},
      {"text 1 MiB", [&](auto& c) { return exchange(c, longText + "abcdef", longText + "abcdef"); }},
      {"binary 1 MiB", [&](auto& c) { return exchange(c, random, random, true); }},
      {"fragmented",
       [&](auto& c) {
         c.sendFragments(fragments);
         return expect(c, "text", join(fragments));
       }},
      {"many",
       [](auto& c) {
         for (int i = 0; i < 100; i++) c.send(std::to_string(i), false);
         std::string result = "ok";
         for (int i = 0; i < 100 && result == "ok"; i++) result = expect(c, "text", std::to_string(i));
         return result;
       }},
      {"subprotocol", [](auto& c) { return c.subprotocol(); }},
      {"cookie", [](auto& c) { return answer(c, "!cookie"); }},
      {"header", [](auto& c) { return answer(c, "!header"); }},
      {"client ping",
       [](auto& c) {
         c.ping("are you there");
         return expect(c, "pong", "are you there");
       }},
      {"server ping", [](auto& c) { return exchange(c, "!ping", "!pong"); }},
      {"client close",
       [](auto& c) {
         c.close(3001, "done");
         return c.next().data;
       }},
      {"server close", [](auto& c) { return answer(c, "!close 4001 bye"); }},
      {"kill", [](auto& c) { return answer(c, "!kill"); }},
  };
  for (auto& name : without) cases.erase(name);

  std::vector<std::string> results;
  for (auto& [name, run] : cases) {
    std::string result, query = name;
    for (char& c : query) c = c == ' ' ? '+' : c;
    try {
      auto subprotocols = name == "subprotocol" ? std::vector<std::string>{"v2.example", "v1.example"} : std::vector<std::string>{};
      result = run(*dial(endpoint + "?case=" + query, subprotocols));
    } catch (const std::exception& e) {
      result = e.what();
    }
    results.push_back(quote(name) + ":" + quote(result));
  }
  std::cout << "{" << join(results, ",") << "}" << std::endl;
}
