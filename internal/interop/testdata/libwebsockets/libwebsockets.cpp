// libwebsockets: "server PORT" is an echo server, with permessage-deflate, and "client URL" goes through the cases,
// without: a client of 4.1 that has agreed to it never gets past a message that is not compressed.
#include <libwebsockets.h>
#include <sys/socket.h>

#include <deque>
#include <sstream>

#include "../cpp/cases.hpp"

struct Outgoing {
  int type;
  std::string data;
};

// Session is what either end has of a connection.
struct Session {
  std::deque<Outgoing> outgoing;
  std::string written;  // is deflated piece by piece, and so must stay until the next is written
  std::string receiving;
  std::deque<Event> events;
  Event end = closed(1006);
  int code = 0;  // of the close that is to be sent
  std::string reason, cookie, header, subprotocol;
};

void enqueue(lws* wsi, int type, const std::string& data) {
  static_cast<Session*>(lws_get_opaque_user_data(wsi))->outgoing.push_back({type, data});
  lws_callback_on_writable(wsi);
}

// serve does with an event what a server does.
void serve(lws* wsi, Session& session, const Event& e) {
  std::istringstream words(e.kind == "text" ? e.data : "");
  std::string verb;
  words >> verb;
  if (e.kind == "pong") {
    enqueue(wsi, LWS_WRITE_TEXT, e.data == "are you there" ? "!pong" : "pong " + e.data);
  } else if (verb == "!close") {
    words >> session.code >> session.reason;
    lws_callback_on_writable(wsi);
  } else if (verb == "!kill") {
    shutdown(lws_get_socket_fd(wsi), SHUT_RDWR);
  } else if (verb == "!ping") {
    enqueue(wsi, LWS_WRITE_PING, "are you there");
  } else if (verb == "!cookie") {
    enqueue(wsi, LWS_WRITE_TEXT, session.cookie);
  } else if (verb == "!header") {
    enqueue(wsi, LWS_WRITE_TEXT, session.header);
  } else {
    enqueue(wsi, e.kind == "binary" ? LWS_WRITE_BINARY : LWS_WRITE_TEXT, e.data);
  }
}

// write sends what is next, and returns whether the connection lasts.
int write(lws* wsi, Session& session) {
  if (!session.outgoing.empty()) {
    auto [type, data] = session.outgoing.front();
    session.outgoing.pop_front();
    session.written = std::string(LWS_PRE, 0) + data;
    lws_write(wsi, reinterpret_cast<unsigned char*>(&session.written[LWS_PRE]), data.size(), static_cast<lws_write_protocol>(type));
    lws_callback_on_writable(wsi);
  } else if (session.code) {
    auto reason = reinterpret_cast<unsigned char*>(session.reason.data());
    lws_close_reason(wsi, static_cast<lws_close_status>(session.code), reason, session.reason.size());
    return -1;
  }
  return 0;
}

int callback(lws* wsi, lws_callback_reasons why, void*, void* in, size_t length) {
  auto session = static_cast<Session*>(lws_get_opaque_user_data(wsi));
  auto data = static_cast<unsigned char*>(in);
  char field[64];
  switch (why) {
    case LWS_CALLBACK_ESTABLISHED:
      session = new Session;
      lws_set_opaque_user_data(wsi, session);
      // Room for whole messages, in bytes of a power of two: 4.1 fails on some that are inflated in pieces.
      lws_set_extension_option(wsi, "permessage-deflate", "rx_buf_size", "22");
      if (lws_hdr_copy(wsi, field, sizeof field, WSI_TOKEN_HTTP_COOKIE) > 0) session->cookie = field;
      if (lws_hdr_custom_copy(wsi, field, sizeof field, "x-interop:", 10) > 0) session->header = field;
      break;
    case LWS_CALLBACK_CLOSED:
      delete session;
      break;
    case LWS_CALLBACK_CLIENT_APPEND_HANDSHAKE_HEADER:
      for (auto& [name, value] : headers) {
        auto at = static_cast<char**>(in);
        *at += sprintf(*at, "%s: %s\r\n", name.c_str(), value.c_str());
      }
      break;
    case LWS_CALLBACK_CLIENT_FILTER_PRE_ESTABLISH:
      if (lws_hdr_copy(wsi, field, sizeof field, WSI_TOKEN_PROTOCOL) > 0) session->subprotocol = field;
      break;
    case LWS_CALLBACK_CLIENT_ESTABLISHED:
      session->events.push_back({"open", ""});
      break;
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_CLIENT_RECEIVE:
      session->receiving.append(data, data + length);
      if (!lws_is_final_fragment(wsi)) break;
      session->events.push_back({lws_frame_is_binary(wsi) ? "binary" : "text", std::move(session->receiving)});
      session->receiving.clear();
      if (why == LWS_CALLBACK_RECEIVE) serve(wsi, *session, session->events.back());
      break;
    case LWS_CALLBACK_RECEIVE_PONG:
    case LWS_CALLBACK_CLIENT_RECEIVE_PONG:
      session->events.push_back({"pong", std::string(data, data + length)});
      if (why == LWS_CALLBACK_RECEIVE_PONG) serve(wsi, *session, session->events.back());
      break;
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLIENT_WRITEABLE:
      return write(wsi, *session);
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
      if (length >= 2) session->end = closed(data[0] << 8 | data[1], std::string(data + 2, data + length));
      break;
    case LWS_CALLBACK_CLIENT_CLOSED:
      session->events.push_back(session->end);
      break;
    case LWS_CALLBACK_CLIENT_CONNECTION_ERROR:
      session->events.push_back({"close", in ? static_cast<char*>(in) : "no connection"});
      break;
    default:
      break;
  }
  return 0;
}

const lws_protocols protocols[] = {{"", callback, 0, 1 << 22}, {"v1.example", callback, 0, 1 << 22}, {}};

// newContext is that of a client, or of a server listening at port.
lws_context* newContext(int port) {
  static const lws_extension extensions[] = {{"permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate"}, {}};
  lws_context_creation_info info = {};
  info.port = port ? port : CONTEXT_PORT_NO_LISTEN;
  info.iface = port ? "127.0.0.1" : nullptr;
  info.protocols = protocols;
  info.extensions = port ? extensions : nullptr;
  return lws_create_context(&info);
}

struct LwsConnection : Connection {
  lws_context* context = newContext(0);
  Session session;
  lws* wsi;

  LwsConnection(const Url& url, const std::vector<std::string>& subprotocols) {
    std::string asked = join(subprotocols, ", ");
    lws_client_connect_info info = {};
    info.context = context;
    info.address = info.host = url.host.c_str();
    info.port = std::stoi(url.port);
    info.path = url.target.c_str();
    info.protocol = asked.empty() ? nullptr : asked.c_str();
    info.opaque_user_data = &session;
    info.pwsi = &wsi;
    lws_client_connect_via_info(&info);
    if (Event e = next(); e.kind != "open") throw std::runtime_error(e.data);
  }

  ~LwsConnection() override { lws_context_destroy(context); }

  void send(const std::string& data, bool binary) override { enqueue(wsi, binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT, data); }

  void sendFragments(const std::vector<std::string>& fragments) override {
    for (auto& fragment : fragments) {
      int type = &fragment == &fragments.front() ? LWS_WRITE_TEXT : LWS_WRITE_CONTINUATION;
      enqueue(wsi, &fragment == &fragments.back() ? type : type | LWS_WRITE_NO_FIN, fragment);
    }
  }

  void ping(const std::string& data) override { enqueue(wsi, LWS_WRITE_PING, data); }

  void close(int code, const std::string& reason) override {
    session.code = code;
    session.reason = reason;
    lws_callback_on_writable(wsi);
  }

  Event next() override {
    while (session.events.empty()) lws_service(context, 0);
    Event e = session.events.front();
    session.events.pop_front();
    return e;
  }

  std::string subprotocol() override { return session.subprotocol; }
};

int main(int, char** args) {
  lws_set_log_level(LLL_ERR | LLL_WARN, nullptr);
  if (args[1] == std::string("client")) {
    goThrough(args[2], [](auto& url, auto& subprotocols) { return std::make_unique<LwsConnection>(Url(url), subprotocols); });
    return 0;
  }
  for (lws_context* context = newContext(std::stoi(args[2]));;) lws_service(context, 0);
}
