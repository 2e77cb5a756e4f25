import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** Goes through the cases with java.net.http as the client of the echo server at the given URL. */
public class Client {
    static final String LONG_TEXT = "aé€😀".repeat((1 << 20) / 10) + "abcdef";

    /** What a listener hears: whole messages, pongs and how the connection ended. */
    record Event(String kind, byte[] data) {
        static Event of(String kind, String data) {
            return new Event(kind, data.getBytes(StandardCharsets.UTF_8));
        }

        String text() {
            return new String(data, StandardCharsets.UTF_8);
        }

        @Override
        public String toString() {
            return kind + " of " + data.length + " bytes: " + text().substring(0, Math.min(40, text().length()));
        }
    }

    static class Connection implements WebSocket.Listener {
        final BlockingQueue<Event> events = new LinkedBlockingQueue<>();
        final StringBuilder text = new StringBuilder();
        final ByteArrayOutputStream binary = new ByteArrayOutputStream();

        @Override
        public CompletionStage<?> onText(WebSocket ws, CharSequence data, boolean last) {
            text.append(data);
            if (last) {
                events.add(Event.of("text", text.toString()));
                text.setLength(0);
            }
            ws.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onBinary(WebSocket ws, ByteBuffer data, boolean last) {
            byte[] part = new byte[data.remaining()];
            data.get(part);
            binary.writeBytes(part);
            if (last) {
                events.add(new Event("binary", binary.toByteArray()));
                binary.reset();
            }
            ws.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onPong(WebSocket ws, ByteBuffer data) {
            byte[] payload = new byte[data.remaining()];
            data.get(payload);
            events.add(new Event("pong", payload));
            ws.request(1);
            return null;
        }

        @Override
        public CompletionStage<?> onClose(WebSocket ws, int code, String reason) {
            events.add(Event.of("close", (code + " " + reason).trim()));
            return null;
        }

        @Override
        public void onError(WebSocket ws, Throwable error) {
            events.add(Event.of("error", error.toString()));
        }

        Event next() throws InterruptedException {
            Event e = events.poll(15, TimeUnit.SECONDS);
            return e != null ? e : Event.of("nothing", "");
        }

        String expect(String kind, byte[] want) throws InterruptedException {
            Event e = next();
            return e.kind.equals(kind) && Arrays.equals(e.data, want) ? "ok" : e.toString();
        }

        String expect(String kind, String want) throws InterruptedException {
            return expect(kind, want.getBytes(StandardCharsets.UTF_8));
        }

        /** The code and reason of the close event. */
        String ending() throws InterruptedException {
            Event e = next();
            return e.kind.equals("close") ? e.text() : e.toString();
        }
    }

    interface Case {
        String run(WebSocket ws, Connection c) throws Exception;
    }

    static Case text(String data, String want) {
        return (ws, c) -> {
            ws.sendText(data, true).join();
            return c.expect("text", want);
        };
    }

    static Case binary(byte[] data) {
        return (ws, c) -> {
            ws.sendBinary(ByteBuffer.wrap(data), true).join();
            return c.expect("binary", data);
        };
    }

    /** Sends a command and tells what comes back. */
    static Case answer(String command) {
        return (ws, c) -> {
            ws.sendText(command, true).join();
            return c.next().text();
        };
    }

    static Case ending(String command) {
        return (ws, c) -> {
            ws.sendText(command, true).join();
            return c.ending();
        };
    }

    static Map<String, Case> cases() {
        byte[] random = new byte[1 << 20];
        new Random().nextBytes(random);
        Map<String, Case> cases = new LinkedHashMap<>();
        // First, for the client answers the close on its own, after the listener has heard of it.
        cases.put("server close", ending("!close 4001 bye"));
        cases.put("text", text("hello", "hello"));
        cases.put("binary", binary(new byte[] {0, 1, 2, 127, (byte) 128, (byte) 254, (byte) 255}));
        cases.put("empty", text("", ""));
        cases.put("text 1 MiB", text(LONG_TEXT, LONG_TEXT));
        cases.put("binary 1 MiB", binary(random));
        cases.put("many", (ws, c) -> {
            for (int i = 0; i < 100; i++) {
                ws.sendText(Integer.toString(i), true).join();
            }
            for (int i = 0; i < 100; i++) {
                String result = c.expect("text", Integer.toString(i));
                if (!result.equals("ok")) {
                    return result;
                }
            }
            return "ok";
        });
        cases.put("fragmented", (ws, c) -> {
            String[] fragments = {"xy", "é€😀".repeat(100), "ending"};
            for (int i = 0; i < fragments.length; i++) {
                ws.sendText(fragments[i], i == fragments.length - 1).join();
            }
            return c.expect("text", String.join("", fragments));
        });
        cases.put("subprotocol", (ws, c) -> ws.getSubprotocol());
        cases.put("cookie", answer("!cookie"));
        cases.put("header", answer("!header"));
        cases.put("client ping", (ws, c) -> {
            ws.sendPing(ByteBuffer.wrap("are you there".getBytes(StandardCharsets.UTF_8))).join();
            return c.expect("pong", "are you there");
        });
        cases.put("server ping", text("!ping", "!pong"));
        cases.put("client close", (ws, c) -> {
            ws.sendClose(3001, "done").join();
            return c.ending();
        });
        cases.put("kill", ending("!kill"));
        return cases;
    }

    public static void main(String[] args) {
        Map<String, String> results = new LinkedHashMap<>();
        HttpClient http = HttpClient.newHttpClient();
        cases().forEach((name, run) -> {
            Connection c = new Connection();
            try {
                String query = "?case=" + URLEncoder.encode(name, StandardCharsets.UTF_8);
                WebSocket.Builder builder = http.newWebSocketBuilder()
                    .header("Cookie", "session=s1")
                    .header("X-Interop", "from the client");
                if (name.equals("subprotocol")) {
                    builder.subprotocols("v2.example", "v1.example");
                }
                WebSocket ws = builder.buildAsync(URI.create(args[0] + query), c).join();
                results.put(name, run.run(ws, c));
            } catch (Exception e) {
                results.put(name, e.toString());
            }
        });
        System.out.println(results.entrySet().stream()
            .map(e -> quote(e.getKey()) + ":" + quote(e.getValue()))
            .collect(Collectors.joining(",", "{", "}")));
        System.exit(0); // drops the connections that are still open
    }

    static String quote(String s) {
        return '"' + s.replace("\\", "\\\\").replace("\"", "\\\"").replaceAll("\\p{Cntrl}", " ") + '"';
    }
}
