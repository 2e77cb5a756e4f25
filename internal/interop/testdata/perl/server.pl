# An echo server of Mojolicious at the given port of 127.0.0.1, which knows permessage-deflate.
use Mojolicious::Lite -signatures;
use Mojo::WebSocket qw(WS_PING WS_PONG);

websocket '/' => sub ($c) {
  my $headers = $c->req->headers;
  $c->inactivity_timeout(0);
  $c->tx->with_compression;
  $c->tx->with_protocols('v1.example');
  $c->tx->max_websocket_size(4 << 20);
  $c->on(
    text => sub ($c, $bytes) {
      my ($verb, @rest) = split ' ', $bytes, 3;
      $verb //= '';
      if    ($verb eq '!close')  { $c->finish(@rest) }
      elsif ($verb eq '!kill')   { Mojo::IOLoop->remove($c->tx->connection) }
      elsif ($verb eq '!ping')   { $c->send([1, 0, 0, 0, WS_PING, 'are you there']) }
      elsif ($verb eq '!cookie') { $c->send({text => $headers->cookie}) }
      elsif ($verb eq '!header') { $c->send({text => $headers->header('X-Interop')}) }
      else                       { $c->send({text => $bytes}) }
    }
  );
  $c->on(binary => sub ($c, $bytes) { $c->send({binary => $bytes}) });
  $c->tx->on(
    frame => sub ($tx, $frame) {
      $tx->send($frame->[5] eq 'are you there' ? '!pong' : "pong $frame->[5]") if $frame->[4] == WS_PONG;
    }
  );
};

app->log->level('error');
app->start('daemon', '-l', "http://127.0.0.1:$ARGV[0]");
