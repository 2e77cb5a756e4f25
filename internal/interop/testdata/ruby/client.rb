# Goes through the cases with Faye::WebSocket::Client as the client of the echo server at the given URL.
require 'eventmachine'
require 'faye/websocket'
require 'json'

ENDPOINT = ARGV[0]
HEADERS = { 'Cookie' => 'session=s1', 'X-Interop' => 'from the client' }.freeze

def compare(got, want)
  got == want ? 'ok' : "#{got.inspect[0, 40]} in place of #{want.inspect[0, 40]}"
end

# Binary messages are arrays of bytes.
def exchange(data, want = data)
  lambda do |ws, done|
    ws.on(:message) { |event| done.call(compare(event.data, want)) }
    ws.send(data)
  end
end

def answer(command)
  lambda do |ws, done|
    ws.on(:message) { |event| done.call(event.data) }
    ws.send(command)
  end
end

def ending
  lambda do |ws, done|
    ws.on(:close) { |event| done.call("#{event.code} #{event.reason}".strip) }
    yield ws
  end
end

CASES = {
  'text' => exchange('hello'),
  'binary' => exchange([0, 1, 2, 127, 128, 254, 255]),
  'empty' => exchange(''),
  'text 1 MiB' => exchange('aé€😀' * ((1 << 20) / 10) + 'abcdef'),
  'binary 1 MiB' => exchange(Random.bytes(1 << 20).bytes),
  'many' => lambda do |ws, done|
    got = []
    ws.on(:message) do |event|
      got << event.data
      done.call(compare(got, (0...100).map(&:to_s))) if got.size == 100
    end
    100.times { |i| ws.send(i.to_s) }
  end,
  'subprotocol' => ->(ws, done) { done.call(ws.protocol) },
  'cookie' => answer('!cookie'),
  'header' => answer('!header'),
  'client ping' => ->(ws, done) { ws.ping('are you there') { done.call('ok') } },
  'server ping' => exchange('!ping', '!pong'),
  'client close' => ending { |ws| ws.close(3001, 'done') },
  'server close' => ending { |ws| ws.send('!close 4001 bye') },
  'kill' => ending { |ws| ws.send('!kill') }
}.freeze

# Goes through the cases that are left, one after the other.
def visit(names, results)
  name = names.shift
  unless name
    puts JSON.generate(results)
    return EM.stop
  end
  protocols = name == 'subprotocol' ? ['v2.example', 'v1.example'] : []
  ws = Faye::WebSocket::Client.new("#{ENDPOINT}?case=#{name.gsub(' ', '%20')}", protocols, headers: HEADERS)
  done = lambda do |result|
    next if results.key?(name)

    results[name] = result
    ws.close
    visit(names, results)
  end
  ws.on(:open) { CASES[name].call(ws, done) }
  ws.on(:error) { |event| done.call(event.message) }
end

EM.run { visit(CASES.keys, {}) }
