// Boost.Beast: "server PORT" is an echo server, "client URL" goes through the cases, and "deflate URL LIST" sends
// back what comes, on one connection for each of the options for permessage-deflate, until that is closed. A server's
// options are in the query of the URL: ?deflate={}.
#include <boost/asio.hpp>
#include <boost/beast.hpp>
#include <boost/property_tree/json_parser.hpp>
#include <thread>

#include "../cpp/cases.hpp"
#include "../cpp/terms.hpp"

namespace beast = boost::beast;
namespace http = beast::http;
namespace websocket = beast::websocket;
using boost::asio::ip::tcp;
using WebSocket = websocket::stream<tcp::socket>;

boost::asio::io_context context;

websocket::permessage_deflate deflate(const Terms& terms) {
  websocket::permessage_deflate d;
  d.server_enable = d.client_enable = true;
  d.server_max_window_bits = terms.get("server_max_window_bits", 15);
  d.client_max_window_bits = terms.get("client_max_window_bits", 15);
  d.server_no_context_takeover = terms.get("server_no_context_takeover", false);
  d.client_no_context_takeover = terms.get("client_no_context_takeover", false);
  return d;
}

void connect(WebSocket& ws, const Url& url) {
  beast::get_lowest_layer(ws).connect({boost::asio::ip::make_address(url.host), static_cast<uint16_t>(std::stoi(url.port))});
}

struct BeastConnection : Connection {
  WebSocket ws{context};
  websocket::response_type response;
  std::vector<std::string> pongs;

  BeastConnection(const Url& url, const std::vector<std::string>& subprotocols) {
    connect(ws, url);
    ws.set_option(deflate({}));
    ws.set_option(websocket::stream_base::decorator([&](websocket::request_type& request) {
      for (auto& [name, value] : headers) request.set(name, value);
      if (!subprotocols.empty()) request.set(http::field::sec_websocket_protocol, join(subprotocols, ", "));
    }));
    ws.handshake(response, url.host, url.target);
    // It comes while a message is read, so that one has to be on its way.
    ws.control_callback([this](websocket::frame_type kind, beast::string_view data) {
      if (kind == websocket::frame_type::pong) pongs.emplace_back(data);
    });
  }

  void send(const std::string& data, bool binary) override {
    ws.binary(binary);
    ws.write(boost::asio::buffer(data));
  }

  void sendFragments(const std::vector<std::string>& fragments) override {
    ws.text(true);
    for (auto& fragment : fragments) ws.write_some(&fragment == &fragments.back(), boost::asio::buffer(fragment));
  }

  void ping(const std::string& data) override {
    ws.ping({data.data(), data.size()});
    send("after the pong", false);
  }

  void close(int code, const std::string& reason) override { ws.close({static_cast<websocket::close_code>(code), reason}); }

  Event next() override {
    beast::flat_buffer buffer;
    beast::error_code failed;
    ws.read(buffer, failed);
    if (!pongs.empty()) return {"pong", pongs[0]};
    if (!failed) return {ws.got_binary() ? "binary" : "text", beast::buffers_to_string(buffer.data())};
    if (failed == boost::asio::error::eof || failed == boost::asio::error::connection_reset) return closed(1006);
    return closed(ws.reason().code, ws.reason().reason.c_str());
  }

  std::string subprotocol() override { return response[http::field::sec_websocket_protocol].to_string(); }
};

// echo sends back what comes, and obeys commands when there is a request.
void echo(WebSocket& ws, const websocket::request_type* request) {
  ws.control_callback([&](websocket::frame_type kind, beast::string_view data) {
    if (kind != websocket::frame_type::pong || data != "are you there") return;
    ws.text(true);
    ws.write(boost::asio::buffer("!pong", 5));
  });
  for (;;) {
    beast::flat_buffer buffer;
    ws.read(buffer);
    std::istringstream words(beast::buffers_to_string(buffer.data()));
    std::string verb, reason;
    unsigned code = 0;
    if (request && ws.got_text()) words >> verb >> code >> reason;
    ws.binary(ws.got_binary());
    if (verb == "!close") {
      return ws.close({static_cast<websocket::close_code>(code), reason});
    } else if (verb == "!kill") {
      return;
    } else if (verb == "!ping") {
      ws.ping("are you there");
    } else if (verb == "!cookie") {
      ws.write(boost::asio::buffer(request->at(http::field::cookie).to_string()));
    } else if (verb == "!header") {
      ws.write(boost::asio::buffer(request->at("X-Interop").to_string()));
    } else {
      ws.write(buffer.data());
    }
  }
}

void serve(tcp::socket socket) {
  beast::flat_buffer buffer;
  websocket::request_type request;
  http::read(socket, buffer, request);
  WebSocket ws(std::move(socket));
  if (auto terms = termsOf(request.target().to_string())) ws.set_option(deflate(*terms));
  if (request[http::field::sec_websocket_protocol].find("v1.example") != beast::string_view::npos)
    ws.set_option(websocket::stream_base::decorator(
        [](websocket::response_type& response) { response.set(http::field::sec_websocket_protocol, "v1.example"); }));
  ws.accept(request);
  echo(ws, &request);
}

int main(int, char** args) {
  std::string role = args[1];
  if (role == "client") {
    goThrough(args[2], [](auto& url, auto& subprotocols) { return std::make_unique<BeastConnection>(Url(url), subprotocols); });
  } else if (role == "deflate") {
    int i = 0;
    for (auto& [_, terms] : parseTerms(args[3])) try {
        Url url(args[2] + ("?case=" + std::to_string(i++)));
        WebSocket ws(context);
        connect(ws, url);
        ws.set_option(deflate(terms));
        ws.handshake(url.host, url.target);
        echo(ws, nullptr);
      } catch (const std::exception& e) {
        std::cerr << "case " << i - 1 << ": " << e.what() << std::endl;
      }
  } else {
    tcp::acceptor acceptor(context, {boost::asio::ip::make_address("127.0.0.1"), static_cast<uint16_t>(std::stoi(args[2]))});
    for (;;) std::thread([socket = acceptor.accept()]() mutable {
        try {
          serve(std::move(socket));
        } catch (const std::exception& e) {
          std::cerr << e.what() << std::endl;
        }
      }).detach();
  }
}
