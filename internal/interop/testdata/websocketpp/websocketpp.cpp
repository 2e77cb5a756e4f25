// WebSocket++ with permessage-deflate: "server PORT" is an echo server, "client URL" goes through the cases, and
// "deflate URL LIST" sends back what comes, on as many connections as the list is long, one after the other.
#include <deque>
#include <websocketpp/client.hpp>
#include <websocketpp/config/asio_no_tls.hpp>
#include <websocketpp/config/asio_no_tls_client.hpp>
#include <websocketpp/extensions/permessage_deflate/enabled.hpp>
#include <websocketpp/server.hpp>

#include "../cpp/cases.hpp"
#include "../cpp/terms.hpp"

namespace opcode = websocketpp::frame::opcode;

template <class Base>
struct Deflating : Base {
  struct permessage_deflate_config {};
  using permessage_deflate_type = websocketpp::extensions::permessage_deflate::enabled<permessage_deflate_config>;
};

using Client = websocketpp::client<Deflating<websocketpp::config::asio_client>>;
using Server = websocketpp::server<Deflating<websocketpp::config::asio>>;

Client client;

struct WebsocketppConnection : Connection {
  Client::connection_ptr connection;
  std::shared_ptr<std::deque<Event>> events = std::make_shared<std::deque<Event>>();  // handlers may be called later

  WebsocketppConnection(const std::string& url, const std::vector<std::string>& subprotocols) {
    websocketpp::lib::error_code failed;
    connection = client.get_connection(url, failed);
    if (failed) throw websocketpp::exception(failed);
    for (auto& [name, value] : headers) connection->append_header(name, value);
    for (auto& subprotocol : subprotocols) connection->add_subprotocol(subprotocol);
    auto to = events;
    connection->set_open_handler([to](auto) { to->push_back({"open", ""}); });
    connection->set_fail_handler([to](auto handle) { to->push_back({"close", client.get_con_from_hdl(handle)->get_ec().message()}); });
    connection->set_message_handler([to](auto, auto message) {
      to->push_back({message->get_opcode() == opcode::binary ? "binary" : "text", message->get_payload()});
    });
    connection->set_pong_handler([to](auto, auto data) { to->push_back({"pong", data}); });
    connection->set_close_handler([to](auto handle) {
      auto connection = client.get_con_from_hdl(handle);
      to->push_back(closed(connection->get_remote_close_code(), connection->get_remote_close_reason()));
    });
    client.connect(connection);
    if (Event e = next(); e.kind != "open") throw std::runtime_error(e.data);
  }

  ~WebsocketppConnection() override { connection->get_raw_socket().close(); }

  void send(const std::string& data, bool binary) override { connection->send(data, binary ? opcode::binary : opcode::text); }

  void sendFragments(const std::vector<std::string>& fragments) override {
    for (auto& fragment : fragments) {
      auto message = connection->get_message(&fragment == &fragments.front() ? opcode::text : opcode::continuation, fragment.size());
      message->set_payload(fragment);
      message->set_fin(&fragment == &fragments.back());
      connection->send(message);
    }
  }

  void ping(const std::string& data) override { connection->ping(data); }

  void close(int code, const std::string& reason) override { connection->close(code, reason); }

  Event next() override {
    while (events->empty()) client.run_one();
    Event e = events->front();
    events->pop_front();
    return e;
  }

  std::string subprotocol() override { return connection->get_response_header("Sec-WebSocket-Protocol"); }
};

void serve(Server& server, websocketpp::connection_hdl handle, const std::string& data, opcode::value type) {
  auto connection = server.get_con_from_hdl(handle);
  std::istringstream words(type == opcode::text ? data : "");
  std::string verb, reason;
  int code = 0;
  words >> verb >> code >> reason;
  if (verb == "!close") {
    connection->close(code, reason);
  } else if (verb == "!kill") {
    connection->get_raw_socket().close();
  } else if (verb == "!ping") {
    connection->ping("are you there");
  } else if (verb == "!cookie") {
    connection->send(connection->get_request_header("Cookie"));
  } else if (verb == "!header") {
    connection->send(connection->get_request_header("X-Interop"));
  } else {
    connection->send(data, type);
  }
}

int main(int, char** args) {
  std::string role = args[1];
  if (role == "server") {
    Server server;
    server.clear_access_channels(websocketpp::log::alevel::all);
    server.init_asio();
    server.set_validate_handler([&](auto handle) {
      auto connection = server.get_con_from_hdl(handle);
      for (auto& asked : connection->get_requested_subprotocols())
        if (asked == "v1.example") connection->select_subprotocol(asked);
      return true;
    });
    server.set_message_handler([&](auto handle, auto message) { serve(server, handle, message->get_payload(), message->get_opcode()); });
    server.set_pong_handler([&](auto handle, auto data) { server.send(handle, data == "are you there" ? "!pong" : "pong " + data, opcode::text); });
    server.listen("127.0.0.1", args[2]);
    server.start_accept();
    server.run();
    return 0;
  }
  client.clear_access_channels(websocketpp::log::alevel::all);
  client.init_asio();
  if (role == "client") {
    goThrough(args[2], [](auto& url, auto& subprotocols) { return std::make_unique<WebsocketppConnection>(url, subprotocols); });
    return 0;
  }
  for (size_t i = 0; i < parseTerms(args[3]).size(); i++) {
    WebsocketppConnection connection(args[2] + ("?case=" + std::to_string(i)), {});
    for (Event e = connection.next(); e.kind != "close"; e = connection.next()) connection.send(e.data, e.kind == "binary");
  }
}
