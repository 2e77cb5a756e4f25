# An echo server of websocket-driver, which is what faye is made on, at the given port of 127.0.0.1.
require 'eventmachine'
require 'websocket/driver'

module Echo
  def post_init
    @driver = WebSocket::Driver.server(self, protocols: ['v1.example'])
    @driver.on(:connect) { @driver.start }
    @driver.on(:message) { |event| answer(event.data) }
    @driver.on(:close) { close_connection_after_writing }
  end

  def receive_data(data)
    @driver.parse(data)
  end

  def write(data)
    send_data(data)
  end

  def answer(data)
    return @driver.binary(data) if data.is_a?(Array)

    verb, code, reason = data.split(' ', 3)
    case verb
    when '!close' then @driver.close(reason, code.to_i)
    when '!kill' then close_connection
    when '!ping' then @driver.ping('are you there') { @driver.text('!pong') }
    when '!cookie' then @driver.text(@driver.env['HTTP_COOKIE'])
    when '!header' then @driver.text(@driver.env['HTTP_X_INTEROP'])
    else @driver.text(data)
    end
  end
end

EM.run { EM.start_server('127.0.0.1', ARGV[0].to_i, Echo) }
