# An echo server of Mojolicious, with compression, at the given port of 127.0.0.1.
use Mojolicious::Lite -signatures;

websocket '/' => sub ($c) {
  $c->inactivity_timeout(0);
  $c->tx->with_compression;
  $c->tx->max_websocket_size(4 << 20);
  $c->on(text   => sub ($c, $bytes) { $c->send({text   => $bytes}) });
  $c->on(binary => sub ($c, $bytes) { $c->send({binary => $bytes}) });
};

app->log->level('error');
app->start('daemon', '-l', "http://127.0.0.1:$ARGV[0]");
