// QtWebSockets: "server PORT" is an echo server, "client URL" goes through the cases.
#include <QCoreApplication>
#include <QNetworkRequest>
#include <QWebSocket>
#include <QWebSocketHandshakeOptions>
#include <QWebSocketServer>
#include <deque>

#include "../cpp/cases.hpp"

struct QtConnection : Connection {
  std::deque<Event> events;  // outlives the socket, which may still signal as it goes
  QWebSocket socket;

  QtConnection(const std::string& url, const std::vector<std::string>& subprotocols) {
    QNetworkRequest request(QUrl(QString::fromStdString(url)));
    for (auto& [name, value] : headers) request.setRawHeader(name.c_str(), value.c_str());
    QWebSocketHandshakeOptions options;
    QStringList asked;
    for (auto& subprotocol : subprotocols) asked << QString::fromStdString(subprotocol);
    options.setSubprotocols(asked);
    QObject::connect(&socket, &QWebSocket::connected, [this] { events.push_back({"open", ""}); });
    QObject::connect(&socket, &QWebSocket::textMessageReceived, [this](auto message) { events.push_back({"text", message.toStdString()}); });
    QObject::connect(&socket, &QWebSocket::binaryMessageReceived, [this](auto message) { events.push_back({"binary", message.toStdString()}); });
    QObject::connect(&socket, &QWebSocket::pong, [this](auto, auto payload) { events.push_back({"pong", payload.toStdString()}); });
    QObject::connect(&socket, &QWebSocket::disconnected,
                     [this] { events.push_back(closed(socket.closeCode(), socket.closeReason().toStdString())); });
    socket.open(request, options);
    if (Event e = next(); e.kind != "open") throw std::runtime_error(socket.errorString().toStdString());
  }

  void send(const std::string& data, bool binary) override {
    if (binary) {
      socket.sendBinaryMessage(QByteArray::fromStdString(data));
    } else {
      socket.sendTextMessage(QString::fromStdString(data));
    }
  }

  void sendFragments(const std::vector<std::string>& fragments) override {
    socket.setOutgoingFrameSize(fragments[1].size());
    send(join(fragments), false);
  }

  void ping(const std::string& data) override { socket.ping(QByteArray::fromStdString(data)); }

  void close(int code, const std::string& reason) override {
    socket.close(static_cast<QWebSocketProtocol::CloseCode>(code), QString::fromStdString(reason));
  }

  Event next() override {
    while (events.empty()) QCoreApplication::processEvents(QEventLoop::WaitForMoreEvents);
    Event e = events.front();
    events.pop_front();
    return e;
  }

  std::string subprotocol() override { return socket.subprotocol().toStdString(); }
};

void serve(QWebSocket* socket) {
  QObject::connect(socket, &QWebSocket::disconnected, socket, &QObject::deleteLater);
  QObject::connect(socket, &QWebSocket::pong, [=](auto, auto payload) { socket->sendTextMessage(payload == "are you there" ? "!pong" : "pong " + payload); });
  QObject::connect(socket, &QWebSocket::binaryMessageReceived, [=](auto message) { socket->sendBinaryMessage(message); });
  QObject::connect(socket, &QWebSocket::textMessageReceived, [=](auto message) {
    QStringList words = message.split(' ');
    if (words[0] == "!close") {
      socket->close(static_cast<QWebSocketProtocol::CloseCode>(words[1].toInt()), words[2]);
    } else if (words[0] == "!kill") {
      socket->abort();
    } else if (words[0] == "!ping") {
      socket->ping("are you there");
    } else if (words[0] == "!cookie") {
      socket->sendTextMessage(socket->request().rawHeader("Cookie"));
    } else if (words[0] == "!header") {
      socket->sendTextMessage(socket->request().rawHeader("X-Interop"));
    } else {
      socket->sendTextMessage(message);
    }
  });
}

int main(int argc, char** args) {
  QCoreApplication app(argc, args);
  if (args[1] == std::string("client")) {
    goThrough(args[2], [](auto& url, auto& subprotocols) { return std::make_unique<QtConnection>(url, subprotocols); });
    return 0;
  }
  QWebSocketServer server("interop", QWebSocketServer::NonSecureMode);
  server.setSupportedSubprotocols({"v1.example"});
  QObject::connect(&server, &QWebSocketServer::newConnection, [&] { serve(server.nextPendingConnection()); });
  server.listen(QHostAddress::LocalHost, std::stoi(args[2]));
  return app.exec();
}
