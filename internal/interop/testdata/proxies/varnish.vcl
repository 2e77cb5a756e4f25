vcl 4.1;

backend default {
    .host = "127.0.0.1";
    .port = "8080";
}

sub vcl_recv {
    if (req.http.Upgrade ~ "(?i)websocket") {
        return (pipe);
    }
}

# Varnish does not pass on Upgrade of its own accord, since it is meant for the next hop.
# The longest silence of both ends is a parameter of varnishd: -p pipe_timeout=60
sub vcl_pipe {
    set bereq.http.Upgrade = req.http.Upgrade;
    set bereq.http.Connection = req.http.Connection;
}
