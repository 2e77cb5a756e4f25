package main

// help is what -help prints. A test sees to it that it has every flag.
const help = `wscat is a WebSocket client for people and scripts, and a server to try clients against.

  wscat [flags] URL              connect to a ws or wss URL (http and https mean the same)
  wscat listen [flags] ADDRESS   be an echo server, or a broadcast server

Flags may stand before and behind the URL, with one dash or two.

TALK TO A SERVER

  wscat wss://example.com/ws
      Lines are sent as text messages, and messages are shown as they come:
      < received   > sent   * what happened   ! what went wrong
      /help lists the commands: /hex 00 ff, /file photo.jpg, /ping, /close 4000 bye.
      Ctrl-D or /quit closes the connection; Ctrl-C does so with 1001 (going away).

  wscat -H 'Authorization: Bearer abc' -s chat -origin https://example.com URL
      with header fields, a subprotocol and an origin
  wscat -v URL
      with the request, the response and every step of connecting

USE IT IN SCRIPTS

When standard input is no terminal, its lines are sent, and what comes is printed to
standard output, a message a line and nothing else. The rest goes to standard error.

  echo hello | wscat ws://localhost:8080         send a line, print the answers that are
                                                 there before the closing handshake ends
  echo hello | wscat -wait 2s URL                wait for answers for two seconds
  wscat -x hello -n 1 URL                        send hello, print one message, close
  wscat -x hello -n 1 -timeout 5s URL            give up after five seconds, with code 6
  wscat -wait forever URL </dev/null             print all that comes until the server closes
  wscat -input whole -type binary URL <photo.jpg send standard input as one binary message
  wscat -output json URL </dev/null              {"type":"text","data":"..."} or
                                                 {"type":"binary","base64":"..."}
  wscat -input hex -x 00ff -output hex -n 1 URL  binary in hex, both ways

RECORD AND REPLAY

  wscat -record talk.jsonl URL                   write all that is sent and received down
  wscat -replay talk.jsonl                       send it again, at the pace of then
  wscat -replay talk.jsonl -speed max -compare URL
      send it to another server as fast as it goes; every answer that is not the recorded
      one is shown, and the exit code is 7

BE A SERVER

  wscat listen localhost:8080                    send every message back
  wscat listen -broadcast -stdin 8080            send every message to all clients, and lines
                                                 of standard input too, on localhost
  wscat listen -cert cert.pem -key key.pem :8443 with TLS, and HTTP/2
      Ctrl-C closes every connection with 1001 and exits with 0.

FLAGS OF THE CLIENT, THE HANDSHAKE

  -H, -header 'Name: value'   send a header field; @FILE sends each line of a file
  -s, -subprotocol NAME       offer a subprotocol, the one liked best first
  -origin ORIGIN              send an Origin, as browsers do
  -cookie NAME=VALUE          send a cookie
  -u, -user NAME:PASSWORD     send basic authentication, as does wss://NAME:PASSWORD@host
  -proxy URL                  go through an http, https, socks5 or socks5h proxy; none goes
                              directly; the default is what HTTPS_PROXY, HTTP_PROXY and
                              NO_PROXY say
  -cacert FILE                trust the authorities in a PEM file, besides the system's
  -cert FILE, -key FILE       show a client certificate; -key may be in the same file
  -k, -insecure               trust any certificate
  -server-name NAME           expect this name in the certificate, and ask for it by SNI
  -compress[=TERMS]           offer permessage-deflate, perhaps on terms such as
                              'client_no_context_takeover; server_max_window_bits=10';
                              level=1 to 9 and threshold=BYTES concern what we send
  -http2                      use HTTP/2 if the server does WebSockets over it
  -h2c                        use HTTP/2 without TLS, for a ws URL
  -L, -location               follow redirects
  -connect-timeout TIME       give up connecting after this, 10s; 0 is never

FLAGS OF THE CLIENT, THE SESSION

  -x MESSAGE                  send MESSAGE, in the format of -input, instead of reading
                              standard input; may be given often
  -i, -interactive            behave as on a terminal
  -input FORMAT               lines, hex, base64, json (a message or control frame a line),
                              length (4 bytes of length, big endian, then the message),
                              or whole (all of it is one message)
  -output FORMAT              lines, hex, base64, json or length
  -type TYPE                  text or binary; the default is text for lines and whole
  -n COUNT                    close when COUNT messages have come
  -wait TIME                  how long to wait for messages when all is sent, or forever;
                              0, and without end with -n
  -timeout TIME               give up after this
  -ping TIME                  send a ping this often
  -ping-timeout TIME          give up if no pong comes for so long, as -ping
  -close-code CODE            close with this code, 1000
  -close-reason TEXT          and this reason
  -close-timeout TIME         how long the closing handshake may take, 5s
  -limit BYTES                refuse larger messages, 33554432; -1 is no limit
  -record FILE                write what is sent and received down, as JSON lines
  -replay FILE                send what a recording says was sent
  -speed FACTOR               replay at FACTOR times the pace, or max
  -compare                    compare the answers with the recorded ones; waits for -wait
                              or 5s until as many have come

FLAGS OF THE SERVER

  -broadcast                  send each message to all, the sender included
  -stdin                      send lines of standard input to all
  -origin PATTERN             let pages of other origins in, as https://*.example.com or *
  -path PATH                  serve this path alone
  -cert FILE, -key FILE       serve TLS
  -h2c                        serve HTTP/2 without TLS besides HTTP/1.1
  -s, -compress, -limit, -ping, -ping-timeout, -close-timeout as above

FLAGS OF BOTH

  -v, -verbose                show more; in a script also what a terminal would show
  -q, -quiet                  show messages alone; the server: nothing of its clients
  -color WHEN                 auto, always or never; NO_COLOR in the environment is never
  -time                       begin lines with the time
  -dump BYTES                 show as much of a binary message, 512
  -version                    print the version
  -h, -help                   print this

EXIT CODES

  0    the connection was closed normally: with 1000, 1001 or no code, or by -close-code
  1    the command line is wrong, or a file, standard input or output failed
  2    no connection: name, network, proxy or TLS
  3    the server refused the handshake; its status and what it said are shown
  4    the peer closed with another code
  5    the connection was lost, or the peer broke the protocol
  6    -connect-timeout, -timeout, -ping-timeout or -close-timeout has passed
  7    fewer than -n messages came, or -compare found differences
  130  Ctrl-C; 143 is SIGTERM. The close frame is sent before, unless a second one comes.
`
