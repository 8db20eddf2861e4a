/* testbox: what tests need of a container, in one static program. Its words are actions, done in order:
 *
 *   log=TEXT            print a line              write=PATH:TEXT     replace a file by TEXT
 *   sleep=SECONDS       wait (fractions allowed)  wait                wait for ever
 *   exit=CODE           end                       kill=SIGNAL         send SIGNAL to itself
 *   ignore=SIGNAL       ignore it                 trap=SIGNAL[:CODE[:SECONDS]]
 *                                                 log it; with CODE, end with it after SECONDS
 *   http=PORT tcp=PORT udp=PORT grpc=PORT         serve in the background, on IPv6 and IPv4
 *   unhealthy=PATH      the servers are unhealthy while PATH exists (default /tmp/unhealthy)
 *   eat=MIB             hold MIB of written memory  cpu=SECONDS       burn a core
 *   files=COUNT         hold that many open files   fork=COUNT        hold that many sleeping children
 *   id                  print uid, gid, groups, capabilities, seccomp mode, no_new_privs, a line each
 *
 * A signal's line is `signal TERM`, a request's `http GET /path`. HTTP paths: /healthz (200 or 503), /unhealthy and
 * /healthy (switch; they make and remove the file), /headers (what was sent), /status/NNN, /sleep/SECONDS,
 * /exit/CODE, /redirect/PATH, /hostname, anything else 200. gRPC is grpc.health.v1.Health/Check: NOT_FOUND for the
 * service "unknown". Errors end the program with 2.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *unhealthy = "/tmp/unhealthy";
static struct { int set; int code; double delay; } traps[65];

static const struct { const char *name; int number; } signals[] = {
    {"HUP", SIGHUP}, {"INT", SIGINT}, {"QUIT", SIGQUIT}, {"KILL", SIGKILL}, {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},
    {"USR2", SIGUSR2}, {"PIPE", SIGPIPE}, {"ALRM", SIGALRM}, {"TERM", SIGTERM}, {"ABRT", SIGABRT},
};
#define SIGNALS (sizeof signals / sizeof *signals)

static void fail(const char *what) {
    fprintf(stderr, "testbox: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int signal_number(const char *name) {
    if (!strncmp(name, "SIG", 3)) name += 3;
    for (size_t i = 0; i < SIGNALS; i++)
        if (!strcmp(signals[i].name, name)) return signals[i].number;
    return atoi(name);
}

static void say(const char *first, const char *second) {
    char line[1200];
    int size = snprintf(line, sizeof line, "%s%s\n", first, second);
    if (size >= (int)sizeof line) size = sizeof line - 1;
    if (write(1, line, size) < 0) _exit(2);
}

static void rest(double seconds) {
    struct timespec left = {(time_t)seconds, (long)(fmod(seconds, 1) * 1e9)};
    while (nanosleep(&left, &left) && errno == EINTR) {}
}

static void trapped(int number) {
    char plain[8];
    const char *name = plain;
    snprintf(plain, sizeof plain, "%d", number);
    for (size_t i = 0; i < SIGNALS; i++)
        if (signals[i].number == number) name = signals[i].name;
    say("signal ", name);
    if (traps[number].code < 0) return;
    rest(traps[number].delay);
    _exit(traps[number].code);
}

static void set_trap(char *words) {
    char *code = strchr(words, ':'), *delay = NULL;
    if (code) { *code++ = 0; delay = strchr(code, ':'); }
    if (delay) *delay++ = 0;
    int number = signal_number(words);
    if (number < 1 || number > 64) { errno = EINVAL; fail(words); }
    traps[number].code = code ? atoi(code) : -1;
    traps[number].delay = delay ? atof(delay) : 0;
    struct sigaction action = {.sa_handler = trapped, .sa_flags = SA_RESTART};
    if (sigaction(number, &action, NULL)) fail(words);
}

static int healthy(void) { return access(unhealthy, F_OK) != 0; }

static void put(int peer, const void *data, size_t size) {
    for (const char *at = data; size;) {
        ssize_t sent = send(peer, at, size, MSG_NOSIGNAL);
        if (sent <= 0) _exit(0);
        at += sent; size -= sent;
    }
}

static void answer(int peer, int status, const char *headers, const char *body) {
    char out[9000];
    snprintf(out, sizeof out, "HTTP/1.1 %d Status\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n%s",
             status, strlen(body), headers, body);
    put(peer, out, strlen(out));
}

static void touch(const char *path) {
    int file = open(path, O_CREAT | O_WRONLY, 0666);
    if (file >= 0) close(file);
}

static void http(int peer) {
    char in[8192], method[16], path[1024], text[1100];
    size_t got = 0;
    for (;;) {
        ssize_t more = recv(peer, in + got, sizeof in - 1 - got, 0);
        if (more <= 0) return;
        in[got += more] = 0;
        if (strstr(in, "\r\n\r\n") || got == sizeof in - 1) break;
    }
    if (sscanf(in, "%15s %1023s", method, path) != 2) return;
    snprintf(text, sizeof text, "http %s %s", method, path);
    say(text, "");
    if (!strcmp(path, "/unhealthy")) touch(unhealthy);
    if (!strcmp(path, "/healthy")) unlink(unhealthy);
    if (!strcmp(path, "/headers")) answer(peer, 200, "", in);
    else if (!strncmp(path, "/status/", 8)) answer(peer, atoi(path + 8), "", "as asked\n");
    else if (!strncmp(path, "/sleep/", 7)) { rest(atof(path + 7)); answer(peer, 200, "", "slept\n"); }
    else if (!strncmp(path, "/exit/", 6)) {
        answer(peer, 200, "", "bye\n");
        union sigval code = {.sival_int = atoi(path + 6)};
        sigqueue(getppid(), SIGRTMAX, code);
    } else if (!strncmp(path, "/redirect/", 10)) {
        snprintf(text, sizeof text, "Location: %s\r\n", path + 9);
        answer(peer, 302, text, "");
    } else if (!strcmp(path, "/hostname")) {
        gethostname(text, sizeof text);
        answer(peer, 200, "", text);
    } else if (!strcmp(path, "/healthz") && !healthy()) answer(peer, 503, "", "unhealthy\n");
    else answer(peer, 200, "", "ok\n");
}

static int take(int peer, unsigned char *into, size_t size) {
    while (size) {
        ssize_t got = recv(peer, into, size, 0);
        if (got <= 0) return 0;
        into += got; size -= got;
    }
    return 1;
}

static void frame(int peer, int type, int flags, unsigned stream, const void *data, size_t size) {
    unsigned char head[9] = {size >> 16, size >> 8, size, type, flags, stream >> 24, stream >> 16, stream >> 8, stream};
    put(peer, head, 9);
    put(peer, data, size);
}

/* HTTP/2 with literal headers only: request headers need not be read to answer Health/Check. */
static void health_answer(int peer, unsigned stream, const unsigned char *body, size_t size) {
    static const char head[] = "\x88\x0f\x10\x10" "application/grpc";  /* :status 200, content-type */
    static const char done[] = "\x00\x0bgrpc-status\x01";
    char end[sizeof done + 1];
    memcpy(end, done, sizeof done - 1);
    int known = !(size >= 7 && size - 7 == 7 && !memcmp(body + 7, "unknown", 7));
    end[sizeof done - 1] = known ? '0' : '5';
    frame(peer, 1, 4, stream, head, sizeof head - 1);
    if (known) {
        unsigned char message[] = {0, 0, 0, 0, 2, 8, healthy() ? 1 : 2};
        frame(peer, 0, 0, stream, message, sizeof message);
    }
    frame(peer, 1, 5, stream, end, sizeof done);
}

static void grpc(int peer) {
    unsigned char preface[24], head[9], data[65536], body[256];
    size_t length = 0;
    if (!take(peer, preface, sizeof preface) || memcmp(preface, "PRI * HTTP/2.0", 14)) return;
    frame(peer, 4, 0, 0, "", 0);
    while (take(peer, head, sizeof head)) {
        size_t size = head[0] << 16 | head[1] << 8 | head[2];
        unsigned stream = (head[5] & 127u) << 24 | head[6] << 16 | head[7] << 8 | head[8];
        if (size > sizeof data || !take(peer, data, size)) return;
        if (head[3] == 4 && !(head[4] & 1)) frame(peer, 4, 1, 0, "", 0);
        if (head[3] == 6 && !(head[4] & 1)) frame(peer, 6, 1, 0, data, size);
        if (head[3] == 1) length = 0;
        if (head[3] != 0) continue;
        if (length + size <= sizeof body) { memcpy(body + length, data, size); length += size; }
        if (head[4] & 1) { say("grpc Check", ""); health_answer(peer, stream, body, length); }
    }
}

static void tcp(int peer) {
    char data[4096];
    ssize_t got;
    while ((got = recv(peer, data, sizeof data, 0)) > 0) put(peer, data, got);
}

static int bound(int type, const char *port) {
    int one = 1, none = 0, family = AF_INET6, it = socket(family, type | SOCK_CLOEXEC, 0);
    if (it < 0) it = socket(family = AF_INET, type | SOCK_CLOEXEC, 0);
    if (it < 0) fail(port);
    setsockopt(it, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(atoi(port))};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    if (family == AF_INET6) setsockopt(it, IPPROTO_IPV6, IPV6_V6ONLY, &none, sizeof none);
    int failed = family == AF_INET6 ? bind(it, (void *)&six, sizeof six) : bind(it, (void *)&four, sizeof four);
    if (failed || (type == SOCK_STREAM && listen(it, 128))) fail(port);
    return it;
}

static void asked_to_exit(int number, siginfo_t *info, void *context) {
    (void)number; (void)context;
    _exit(info->si_value.sival_int);
}

static void forward_exit(int number, siginfo_t *info, void *context) {
    sigqueue(getppid(), SIGRTMAX, info->si_value);
    asked_to_exit(number, info, context);
}

static pid_t child(void) {
    pid_t parent = getpid(), made = fork();
    if (made < 0) fail("fork");
    if (made) return made;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
    return 0;
}

static void serve(void (*handle)(int), const char *port) {
    int listener = bound(SOCK_STREAM, port);
    struct sigaction reap = {.sa_handler = SIG_IGN, .sa_flags = SA_NOCLDWAIT};
    struct sigaction leave = {.sa_sigaction = asked_to_exit, .sa_flags = SA_SIGINFO};
    sigaction(SIGCHLD, &reap, NULL);
    sigaction(SIGRTMAX, &leave, NULL);
    if (child()) { close(listener); return; }
    for (int number = 1; number < 65; number++)
        if (traps[number].code || number == SIGTERM || number == SIGINT) signal(number, SIG_DFL);
    leave.sa_sigaction = forward_exit;
    sigaction(SIGRTMAX, &leave, NULL);
    for (;;) {
        int peer = accept(listener, NULL, NULL);
        if (peer < 0) continue;
        if (!fork()) { close(listener); handle(peer); shutdown(peer, SHUT_WR); _exit(0); }
        close(peer);
    }
}

static void udp(const char *port) {
    int socket = bound(SOCK_DGRAM, port);
    if (child()) { close(socket); return; }
    for (;;) {
        char data[2048];
        struct sockaddr_storage from;
        socklen_t size = sizeof from;
        ssize_t got = recvfrom(socket, data, sizeof data, 0, (void *)&from, &size);
        if (got >= 0) sendto(socket, data, got, 0, (void *)&from, size);
    }
}

static void print_id(void) {
    gid_t groups[256];
    int count = getgroups(256, groups);
    printf("uid=%d\ngid=%d\ngroups=", getuid(), getgid());
    for (int i = 0; i < count; i++) printf("%s%d", i ? "," : "", groups[i]);
    puts("");
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (!strncmp(line, "Cap", 3) || !strncmp(line, "Seccomp:", 8) || !strncmp(line, "NoNewPrivs", 10)) {
            char *value = strchr(line, ':');
            *value++ = 0;
            printf("%s=%s", line, value + strspn(value, "\t "));
        }
    if (status) fclose(status);
}

/* As the first process of its container it cannot be killed by its own signals, but by a fault. */
static void die(const char *name) {
    int number = signal_number(name);
    if (number == SIGSEGV && getpid() == 1) {
        volatile char *page = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        *page = 1;
    }
    raise(number);
}

static void eat(double mib) {
    for (double had = 0; had < mib; had++) {
        char *block = malloc(1 << 20);
        if (!block) fail("eat");
        memset(block, (int)had | 1, 1 << 20);
    }
}

static void burn(double seconds) {
    clock_t end = clock() + (clock_t)(seconds * CLOCKS_PER_SEC);
    while (clock() < end) {}
}

static void store(char *words) {
    char *text = strchr(words, ':');
    if (!text) { errno = EINVAL; fail(words); }
    *text++ = 0;
    FILE *file = fopen(words, "w");
    if (!file || fputs(text, file) < 0 || fclose(file)) fail(words);
}

static void act(char *word) {
    char *value = strchr(word, '=');
    if (value) *value++ = 0; else value = "";
    int count = atoi(value);
    if (!strcmp(word, "log")) say(value, "");
    else if (!strcmp(word, "write")) store(value);
    else if (!strcmp(word, "sleep")) rest(atof(value));
    else if (!strcmp(word, "wait")) for (;;) pause();
    else if (!strcmp(word, "exit")) exit(count);
    else if (!strcmp(word, "kill")) die(value);
    else if (!strcmp(word, "ignore")) signal(signal_number(value), SIG_IGN);
    else if (!strcmp(word, "trap")) set_trap(value);
    else if (!strcmp(word, "http")) serve(http, value);
    else if (!strcmp(word, "tcp")) serve(tcp, value);
    else if (!strcmp(word, "grpc")) serve(grpc, value);
    else if (!strcmp(word, "udp")) udp(value);
    else if (!strcmp(word, "unhealthy")) unhealthy = value;
    else if (!strcmp(word, "eat")) eat(atof(value));
    else if (!strcmp(word, "cpu")) burn(atof(value));
    else if (!strcmp(word, "files")) { while (count--) if (open("/dev/null", O_RDONLY) < 0) fail("files"); }
    else if (!strcmp(word, "fork")) {
        while (count--)
            if (!child()) for (;;) pause();
    } else if (!strcmp(word, "id")) print_id();
    else { errno = EINVAL; fail(word); }
}

int main(int count, char **words) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 1; i < count; i++) act(words[i]);
    return 0;
}
