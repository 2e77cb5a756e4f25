import static java.nio.charset.StandardCharsets.UTF_8;

import jakarta.servlet.ServletException;
import jakarta.websocket.CloseReason;
import jakarta.websocket.DeploymentException;
import jakarta.websocket.Endpoint;
import jakarta.websocket.EndpointConfig;
import jakarta.websocket.HandshakeResponse;
import jakarta.websocket.MessageHandler;
import jakarta.websocket.PongMessage;
import jakarta.websocket.RemoteEndpoint;
import jakarta.websocket.Session;
import jakarta.websocket.server.HandshakeRequest;
import jakarta.websocket.server.ServerContainer;
import jakarta.websocket.server.ServerEndpointConfig;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import org.apache.catalina.Context;
import org.apache.catalina.connector.Connector;
import org.apache.catalina.servlets.DefaultServlet;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.websocket.server.WsSci;

/** An echo server of Tomcat in the given directory, at the given port of 127.0.0.1. */
public class TomcatServer {
    public static class Echo extends Endpoint {
        @Override
        public void onOpen(Session session, EndpointConfig config) {
            RemoteEndpoint.Basic peer = session.getBasicRemote();
            session.addMessageHandler(String.class, message -> answer(session, config.getUserProperties(), message));
            session.addMessageHandler(ByteBuffer.class, message -> send(() -> peer.sendBinary(message)));
            session.addMessageHandler(PongMessage.class, message -> {
                String payload = UTF_8.decode(message.getApplicationData()).toString();
                send(() -> peer.sendText(payload.equals("are you there") ? "!pong" : "pong " + payload));
            });
        }

        void answer(Session session, Map<String, Object> properties, String message) {
            RemoteEndpoint.Basic peer = session.getBasicRemote();
            String[] words = message.startsWith("!") ? message.split(" ", 3) : new String[] {""};
            send(() -> {
                switch (words[0]) {
                    case "!close" -> session.close(
                        new CloseReason(CloseReason.CloseCodes.getCloseCode(Integer.parseInt(words[1])), words[2]));
                    case "!ping" -> peer.sendPing(ByteBuffer.wrap("are you there".getBytes()));
                    case "!cookie" -> peer.sendText((String) properties.get("Cookie"));
                    case "!header" -> peer.sendText((String) properties.get("X-Interop"));
                    default -> peer.sendText(message);
                }
            });
        }

        interface Sending {
            void run() throws IOException;
        }

        static void send(Sending sending) {
            try {
                sending.run();
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    static class Configurator extends ServerEndpointConfig.Configurator {
        @Override
        public void modifyHandshake(ServerEndpointConfig config, HandshakeRequest request, HandshakeResponse response) {
            for (String name : List.of("Cookie", "X-Interop")) {
                request.getHeaders().getOrDefault(name, List.of()).forEach(value -> config.getUserProperties().put(name, value));
            }
        }
    }

    public static void main(String[] args) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(args[0]);
        Connector connector = new Connector();
        connector.setPort(Integer.parseInt(args[1]));
        connector.setProperty("address", "127.0.0.1");
        connector.setProperty("bindOnInit", "false"); // but when all is ready
        tomcat.setConnector(connector);
        Context context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "default", new DefaultServlet());
        context.addServletMappingDecoded("/", "default", false);
        context.addServletContainerInitializer(new WsSci(), null);
        context.addServletContainerInitializer((classes, servletContext) -> {
            ServerContainer container = (ServerContainer) servletContext.getAttribute(ServerContainer.class.getName());
            container.setDefaultMaxTextMessageBufferSize(4 << 20);
            container.setDefaultMaxBinaryMessageBufferSize(4 << 20);
            try {
                container.addEndpoint(ServerEndpointConfig.Builder.create(Echo.class, "/")
                    .subprotocols(List.of("v1.example")).configurator(new Configurator()).build());
            } catch (DeploymentException e) {
                throw new ServletException(e);
            }
        }, null);
        tomcat.start();
    }
}
