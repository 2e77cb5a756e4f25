//go:build unix

package interop

// Java and Erlang.

var jvmAndErlang = []row{
	{
		name:    "java.net.http of the JDK",
		version: javaVersion,
		needs:   []need{{"java", "apt-get install openjdk-17-jdk-headless"}},
		client:  program("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "testdata/java/Client.java"), // compiles it, too
		limit:   limit,
	},
}
