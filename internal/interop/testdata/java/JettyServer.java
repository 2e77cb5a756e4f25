import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.websocket.api.RemoteEndpoint;
import org.eclipse.jetty.websocket.api.WebSocketAdapter;
import org.eclipse.jetty.websocket.api.WebSocketPingPongListener;
import org.eclipse.jetty.websocket.api.extensions.ExtensionConfig;
import org.eclipse.jetty.websocket.server.WebSocketHandler;
import org.eclipse.jetty.websocket.servlet.ServletUpgradeRequest;
import org.eclipse.jetty.websocket.servlet.WebSocketServletFactory;

/**
 * An echo server of Jetty at the given port of 127.0.0.1. The query of the URL may have the extension that is to be
 * agreed on as JSON: ?deflate="permessage-deflate; server_no_context_takeover".
 */
public class JettyServer {
    static class Echo extends WebSocketAdapter implements WebSocketPingPongListener {
        final ServletUpgradeRequest request;

        Echo(ServletUpgradeRequest request) {
            this.request = request;
        }

        @Override
        public void onWebSocketText(String message) {
            String[] words = message.startsWith("!") ? message.split(" ", 3) : new String[] {""};
            send(peer -> {
                switch (words[0]) {
                    case "!close" -> getSession().close(Integer.parseInt(words[1]), words[2]);
                    case "!kill" -> getSession().disconnect();
                    case "!ping" -> peer.sendPing(ByteBuffer.wrap("are you there".getBytes()));
                    case "!cookie" -> peer.sendString(request.getHeader("Cookie"));
                    case "!header" -> peer.sendString(request.getHeader("X-Interop"));
                    default -> peer.sendString(message);
                }
            });
        }

        @Override
        public void onWebSocketBinary(byte[] payload, int offset, int length) {
            send(peer -> peer.sendBytes(ByteBuffer.wrap(payload, offset, length)));
        }

        @Override
        public void onWebSocketPing(ByteBuffer payload) {}

        @Override
        public void onWebSocketPong(ByteBuffer payload) {
            String data = UTF_8.decode(payload).toString();
            send(peer -> peer.sendString(data.equals("are you there") ? "!pong" : "pong " + data));
        }

        interface Sending {
            void run(RemoteEndpoint peer) throws IOException;
        }

        void send(Sending sending) {
            try {
                sending.run(getRemote());
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    public static void main(String[] args) throws Exception {
        Server server = new Server(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[0])));
        server.setHandler(new WebSocketHandler() {
            @Override
            public void configure(WebSocketServletFactory factory) {
                factory.getPolicy().setMaxTextMessageSize(4 << 20);
                factory.getPolicy().setMaxBinaryMessageSize(4 << 20);
                factory.setCreator((request, response) -> {
                    if (request.hasSubProtocol("v1.example")) {
                        response.setAcceptedSubProtocol("v1.example");
                    }
                    String told = request.getHttpServletRequest().getParameter("deflate");
                    if (told != null) {
                        response.setExtensions(ExtensionConfig.parseList(told.replace("\"", "")));
                    }
                    return new Echo(request);
                });
            }
        });
        server.start();
    }
}
