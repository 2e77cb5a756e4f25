# Mojolicious as the client of the echo server at the given URL: goes through the cases, or is an echo there, once
# for each of the given offers of extensions.
use Mojo::Base -strict, -signatures;
use Mojo::IOLoop;
use Mojo::JSON qw(decode_json encode_json);
use Mojo::Promise;
use Mojo::UserAgent;
use Mojo::Util      qw(encode url_escape);
use Mojo::WebSocket qw(WS_CONTINUATION WS_PING WS_PONG WS_TEXT);

my ($endpoint, $offers) = @ARGV;
my $ua = Mojo::UserAgent->new(inactivity_timeout => 0);

my @fragments = ('xy', encode('UTF-8', "\x{e9}\x{20ac}\x{1f600}" x 100), 'ending');
my $long      = encode('UTF-8', "a\x{e9}\x{20ac}\x{1f600}" x ((1 << 20) / 10)) . 'abcdef';

# Each case starts on a connection and is done with a result.
my %cases = (
  'text'         => exchange({text   => 'hello'}),
  'binary'       => exchange({binary => pack 'C*', 0, 1, 2, 127, 128, 254, 255}),
  'empty'        => exchange({text   => ''}),
  'text 1 MiB'   => exchange({text   => $long}),
  'binary 1 MiB' => exchange({binary => join '', map { pack 'L', rand 1 << 32 } 1 .. 1 << 18}),
  'fragmented'   => sub ($tx, $done) {
    $tx->on(text => sub ($tx, $got) { $done->(compare($got, join '', @fragments)) });
    $tx->send([0, 0, 0, 0, WS_TEXT, $fragments[0]]);
    $tx->send([0, 0, 0, 0, WS_CONTINUATION, $fragments[1]]);
    $tx->send([1, 0, 0, 0, WS_CONTINUATION, $fragments[2]]);
  },
  'many' => sub ($tx, $done) {
    my @got;
    $tx->on(text => sub ($tx, $got) { $done->(compare("@got", "@{[0 .. 99]}")) if push(@got, $got) == 100 });
    $tx->send($_) for 0 .. 99;
  },
  'subprotocol' => sub ($tx, $done) { $done->($tx->protocol) },
  'cookie'      => answer('!cookie'),
  'header'      => answer('!header'),
  'client ping' => sub ($tx, $done) {
    $tx->on(frame => sub ($tx, $frame) { $done->(compare($frame->[5], 'are you there')) if $frame->[4] == WS_PONG });
    $tx->send([1, 0, 0, 0, WS_PING, 'are you there']);
  },
  'server ping'  => exchange({text => '!ping'}, {text => '!pong'}),
  'client close' => sub ($tx, $done) { ending($tx->finish(3001, 'done'), $done) },
  'server close' => sub ($tx, $done) { ending($tx->send('!close 4001 bye'), $done) },
  'kill'         => sub ($tx, $done) { ending($tx->send('!kill'), $done) },
);

sub compare ($got, $want) { $got eq $want ? 'ok' : substr($got, 0, 40) . ' in place of ' . substr($want, 0, 40) }

sub exchange ($sent, $wanted = $sent) {
  my ($type, $want) = %$wanted;
  return sub ($tx, $done) {
    $tx->on($type => sub ($tx, $got) { $done->(compare($got, $want)) });
    $tx->send($sent);
  };
}

sub answer ($command) {
  return sub ($tx, $done) {
    $tx->on(text => sub ($tx, $got) { $done->($got) });
    $tx->send($command);
  };
}

# The event finish comes before the answer to the peer's close is written.
sub ending ($tx, $done) {
  my $end;
  $tx->on(finish => sub ($tx, $code, $reason) { $end = join ' ', $code, $reason // () });
  Mojo::IOLoop->stream($tx->connection)->on(close => sub { $done->($end) });
}

# A case starts in the callback, for a promise would only tell once the first message may have come.
sub visit ($name, $extensions, $run) {
  my $url       = "$endpoint?case=" . url_escape($name);
  my %headers   = (Cookie => 'session=s1', 'X-Interop' => 'from the client', 'Sec-WebSocket-Extensions' => $extensions);
  my @protocols = $name eq 'subprotocol' ? ['v2.example', 'v1.example'] : ();
  return Mojo::Promise->new(sub ($resolve, $reject) {
    $ua->websocket($url => \%headers => @protocols => sub ($ua, $tx) {
      return $resolve->('no connection') unless $tx->is_websocket;
      $tx->max_websocket_size(4 << 20);
      $run->($tx, sub ($result = undef) { $resolve->($result); $tx->finish });
    });
  });
}

sub echo ($tx, $done) {
  $tx->on(text   => sub ($tx, $bytes) { $tx->send({text   => $bytes}) });
  $tx->on(binary => sub ($tx, $bytes) { $tx->send({binary => $bytes}) });
  Mojo::IOLoop->stream($tx->connection)->on(close => sub { $done->() });
}

if ($offers) {
  my @offers = @{decode_json $offers};
  Mojo::Promise->map({concurrency => 1}, sub { visit($_, $offers[$_], \&echo) }, 0 .. $#offers)->wait;
}
else {
  my %results;
  Mojo::Promise->map(
    {concurrency => 1},
    sub ($name) { visit($name, 'permessage-deflate', $cases{$name})->then(sub ($result) { $results{$name} = $result }) },
    keys %cases
  )->wait;
  say encode_json \%results;
}
