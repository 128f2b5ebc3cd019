/* A load generator for one endpoint on the loopback interface: TLS 1.3 with a client certificate.
 *
 *   loadgen -p PORT -C client.crt -K client.key -b BODY|-f FILE [-u PATH] [-m keep|new] [-n REQUESTS] [-c CONNECTIONS]
 *           [-e TEXT] [-o FILE] [-k NAME]
 *   loadgen -p PORT -P -r FILE [-n REQUESTS] [-c CONNECTIONS] [-e TEXT]
 *   loadgen -V      prints the version of OpenSSL it runs with
 *
 *   -m keep   requests in a closed loop over CONNECTIONS, which are opened beforehand and stay open
 *   -m new    a connection and a full handshake for each request, CONNECTIONS of them in flight
 *
 *   -P        without TLS; connections stay open
 *   -r FILE   a whole request, header and body, sent as it is
 *   -f FILE   bodies, one on each line, sent in turn, and from the first again when all were sent
 *   -e TEXT   what a good answer contains ("access_token" in quotes); '' for an empty body
 *   -o FILE   where the access tokens of the answers go, one on each line
 *   -k NAME   the member of the answers that goes there instead
 *
 * Prints "ready" when prepared, begins when a line arrives on standard input, ends with one line of JSON.
 * Every request must be answered by 200 and what is expected; the first that is not ends the run with exit code 1.
 * One thread, one epoll: it uses one core, and less of it than any server it measures.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REPLY_MAX 65536
#define PATIENCE_MS 20000 /* nothing at all for this long is a failure */

typedef enum { CLOSED, CONNECTING, HANDSHAKE, IDLE, WRITING, READING } state;

typedef struct {
  int fd;
  state state;
  uint32_t watched; /* what epoll was last told to wait for */
  SSL *ssl;
  uint64_t began; /* keep: the request's first byte; new: connect() */
  char *request;
  int request_length;
  int written;
  int read;
  char reply[REPLY_MAX];
} connection;

static int port = 0;
static const char *path = "/token", *body = "", *expected = "\"access_token\"";
static const char *kept_member = "access_token";
static FILE *tokens = NULL;
static bool keep_alive = true, plain = false;
static long requests = 1000;
static int connections = 16;

static SSL_CTX *context;
static int poller;
static char **messages; /* whole requests, sent in turn */
static int *lengths;
static long message_count = 0;
static long issued = 0, answered = 0;
static double *latency_ms;
static char negotiated[128];

static void advance(connection *c);

/* ---- small things ---- */

static void die(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("loadgen: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double quantile(double q) { return latency_ms[(long)((double)(answered - 1) * q)]; }

static void watch(connection *c, uint32_t events) {
  if (c->watched == events) return;
  struct epoll_event event = {.events = events, .data.ptr = c};
  epoll_ctl(poller, c->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event);
  c->watched = events;
}

static const char *body_of(const connection *c) { return strstr(c->reply, "\r\n\r\n") + 4; }

/* What OpenSSL waits for is watched; anything else is a failure. */
static void wait_for_tls(connection *c, int result, const char *doing) {
  int error = SSL_get_error(c->ssl, result);
  if (error == SSL_ERROR_WANT_READ) watch(c, EPOLLIN);
  else if (error == SSL_ERROR_WANT_WRITE) watch(c, EPOLLOUT);
  else die("%s failed after %ld answers (SSL_get_error %d)", doing, answered, error);
}

static int give(connection *c) {
  const char *rest = c->request + c->written;
  int length = c->request_length - c->written;
  return plain ? (int)send(c->fd, rest, (size_t)length, MSG_NOSIGNAL) : SSL_write(c->ssl, rest, length);
}

static int take(connection *c) {
  char *room = c->reply + c->read;
  int length = REPLY_MAX - 1 - c->read;
  return plain ? (int)recv(c->fd, room, (size_t)length, 0) : SSL_read(c->ssl, room, length);
}

static void wait_for_peer(connection *c, int result, const char *doing) {
  if (!plain) return wait_for_tls(c, result, doing);
  if (result == 0 || errno != EAGAIN) die("%s failed after %ld answers: %s", doing, answered, strerror(errno));
  watch(c, c->state == WRITING ? EPOLLOUT : EPOLLIN);
}

/* ---- one connection ---- */

static void open_connection(connection *c) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int on = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  c->state = CONNECTING;
  c->watched = 0;
  c->began = now_ns();
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) && errno != EINPROGRESS)
    die("cannot connect to port %d: %s", port, strerror(errno));
  watch(c, EPOLLOUT);
  if (plain) return;
  c->ssl = SSL_new(context);
  SSL_set_fd(c->ssl, c->fd);
  SSL_set_tlsext_host_name(c->ssl, "localhost");
  SSL_set_connect_state(c->ssl);
}

static void close_connection(connection *c) {
  if (!plain) {
    SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
  }
  close(c->fd);
  c->state = CLOSED;
  ERR_clear_error();
}

static void choose_request(connection *c) {
  c->request = messages[issued % message_count];
  c->request_length = lengths[issued % message_count];
  issued++;
}

static void begin_request(connection *c) {
  choose_request(c);
  if (keep_alive) c->began = now_ns();
  c->state = WRITING;
  c->written = c->read = 0;
}

/* Whether the reply is whole: by Content-Length, or by the last chunk. */
static bool is_whole(connection *c) {
  c->reply[c->read] = 0;
  char *end = strstr(c->reply, "\r\n\r\n");
  if (!end) return false;
  int head = (int)(end - c->reply) + 4;
  for (char *line = strstr(c->reply, "\r\n"); line && line < end; line = strstr(line + 2, "\r\n")) {
    if (!strncasecmp(line + 2, "content-length:", 15)) return c->read - head >= atol(line + 17);
    if (!strncasecmp(line + 2, "transfer-encoding:", 18))
      return c->read >= head + 5 && !memcmp(c->reply + c->read - 5, "0\r\n\r\n", 5);
  }
  return false;
}

static void keep_token(const char *answer) {
  char name[64];
  snprintf(name, sizeof name, "\"%s\":\"", kept_member);
  const char *start = strstr(answer, name);
  if (!start) die("an answer has no %s:\n%.600s", kept_member, answer);
  start += strlen(name);
  fprintf(tokens, "%.*s\n", (int)strcspn(start, "\""), start);
}

static void accept_reply(connection *c) {
  bool good = *expected ? strstr(body_of(c), expected) != NULL : !*body_of(c) || !strcmp(body_of(c), "0\r\n\r\n");
  if (strncmp(c->reply, "HTTP/1.1 200 ", 13) || !good)
    die("request %ld was answered with:\n%.600s", answered + 1, c->reply);
  latency_ms[answered++] = (double)(now_ns() - c->began) / 1e6;
  if (tokens) keep_token(body_of(c));
}

/* What comes after a reply: the next request, the next connection, or rest. */
static void go_on(connection *c) {
  if (keep_alive) {
    if (issued < requests) begin_request(c);
    else c->state = IDLE;
    return;
  }
  close_connection(c);
  if (issued < requests) {
    open_connection(c);
    choose_request(c);
  }
}

static void note_handshake(connection *c) {
  if (SSL_session_reused(c->ssl)) die("a session was resumed: that is no full handshake");
  if (negotiated[0]) return;
  const char *group = SSL_group_to_name(c->ssl, (int)SSL_get_negotiated_group(c->ssl));
  snprintf(negotiated, sizeof negotiated, "%s %s %s", SSL_get_version(c->ssl), SSL_get_cipher_name(c->ssl),
           group ? group : "?");
}

/* Runs one connection until it has to wait for its socket. */
static void advance(connection *c) {
  int result;
  for (;;) switch (c->state) {
    case CONNECTING:
      c->state = HANDSHAKE;
      break;
    case HANDSHAKE:
      if (!plain) {
        if ((result = SSL_do_handshake(c->ssl)) != 1) return wait_for_tls(c, result, "the handshake");
        note_handshake(c);
      }
      c->state = keep_alive ? IDLE : WRITING;
      c->written = c->read = 0;
      break;
    case WRITING:
      result = give(c);
      if (result <= 0) return wait_for_peer(c, result, "writing");
      c->written += result;
      if (c->written < c->request_length) break;
      c->state = READING;
      watch(c, EPOLLIN);
      return;
    case READING:
      result = take(c);
      if (result <= 0) return wait_for_peer(c, result, "reading");
      c->read += result;
      if (c->read == REPLY_MAX - 1) die("a reply is longer than %d bytes", REPLY_MAX - 1);
      if (!is_whole(c)) break;
      accept_reply(c);
      go_on(c);
      if (c->state != WRITING) return;
      break;
    case IDLE: /* session tickets or the peer's close wait here until the next request */
      watch(c, EPOLLIN | EPOLLET);
      return;
    case CLOSED:
      return;
    }
}

/* ---- the run ---- */

static void turn(void) {
  struct epoll_event events[64];
  int count = epoll_wait(poller, events, 64, PATIENCE_MS);
  if (count == 0) die("nothing happened for %d s after %ld answers", PATIENCE_MS / 1000, answered);
  for (int i = 0; i < count; i++) advance(events[i].data.ptr);
}

static bool all_idle(const connection *all) {
  for (int i = 0; i < connections; i++)
    if (all[i].state != IDLE) return false;
  return true;
}

static void make_context(const char *certificate, const char *key) {
  context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256");
  SSL_CTX_set1_groups_list(context, "X25519");
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL); /* the server's own identity is checked before, in client.py */
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (SSL_CTX_use_certificate_file(context, certificate, SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
    die("cannot read %s with %s", certificate, key);
}

static void add_request(const char *content) {
  messages = realloc(messages, (size_t)(message_count + 1) * sizeof *messages);
  lengths = realloc(lengths, (size_t)(message_count + 1) * sizeof *lengths);
  lengths[message_count] = asprintf(&messages[message_count],
                                    "POST %s HTTP/1.1\r\nHost: localhost:%d\r\nUser-Agent: loadgen\r\n"
                                    "Accept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                                    "%sContent-Length: %zu\r\n\r\n%s",
                                    path, port, keep_alive ? "" : "Connection: close\r\n", strlen(content), content);
  message_count++;
}

static void read_bodies(const char *name) {
  FILE *file = fopen(name, "r");
  char *line = NULL;
  size_t room = 0;
  if (!file) die("cannot read %s: %s", name, strerror(errno));
  for (ssize_t length; (length = getline(&line, &room, file)) > 0;) {
    if (line[length - 1] == '\n') line[length - 1] = 0;
    add_request(line);
  }
  if (!message_count) die("%s has no bodies", name);
  fclose(file);
  free(line);
}

static void read_request(const char *name) {
  FILE *file = fopen(name, "r");
  messages = calloc(1, sizeof *messages);
  lengths = calloc(1, sizeof *lengths);
  messages[0] = calloc(1, REPLY_MAX);
  if (!file) die("cannot read %s: %s", name, strerror(errno));
  lengths[0] = (int)fread(messages[0], 1, REPLY_MAX, file);
  message_count = 1;
  fclose(file);
}

int main(int count, char **arguments) {
  const char *certificate = NULL, *key = NULL, *bodies = NULL, *kept = NULL, *whole = NULL;
  for (int option; (option = getopt(count, arguments, "p:C:K:b:f:u:m:n:c:e:o:k:Pr:V")) != -1;) switch (option) {
    case 'p': port = atoi(optarg); break;
    case 'C': certificate = optarg; break;
    case 'K': key = optarg; break;
    case 'b': body = optarg; break;
    case 'f': bodies = optarg; break;
    case 'e': expected = optarg; break;
    case 'o': kept = optarg; break;
    case 'k': kept_member = optarg; break;
    case 'u': path = optarg; break;
    case 'm': keep_alive = strcmp(optarg, "new") != 0; break;
    case 'n': requests = atol(optarg); break;
    case 'c': connections = atoi(optarg); break;
    case 'P': plain = true; break;
    case 'r': whole = optarg; break;
    case 'V': puts(OpenSSL_version(OPENSSL_VERSION)); return 0;
    default: return 2;
    }
  bool is_usable = plain ? keep_alive && whole : certificate && key;
  if (!port || !is_usable || requests < 1 || connections < 1) die("see the first lines of loadgen.c");
  if (!plain) make_context(certificate, key);
  if (whole) read_request(whole);
  else if (bodies) read_bodies(bodies);
  else add_request(body);
  if (kept && !(tokens = fopen(kept, "w"))) die("cannot write %s: %s", kept, strerror(errno));
  if (connections > requests) connections = (int)requests;
  latency_ms = calloc((size_t)requests, sizeof *latency_ms);
  connection *all = calloc((size_t)connections, sizeof *all);
  poller = epoll_create1(EPOLL_CLOEXEC);

  if (keep_alive) {
    for (int i = 0; i < connections; i++) open_connection(&all[i]);
    while (!all_idle(all)) turn();
  }
  puts("ready");
  fflush(stdout);
  if (getchar() == EOF) return 1;

  uint64_t began = now_ns();
  double cpu = cpu_seconds();
  for (int i = 0; i < connections; i++) {
    if (keep_alive) {
      begin_request(&all[i]);
      advance(&all[i]);
    } else {
      open_connection(&all[i]);
      choose_request(&all[i]);
    }
  }
  while (answered < requests) turn();
  double seconds = (double)(now_ns() - began) / 1e9;
  cpu = cpu_seconds() - cpu;

  qsort(latency_ms, (size_t)answered, sizeof *latency_ms, by_value);
  printf("{\"answered\":%ld,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"tls\":\"%s\"}\n",
         answered, seconds, cpu, quantile(0.5), quantile(0.99), negotiated);
  fflush(stdout);
  if (tokens) fclose(tokens);
  for (int i = 0; i < connections; i++)
    if (all[i].state != CLOSED) close_connection(&all[i]);
  return 0;
}
