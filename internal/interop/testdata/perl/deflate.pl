# Has Mojolicious send back what comes from the given URL, on one connection for
# each of the given offers of extensions, until that is closed.
use Mojo::Base -strict, -signatures;
use Mojo::IOLoop;
use Mojo::JSON qw(decode_json);
use Mojo::UserAgent;

my ($url, $offers) = @ARGV;
my @offers = @{decode_json $offers};
my $ua     = Mojo::UserAgent->new(inactivity_timeout => 0);
my $i      = 0;

sub visit () {
  return Mojo::IOLoop->stop if $i == @offers;
  my $offer = $offers[$i];
  $ua->websocket("$url?case=" . $i++ => {'Sec-WebSocket-Extensions' => $offer} => sub ($ua, $tx) {
    return visit() unless $tx->is_websocket;
    $tx->max_websocket_size(4 << 20);
    $tx->on(text   => sub ($tx, $bytes) { $tx->send({text   => $bytes}) });
    $tx->on(binary => sub ($tx, $bytes) { $tx->send({binary => $bytes}) });
    Mojo::IOLoop->stream($tx->connection)->on(close => sub { visit() });
  });
}

visit();
Mojo::IOLoop->start;
