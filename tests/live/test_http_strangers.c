/* SPDX-License-Identifier: MIT
 * A stranger opens ten thousand connections, while a producer pushes. Needs a release build.
 *
 * Pushes are timed first alone, and then during the attack, in the same run on the same machine.
 * The median of the second may be DELAY_MAX_MS higher than the median of the first. The median is
 * used because a push that has to wait for the attacker's connections waits every time, while other
 * programs on this machine delay only some pushes. The time for which daemon, Redis and producer
 * waited for a core is subtracted, because the machine may be busy (proc(5),
 * /proc/<pid>/task/<tid>/schedstat). Each kind of attack gets a few rounds, and the best counts,
 * because the machine may be busier during the second half of a round. */
#include "rig.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "alloc.h"
#include "clock.h"
#include "rawhttp.h"
#include "redis_server.h"

#define CROWD 10000u
#define DELAY_MAX_MS 100u
#define PUSHES 21u
#define ROUNDS 5
#define TOKEN "a-token-of-purgeline"
#define TOKEN_SHA256 "2ff43ef6e2c2db9c344ff540f583af93e4d8a4f0f439d84de1360b19ffedb029"
#define PRODUCER "producers:\n  - {name: cms, token_sha256: \"" TOKEN_SHA256 "\"}\n"
#define HEAD "POST /v1/purge HTTP/1.1\r\nHost: localhost\r\n"

/* -- the stranger, a separate process -- */

struct kind {
    const char *first; /* sent once on each new connection; NULL: nothing */
    const char *then;  /* sent repeatedly, on all connections in turn */
    bool ends;         /* each connection is closed after `first` */
};

static void raise_files(void)
{
    struct rlimit r;

    must(getrlimit(RLIMIT_NOFILE, &r) == 0);
    r.rlim_cur = r.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &r) == 0);
}

/* Uses many source addresses: one does not have enough ports, and a limit per address must not
 * help. */
static int open_one(unsigned port, const struct kind *k)
{
    static uint32_t opened;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(0x7f010001 + opened++ % 50000);
    if (fd < 0)
        _exit(1);
    (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
        connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        _exit(1);
    if (k->first)
        (void)!send(fd, k->first, strlen(k->first), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (k->ends)
        close(fd);
    return k->ends ? -1 : fd;
}

/* Sends the text, discards answers, and reconnects after being disconnected. */
static void go_on(int *fd, unsigned port, const struct kind *k)
{
    char dropped[4096];
    ssize_t n = 1;

    if (k->then && *fd >= 0)
        n = send(*fd, k->then, strlen(k->then), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (*fd >= 0 && n > 0)
        n = recv(*fd, dropped, sizeof(dropped), MSG_DONTWAIT);
    if (*fd >= 0 && (n > 0 || (n < 0 && errno == EAGAIN)))
        return;
    if (*fd >= 0)
        close(*fd);
    *fd = open_one(port, k);
}

static void be_the_stranger(unsigned port, const struct kind *k, int ready)
{
    int *fds = alloc_zeroed(CROWD, sizeof(*fds));

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    raise_files();
    (void)!nice(10); /* a real attacker does not use this machine's CPU */
    for (unsigned i = 0; i < CROWD; i++)
        fds[i] = open_one(port, k);
    must(write(ready, "", 1) == 1);
    for (;;)
        for (unsigned i = 0; i < CROWD; i++)
            go_on(&fds[i], port, k);
}

/* Returns when the stranger has opened all its connections. */
static pid_t send_in(unsigned port, const struct kind *k)
{
    int ready[2];
    char byte;
    pid_t pid;

    must(pipe(ready) == 0);
    pid = fork();
    must(pid >= 0);
    if (pid == 0)
        be_the_stranger(port, k, ready[1]);
    close(ready[1]);
    if (read(ready[0], &byte, 1) != 1)
        fail_msg("the stranger could not open its connections");
    close(ready[0]);
    return pid;
}

static void send_away(pid_t pid)
{
    kill(pid, SIGKILL);
    must(waitpid(pid, NULL, 0) == pid);
}

/* -- the producer -- */

static void say_push(struct rawhttp *r)
{
    static const char body[] = "{\"keys\":[\"a\"]}";

    rawhttp_say(r, HEAD "Fastly-Key: " TOKEN "\r\nContent-Length: %zu\r\n\r\n%s", strlen(body),
                body);
}

static void push(struct rawhttp *r)
{
    say_push(r);
    rawhttp_await_status(r, 202);
}

static int compare(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;

    return *a < *b ? -1 : *a > *b;
}

/* The total time for which the threads of a process were runnable but had no core. */
static uint64_t starved_us(pid_t pid)
{
    char *folder = alloc_printf("/proc/%d/task", (int)pid);
    DIR *threads = opendir(folder);
    struct dirent *one;
    uint64_t ns = 0;

    must(threads);
    while ((one = readdir(threads))) {
        char *path = alloc_printf("%s/%s/schedstat", folder, one->d_name);
        FILE *f = *one->d_name == '.' ? NULL : fopen(path, "r");
        unsigned long long ran, waited;

        if (f && fscanf(f, "%llu %llu", &ran, &waited) == 2)
            ns += waited;
        if (f)
            fclose(f);
        free(path);
    }
    closedir(threads);
    free(folder);
    return ns / 1000;
}

/* The processes that a push needs. */
static struct needed {
    pid_t daemon, redis;
} needed;

static uint64_t all_starved_us(void)
{
    return starved_us(needed.daemon) + starved_us(needed.redis) + starved_us(getpid());
}

struct timing {
    uint64_t begun_ns, starved_us;
};

static struct timing timing_begin(void)
{
    return (struct timing){clock_mono_ns(), all_starved_us()};
}

static uint64_t timing_us(const struct timing *t)
{
    uint64_t us = (clock_mono_ns() - t->begun_ns) / 1000;
    uint64_t starved = all_starved_us() - t->starved_us;

    return us > starved ? us - starved : 0;
}

struct times {
    uint64_t kept_us, fresh_us; /* medians: with an open connection; with a new one */
};

static struct times time_pushes(struct rawhttp *kept, unsigned port)
{
    uint64_t on_kept[PUSHES], on_fresh[PUSHES];
    struct timing t;
    struct rawhttp fresh;

    for (unsigned i = 0; i < PUSHES; i++) {
        t = timing_begin();
        push(kept);
        on_kept[i] = timing_us(&t);
        t = timing_begin();
        rawhttp_open(&fresh, port);
        push(&fresh);
        on_fresh[i] = timing_us(&t);
        rawhttp_close(&fresh);
    }
    qsort(on_kept, PUSHES, sizeof(*on_kept), compare);
    qsort(on_fresh, PUSHES, sizeof(*on_fresh), compare);
    printf("  kept %llu us (at most %llu), fresh %llu us (at most %llu)\n",
           (unsigned long long)on_kept[PUSHES / 2], (unsigned long long)on_kept[PUSHES - 1],
           (unsigned long long)on_fresh[PUSHES / 2], (unsigned long long)on_fresh[PUSHES - 1]);
    return (struct times){on_kept[PUSHES / 2], on_fresh[PUSHES / 2]};
}

static uint64_t delay_ms(struct rawhttp *kept, unsigned port, const struct kind *k)
{
    struct times alone = time_pushes(kept, port), among;
    pid_t stranger = send_in(port, k);
    uint64_t most_us = 0;

    among = time_pushes(kept, port);
    send_away(stranger);
    if (among.kept_us > alone.kept_us)
        most_us = among.kept_us - alone.kept_us;
    if (among.fresh_us > alone.fresh_us)
        most_us = max_u64(most_us, among.fresh_us - alone.fresh_us);
    return most_us / 1000;
}

static void assert_undelayed(void **state, const struct kind *k)
{
    struct rig *r = rig_open(state, "", "listen: 127.0.0.1:0\n" PRODUCER);
    uint64_t best_ms = UINT64_MAX;
    struct rawhttp kept;
    unsigned port;

    raise_files();
    rig_start_leading(r, 0);
    port = rawhttp_port(&r->instances[0]);
    rawhttp_open(&kept, port);
    push(&kept);
    needed = (struct needed){r->instances[0].pid, redis_server_pid(r->redis)};
    for (int i = 0; i < ROUNDS && best_ms > DELAY_MAX_MS; i++)
        best_ms = min_u64(best_ms, delay_ms(&kept, port, k));
    if (best_ms > DELAY_MAX_MS)
        fail_msg("a push takes %llu ms longer", (unsigned long long)best_ms);
    rawhttp_close(&kept);
    rig_close(r);
}

/* -- the kinds of attacks -- */

static void ten_thousand_silent_connections_delay_no_push(void **state)
{
    assert_undelayed(state, &(struct kind){.first = NULL});
}

static void ten_thousand_halves_of_a_head_delay_no_push(void **state)
{
    assert_undelayed(state, &(struct kind){.first = HEAD "X: y"});
}

static void ten_thousand_halves_of_a_body_delay_no_push(void **state)
{
    assert_undelayed(state, &(struct kind){.first = HEAD "Content-Length: 1000\r\n\r\nhalf"});
}

static void ten_thousand_slow_heads_delay_no_push(void **state)
{
    assert_undelayed(state, &(struct kind){.first = HEAD "X: ", .then = "y"});
}

static void ten_thousand_slow_bodies_delay_no_push(void **state)
{
    assert_undelayed(state,
                     &(struct kind){.first = HEAD "Content-Length: 1000\r\n\r\n", .then = "y"});
}

#define ONE "GET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define FIVE ONE ONE ONE ONE ONE

static void ten_thousand_pipelines_delay_no_push(void **state)
{
    assert_undelayed(state, &(struct kind){.first = FIVE FIVE FIVE FIVE, .then = FIVE});
}

#define PROBE "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"

static void ten_thousand_pipelines_of_probes_delay_no_push(void **state)
{
    assert_undelayed(state, &(struct kind){.first = PROBE PROBE PROBE PROBE, .then = PROBE PROBE});
}

static void ten_thousand_halves_and_a_fin_delay_no_push(void **state)
{
    assert_undelayed(state,
                     &(struct kind){.first = "GET /a HTTP/1.1\r\nHost: a\r\n\r", .ends = true});
}

static void ten_thousand_connections_that_end_at_once_delay_no_push(void **state)
{
    assert_undelayed(state, &(struct kind){.first = NULL, .ends = true});
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(ten_thousand_silent_connections_delay_no_push),
        rig_test(ten_thousand_halves_of_a_head_delay_no_push),
        rig_test(ten_thousand_halves_of_a_body_delay_no_push),
        rig_test(ten_thousand_slow_heads_delay_no_push),
        rig_test(ten_thousand_slow_bodies_delay_no_push),
        rig_test(ten_thousand_pipelines_delay_no_push),
        rig_test(ten_thousand_pipelines_of_probes_delay_no_push),
        rig_test(ten_thousand_halves_and_a_fin_delay_no_push),
        rig_test(ten_thousand_connections_that_end_at_once_delay_no_push),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
