/* SPDX-License-Identifier: MIT
 * Ten thousand idle connections: they are allowed, and use little memory. Needs a release build,
 * because sanitizers use additional memory. */
#include "rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "alloc.h"
#include "rawhttp.h"

#define CROWD 10000
#define MEMORY_MAX_KIB (100 * 1024)
#define ASK "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"

static unsigned may_open(unsigned wanted)
{
    struct rlimit r;

    must(getrlimit(RLIMIT_NOFILE, &r) == 0);
    r.rlim_cur = r.rlim_max;
    must(setrlimit(RLIMIT_NOFILE, &r) == 0);
    return r.rlim_cur < wanted + 500 ? (unsigned)r.rlim_cur - 500 : wanted;
}

static long resident_kib(const struct instance *i)
{
    char path[64], line[256];
    long kib = -1;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)i->pid);
    f = fopen(path, "r");
    must(f);
    while (kib < 0 && fgets(line, sizeof(line), f))
        sscanf(line, "VmRSS: %ld", &kib);
    fclose(f);
    must(kib > 0);
    return kib;
}

/* When the next one is answered, all earlier ones have been accepted. */
static void await_let_in(unsigned port)
{
    struct rawhttp r;

    rawhttp_open(&r, port);
    rawhttp_say(&r, ASK);
    rawhttp_await(&r);
    rawhttp_close(&r);
}

static void assert_cheap(const struct rig *r, unsigned count, const char *what)
{
    long kib = resident_kib(&r->instances[0]);

    printf("%u connections that %s: %ld KiB resident\n", count, what, kib);
    assert_in_range(kib, 1, MEMORY_MAX_KIB);
}

static void ten_thousand_that_ask_nothing_cost_less_than_100_mb(void **state)
{
    unsigned count = may_open(CROWD), port;
    struct rawhttp *crowd = alloc_zeroed(count, sizeof(*crowd));
    struct rig *r = rig_open(state, "", "listen: 127.0.0.1:0\nhttp: {connections: 11000}\n");

    rig_start_leading(r, 0);
    port = rawhttp_port(&r->instances[0]);
    for (unsigned i = 0; i < count; i++)
        rawhttp_open(&crowd[i], port);
    await_let_in(port);
    assert_cheap(r, count, "have asked nothing");
    rawhttp_read(&crowd[0]);
    assert_false(crowd[0].ended);
    for (unsigned i = 0; i < count; i++) {
        rawhttp_say(&crowd[i], ASK);
        rawhttp_await(&crowd[i]);
    }
    assert_cheap(r, count, "have asked once");
    for (unsigned i = 0; i < count; i++)
        rawhttp_close(&crowd[i]);
    free(crowd);
    rig_close(r);
}

/* The shell that starts the daemon allows only few open files. */
static void more_connections_than_files_are_said_and_not_let_in(void **state)
{
    const char *program = getenv("PURGELINE_BIN");
    struct rig *r = rig_open(state, "", "listen: 127.0.0.1:0\nhttp: {connections: 5000}\n");
    char *script = alloc_printf("%s/few-files", r->folder);
    FILE *f = fopen(script, "w");

    must(f);
    fprintf(f, "#!/bin/sh\nulimit -n 1000\nexec %s \"$@\"\n", program);
    must(fchmod(fileno(f), 0700) == 0 && fclose(f) == 0);
    setenv("PURGELINE_BIN", script, 1);
    rig_start(r, 0);
    setenv("PURGELINE_BIN", program, 1);
    instance_await_said(&r->instances[0], "connections=5000 files=1000 let_in=744", 1);
    free(script);
    rig_close(r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        rig_test(ten_thousand_that_ask_nothing_cost_less_than_100_mb),
        rig_test(more_connections_than_files_are_said_and_not_let_in),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL); /* e.g. "a_second*" */
    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
