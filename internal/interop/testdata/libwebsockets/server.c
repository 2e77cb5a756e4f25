/* An echo server of libwebsockets, with permessage-deflate, at the given port of 127.0.0.1. */
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* A message on its way, or being received. Its payload has LWS_PRE bytes before it. */
struct message {
  struct message *next;
  enum lws_write_protocol type;
  size_t length;
  unsigned char buffer[];
};

struct connection {
  char cookie[64], header[64];
  struct message *receiving, *first, **last;
  char closing[128]; /* the reason, "" if the connection is not to be closed */
  int code;
};

static struct message *append(struct message *m, const void *data, size_t length) {
  size_t old = m ? m->length : 0;
  m = realloc(m, sizeof *m + LWS_PRE + old + length);
  memcpy(m->buffer + LWS_PRE + old, data, length);
  m->length = old + length;
  return m;
}

static void enqueue(struct lws *wsi, struct connection *c, struct message *m, enum lws_write_protocol type) {
  m->type = type;
  m->next = NULL;
  *c->last = m;
  c->last = &m->next;
  lws_callback_on_writable(wsi);
}

static void reply(struct lws *wsi, struct connection *c, const char *text, enum lws_write_protocol type) {
  enqueue(wsi, c, append(NULL, text, strlen(text)), type);
}

/* received takes a whole message, and returns whether the connection lasts. */
static int received(struct lws *wsi, struct connection *c, struct message *m) {
  char text[128] = "";
  if (!lws_frame_is_binary(wsi) && m->length < sizeof text) memcpy(text, m->buffer + LWS_PRE, m->length);
  if (sscanf(text, "!close %d %127s", &c->code, c->closing) == 2) {
    lws_close_reason(wsi, c->code, (unsigned char *)c->closing, strlen(c->closing));
    free(m);
    return -1;
  } else if (!strcmp(text, "!kill")) {
    shutdown(lws_get_socket_fd(wsi), SHUT_RDWR);
  } else if (!strcmp(text, "!ping")) {
    reply(wsi, c, "are you there", LWS_WRITE_PING);
  } else if (!strcmp(text, "!cookie")) {
    reply(wsi, c, c->cookie, LWS_WRITE_TEXT);
  } else if (!strcmp(text, "!header")) {
    reply(wsi, c, c->header, LWS_WRITE_TEXT);
  } else {
    enqueue(wsi, c, m, lws_frame_is_binary(wsi) ? LWS_WRITE_BINARY : LWS_WRITE_TEXT);
    return 0;
  }
  free(m);
  return 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *data, size_t length) {
  struct connection *c = user;
  struct message *m;
  switch (reason) {
  case LWS_CALLBACK_ESTABLISHED:
    c->last = &c->first;
    lws_hdr_copy(wsi, c->cookie, sizeof c->cookie, WSI_TOKEN_HTTP_COOKIE);
    lws_hdr_custom_copy(wsi, c->header, sizeof c->header, "x-interop:", 10);
    break;
  case LWS_CALLBACK_RECEIVE:
    m = c->receiving = append(c->receiving, data, length);
    if (!lws_is_final_fragment(wsi)) break;
    c->receiving = NULL;
    return received(wsi, c, m);
  case LWS_CALLBACK_RECEIVE_PONG:
    reply(wsi, c, "!pong", LWS_WRITE_TEXT);
    break;
  case LWS_CALLBACK_SERVER_WRITEABLE:
    if (!(m = c->first)) break;
    if (!(c->first = m->next)) c->last = &c->first;
    lws_write(wsi, m->buffer + LWS_PRE, m->length, m->type);
    free(m);
    if (c->first) lws_callback_on_writable(wsi);
    break;
  default:
    break;
  }
  return 0;
}

int main(int argc, char **argv) {
  const struct lws_protocols protocols[] = {
      {"none", callback, sizeof(struct connection), 1 << 16, 0, NULL, 0},
      {"v1.example", callback, sizeof(struct connection), 1 << 16, 0, NULL, 0},
      {0},
  };
  const struct lws_extension extensions[] = {
      {"permessage-deflate", lws_extension_callback_pm_deflate, "permessage-deflate"},
      {0},
  };
  struct lws_context_creation_info info = {
      .port = atoi(argv[1]),
      .iface = "127.0.0.1",
      .protocols = protocols,
      .extensions = extensions,
  };
  lws_set_log_level(LLL_ERR | LLL_WARN, NULL);
  struct lws_context *context = lws_create_context(&info);
  while (context && lws_service(context, 0) >= 0);
  return 1;
}
