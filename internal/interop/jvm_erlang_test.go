//go:build unix

package interop

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Java and Erlang.

var needJava = need{"java", "apt-get install openjdk-17-jdk-headless"}

// java are the arguments that run a source file, which compiles it, too, with jars of Debian's packages.
func java(source string, jars ...string) []string {
	for i, jar := range jars {
		jars[i] = jarPath(jar)
	}
	return []string{"-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "--class-path", strings.Join(jars, ":"), "testdata/java/" + source}
}

func jarPath(jar string) string { return "/usr/share/java/" + jar + ".jar" }

// needJar is a jar of a package.
func needJar(jar, install string) need { return need{jarPath(jar), "apt-get install " + install} }

var jvmAndErlang = []row{
	{
		name:    "java.net.http of the JDK",
		version: javaVersion,
		needs:   []need{needJava},
		client:  program("java", java("Client.java")...),
		limit:   limit,
		clientDiffers: differences{
			"close answer": codeAlone,
		},
	},
	{
		name:    "Tomcat",
		version: debian("libtomcat10-java"),
		needs:   []need{needJava, needJar("tomcat10-websocket", "libtomcat10-java")},
		full:    true,
		server:  tomcat,
		serverDiffers: differences{
			"kill": {"", "Jakarta's API has no means to drop a connection"},
		},
		deflate: tomcatDeflate,
		limit:   limit,
	},
	{
		name:    "Jetty",
		version: debian("libjetty9-java"),
		needs:   []need{needJava, needJar("jetty9-server", "libjetty9-java"), needJar("jetty9-websocket-server", "libjetty9-extra-java")},
		full:    true,
		server:  jetty,
		deflate: jettyDeflate,
		limit:   limit,
		remarks: "It takes server_no_context_takeover for client_no_context_takeover (section 7.1.1 of RFC 7692): a client that offers the former has to offer the latter, too, or the connection ends with 1007.",
	},
	{
		name:    "Netty",
		version: debian("libnetty-java"),
		needs:   []need{needJava, needJar("netty-codec-http", "libnetty-java"), needJar("jzlib", "libjzlib-java")},
		full:    true,
		server:  netty,
		deflate: nettyDeflate,
		limit:   limit,
	},
	{
		name:    "Yaws",
		version: debian("erlang-yaws"),
		needs:   []need{{"escript", "apt-get install erlang-base"}, {"/usr/lib/yaws/ebin/yaws.beam", "apt-get install erlang-yaws"}},
		full:    true,
		server:  daemonIn("escript", "testdata/erlang/server.erl"),
		serverDiffers: differences{
			"subprotocol": {"", "it knows no subprotocols"},
		},
		limit: limit,
	},
}

// daemonIn is a server that takes a directory to write to before the port.
func daemonIn(name string, args ...string) func(t *testing.T, port string) *child {
	return func(t *testing.T, port string) *child {
		return start(t, name, append(slices.Clone(args), t.TempDir(), port)...)
	}
}

var (
	tomcat = daemonIn("java", java("TomcatServer.java", "tomcat10-annotations-api", "tomcat10-api", "tomcat10-catalina", "tomcat10-coyote", "tomcat10-el-api", "tomcat10-jaspic-api", "tomcat10-jni",
		"tomcat10-juli", "tomcat10-servlet-api", "tomcat10-util", "tomcat10-util-scan", "tomcat10-websocket", "tomcat10-websocket-api", "tomcat10-websocket-client-api")...)
	jetty = daemon("java", java("JettyServer.java", "jetty9-http", "jetty9-io", "jetty9-server", "jetty9-servlet", "jetty9-util",
		"jetty9-websocket-api", "jetty9-websocket-common", "jetty9-websocket-server", "jetty9-websocket-servlet", "servlet-api")...)
	netty = daemon("java", java("NettyServer.java", "jctools-core", "jzlib", "netty-buffer", "netty-codec", "netty-codec-http", "netty-common",
		"netty-handler", "netty-resolver", "netty-transport")...)
)

// Java's Deflater and Inflater have the largest window and no other. With
// server_max_window_bits Tomcat declines.
var tomcatDeflate = &deflatePeer{
	limit:  60 * time.Second,
	server: tomcat,
	answers: answers(``,
		"permessage-deflate;server_no_context_takeover;client_no_context_takeover",
		"permessage-deflate;client_max_window_bits=15",
		"permessage-deflate;server_no_context_takeover;client_max_window_bits=15",
		"permessage-deflate;client_no_context_takeover;client_max_window_bits=15",
		"permessage-deflate;server_no_context_takeover;client_no_context_takeover;client_max_window_bits=15",
		"",
		"",
		"",
		"permessage-deflate;client_max_window_bits=15",
		"permessage-deflate;client_max_window_bits=8",
		"permessage-deflate;client_max_window_bits=9",
		"permessage-deflate;client_max_window_bits=12",
		"permessage-deflate;client_max_window_bits=15",
		"",
	),
}

// Jetty leaves server_max_window_bits out of an answer that accepts the offer
// (against section 7.1.2.1). It has the two directions of context takeover the wrong
// way round (section 7.1.1), which does no harm as long as both agree.
var jettyDeflate = &deflatePeer{
	swaps:  true,
	limit:  60 * time.Second,
	server: jetty,
	answers: slices.Concat(answers(``,
		"permessage-deflate;client_no_context_takeover;server_no_context_takeover",
		"permessage-deflate",
		"permessage-deflate;server_no_context_takeover",
		"permessage-deflate;client_no_context_takeover",
		"permessage-deflate;client_no_context_takeover;server_no_context_takeover",
		"permessage-deflate, no server_max_window_bits, offered was 9",
		"permessage-deflate, no server_max_window_bits, offered was 9",
		"permessage-deflate, no server_max_window_bits, offered was 12",
		"permessage-deflate",
		"permessage-deflate",
		"permessage-deflate",
		"permessage-deflate",
		"permessage-deflate",
		"permessage-deflate;client_no_context_takeover;server_no_context_takeover, no server_max_window_bits, offered was 10",
	), []opening{
		{ours: &compression{}, theirs: `"permessage-deflate; server_no_context_takeover"`, offer: pmd + cmw, answer: "permessage-deflate;server_no_context_takeover"},
		{ours: &compression{}, theirs: `"permessage-deflate; client_no_context_takeover"`, offer: pmd + cmw, answer: "permessage-deflate;client_no_context_takeover"},
		{ours: &compression{}, theirs: `""`, offer: pmd + cmw, answer: ""},
	}),
}

// Netty deflates with JZlib when it is told a window. It answers no
// client_max_window_bits but the one that it is told to prefer.
var nettyDeflate = &deflatePeer{
	limit:  60 * time.Second,
	server: netty,
	answers: slices.Concat(answers(`[6, true, 15, true, true]`,
		"permessage-deflate;client_no_context_takeover;server_no_context_takeover",
		"permessage-deflate",
		"permessage-deflate;server_no_context_takeover",
		"permessage-deflate;client_no_context_takeover",
		"permessage-deflate;client_no_context_takeover;server_no_context_takeover",
		"permessage-deflate;server_max_window_bits=9",
		"permessage-deflate;server_max_window_bits=9",
		"permessage-deflate;server_max_window_bits=12",
		"permessage-deflate",
		"permessage-deflate",
		"permessage-deflate",
		"permessage-deflate",
		"permessage-deflate",
		"permessage-deflate;client_no_context_takeover;server_no_context_takeover;server_max_window_bits=10",
	), answers(`[9, false, 10, false, false]`,
		"",
		"permessage-deflate;client_max_window_bits=10",
		"",
		"permessage-deflate;client_max_window_bits=10",
		"",
		"",
		"",
		"",
		"permessage-deflate;client_max_window_bits=10",
		"permessage-deflate;client_max_window_bits=10, client_max_window_bits=10, offered was 8",
		"permessage-deflate;client_max_window_bits=10, client_max_window_bits=10, offered was 9",
		"permessage-deflate;client_max_window_bits=10",
		"permessage-deflate;client_max_window_bits=10",
		"",
	)),
}
