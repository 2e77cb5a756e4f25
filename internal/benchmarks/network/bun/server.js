// The measured process in the role of an echo, as ../measured.go has it: lines of
// JSON come in and are answered.
const server = Bun.serve({
	hostname: "127.0.0.1",
	port: 0,
	fetch(request, server) {
		return server.upgrade(request) ? undefined : new Response("no WebSocket", { status: 400 });
	},
	websocket: {
		maxPayloadLength: 32 << 20,
		backpressureLimit: 64 << 20,
		idleTimeout: 0,
		message(c, m) {
			c.send(m);
		},
	},
});

const say = (answer) => process.stdout.write(JSON.stringify(answer) + "\n");
const processorTime = () => {
	const { user, system } = process.cpuUsage();
	return (user + system) * 1000;
};
let began = 0;
const requests = {
	begin() {
		began = processorTime();
		return {};
	},
	end: () => ({ CPU: processorTime() - began, Mallocs: -1 }),
	memory(r) {
		if (r.GC) Bun.gc(true);
		return { RSS: process.memoryUsage.rss() };
	},
};

say({ Addr: `127.0.0.1:${server.port}` });
for await (const line of console) {
	if (!line) break;
	const r = JSON.parse(line);
	say(requests[r.Do] ? requests[r.Do](r) : { Err: `no request ${r.Do}` });
}
process.exit(0);
