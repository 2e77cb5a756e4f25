import static java.nio.charset.StandardCharsets.UTF_8;

import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelPipeline;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.http.FullHttpRequest;
import io.netty.handler.codec.http.HttpHeaders;
import io.netty.handler.codec.http.HttpObjectAggregator;
import io.netty.handler.codec.http.HttpServerCodec;
import io.netty.handler.codec.http.QueryStringDecoder;
import io.netty.handler.codec.http.websocketx.CloseWebSocketFrame;
import io.netty.handler.codec.http.websocketx.PingWebSocketFrame;
import io.netty.handler.codec.http.websocketx.PongWebSocketFrame;
import io.netty.handler.codec.http.websocketx.TextWebSocketFrame;
import io.netty.handler.codec.http.websocketx.WebSocketFrame;
import io.netty.handler.codec.http.websocketx.WebSocketFrameAggregator;
import io.netty.handler.codec.http.websocketx.WebSocketServerProtocolConfig;
import io.netty.handler.codec.http.websocketx.WebSocketServerProtocolHandler;
import io.netty.handler.codec.http.websocketx.extensions.WebSocketServerExtensionHandler;
import io.netty.handler.codec.http.websocketx.extensions.compression.PerMessageDeflateServerExtensionHandshaker;
import java.util.List;

/**
 * An echo server of Netty at the given port of 127.0.0.1. The query of the URL may have the arguments of
 * PerMessageDeflateServerExtensionHandshaker as JSON: ?deflate=[6, true, 15, true, true].
 */
public class NettyServer {
    static class Opening extends SimpleChannelInboundHandler<FullHttpRequest> {
        @Override
        protected void channelRead0(ChannelHandlerContext ctx, FullHttpRequest request) {
            ChannelPipeline pipeline = ctx.pipeline();
            List<String> told = new QueryStringDecoder(request.uri()).parameters().get("deflate");
            if (told != null) {
                String[] args = told.get(0).replaceAll("[\\[\\] ]", "").split(",");
                pipeline.addLast(new WebSocketServerExtensionHandler(new PerMessageDeflateServerExtensionHandshaker(
                    Integer.parseInt(args[0]), Boolean.parseBoolean(args[1]), Integer.parseInt(args[2]),
                    Boolean.parseBoolean(args[3]), Boolean.parseBoolean(args[4]))));
            }
            WebSocketServerProtocolConfig config = WebSocketServerProtocolConfig.newBuilder()
                .websocketPath("/").checkStartsWith(true).subprotocols("v1.example")
                .allowExtensions(true).maxFramePayloadLength(4 << 20).dropPongFrames(false).sendCloseFrame(null).build();
            pipeline.addLast(new WebSocketServerProtocolHandler(config));
            pipeline.addLast(new WebSocketFrameAggregator(4 << 20));
            pipeline.addLast(new Echo(request.headers().copy()));
            ctx.fireChannelRead(request.retain());
            pipeline.remove(this);
        }
    }

    static class Echo extends SimpleChannelInboundHandler<WebSocketFrame> {
        final HttpHeaders headers;

        Echo(HttpHeaders headers) {
            this.headers = headers;
        }

        @Override
        protected void channelRead0(ChannelHandlerContext ctx, WebSocketFrame frame) {
            if (frame instanceof PongWebSocketFrame) {
                String payload = frame.content().toString(UTF_8);
                ctx.writeAndFlush(new TextWebSocketFrame(payload.equals("are you there") ? "!pong" : "pong " + payload));
                return;
            }
            String text = frame instanceof TextWebSocketFrame t ? t.text() : "";
            String[] words = text.startsWith("!") ? text.split(" ", 3) : new String[] {""};
            switch (words[0]) {
                case "!close" -> ctx.writeAndFlush(new CloseWebSocketFrame(Integer.parseInt(words[1]), words[2]));
                case "!kill" -> ctx.close();
                case "!ping" -> ctx.writeAndFlush(new PingWebSocketFrame(Unpooled.copiedBuffer("are you there".getBytes())));
                case "!cookie" -> ctx.writeAndFlush(new TextWebSocketFrame(headers.get("Cookie")));
                case "!header" -> ctx.writeAndFlush(new TextWebSocketFrame(headers.get("X-Interop")));
                default -> ctx.writeAndFlush(frame.retain());
            }
        }
    }

    public static void main(String[] args) {
        NioEventLoopGroup group = new NioEventLoopGroup();
        new ServerBootstrap().group(group).channel(NioServerSocketChannel.class)
            .childHandler(new ChannelInitializer<SocketChannel>() {
                @Override
                protected void initChannel(SocketChannel ch) {
                    ch.pipeline().addLast(new HttpServerCodec(), new HttpObjectAggregator(65536), new Opening());
                }
            })
            .bind("127.0.0.1", Integer.parseInt(args[0])).syncUninterruptibly();
    }
}
