/* SPDX-License-Identifier: MIT
 * Effects and costs of a SIGHUP, and settings that it does not change. */
#include "free_port.h"
#include "http_world.h"
#include "rawhttp.h"
#include "shell.h"

/* -- reading the daemon's log ----------------------------------------------------------------- */

struct tail {
    FILE *f;
    char line[4096];
};

static struct tail tail_open(const struct instance *i)
{
    struct tail t = {.f = fopen(i->log, "r")};

    assert_non_null(t.f);
    assert_int_equal(fseek(t.f, 0, SEEK_END), 0);
    return t;
}

/* Whether a line with the text has appeared; t->line then contains it. */
static bool tail_has(struct tail *t, const char *text)
{
    long start;

    while ((start = ftell(t->f)) >= 0 && fgets(t->line, sizeof(t->line), t->f)) {
        if (!strchr(t->line, '\n')) { /* an incomplete line */
            assert_int_equal(fseek(t->f, start, SEEK_SET), 0);
            return false;
        }
        if (strstr(t->line, text))
            return true;
    }
    clearerr(t->f);
    return false;
}

static void reload(struct rig *r, struct tail *t)
{
    instance_signal(&r->instances[0], SIGHUP);
    await_until(-1, AWAIT_PATIENCE_MS, tail_has(t, "were reloaded"));
}

static unsigned long in_use(const struct tail *t)
{
    const char *at = strstr(t->line, "configurations_in_use=");

    assert_non_null(at);
    return strtoul(strchr(at, '=') + 1, NULL, 10);
}

/* -- costs of a reload ------------------------------------------------------------------------ */

/* In an older version, the 1,025th reload failed, and all earlier configurations stayed in memory.
 * Every fiftieth reload changes how purges are counted, so that the old configuration is needed
 * until all requests in flight have ended. */
static void five_thousand_reloads_under_traffic_keep_no_old_configuration(void **state)
{
    struct world w = world_open(state, "", CMS);
    struct tail t = tail_open(&w.r->instances[0]);
    unsigned long most = 0;
    char body[64];

    for (unsigned i = 1; i <= 5000; i++) {
        if (i % 50 == 0)
            rig_configure(w.r, i % 100 ? "    key_form: json\n" : "", HTTP_LISTENS CMS);
        snprintf(body, sizeof(body), "{\"keys\":[\"r%u\"]}", i);
        http_drop(http_begin(w.h, "POST", "/v1/purge", "{\"keys\":[\"cut\"]}", KEY_HEADER, NULL));
        if (i % 10 == 0)
            http_expect(w.h, 202, "POST", "/v1/purge", body, KEY_HEADER, NULL);
        reload(w.r, &t);
        most = in_use(&t) > most ? in_use(&t) : most;
    }
    world_flush(&w);
    reload(w.r, &t); /* frees the previous one */
    http_expect(w.h, 202, "POST", "/v1/purge", "{\"keys\":[\"last\"]}", KEY_HEADER, NULL);
    reload(w.r, &t);
    if (in_use(&t) > 3 || most > 50)
        fail_msg("%lu configurations are in use; at most there were %lu", in_use(&t), most);
    assert_true(requests_naming(&w.r->requests, "r5000", 200) > 0);
    fclose(t.f);
    world_close(&w);
}

/* -- settings of the endpoint ----------------------------------------------------------------- */

/* Sends a request from 127.0.0.1 to `host`. Returns the status; 0 if nobody listens or the server
 * disconnects. */
static int visit(const char *host, unsigned port)
{
    char base[64];
    struct http *h;
    int status;

    snprintf(base, sizeof(base), "http://%s:%u", host, port);
    h = http_open(base, NULL);
    status = http_do(h, "GET", "/livez", NULL, NULL)->status;
    http_close(h);
    return status;
}

static void configure(struct world *w, const char *lines)
{
    char *all = alloc_printf("%s" CMS, lines);

    rig_configure(w->r, "", all);
    free(all);
}

static struct world open_at(void **state, const char *host, unsigned port)
{
    char lines[200];
    struct world w;

    snprintf(lines, sizeof(lines), "listen: %s:%u\n" CMS, host, port);
    w.r = rig_open(state, "", lines);
    w.h = NULL;
    rig_start_leading(w.r, 0);
    await_until(-1, AWAIT_PATIENCE_MS, visit("127.0.0.1", port) == 200);
    return w;
}

/* In an older version, the endpoint stayed reachable from outside after its address was restricted
 * to this machine, although the log said that everything was reloaded. The port is the same, so the
 * old socket blocks the new one. */
static void a_narrowed_address_is_left_at_once(void **state)
{
    unsigned port = free_port();
    struct world w = open_at(state, "0.0.0.0", port);
    struct tail t = tail_open(&w.r->instances[0]);
    struct http *kept;
    char line[64], base[64];

    snprintf(base, sizeof(base), "http://127.0.0.2:%u", port);
    kept = http_open(base, NULL);
    assert_int_equal(http_do(kept, "GET", "/livez", NULL, NULL)->status, 200);
    snprintf(line, sizeof(line), "listen: 127.0.0.1:%u\n", port);
    configure(&w, line);
    reload(w.r, &t);
    assert_non_null(strstr(t.line, "changed=\"listen\""));
    instance_await_said(&w.r->instances[0], "instead_of=0.0.0.0:", 1);
    assert_int_equal(visit("127.0.0.2", port), 0);
    assert_int_equal(visit("127.0.0.1", port), 200);
    /* The client kept its connection, but the server closed it. */
    assert_int_equal(http_do(kept, "GET", "/livez", NULL, NULL)->status, 0);
    http_close(kept);

    snprintf(line, sizeof(line), "listen: 0.0.0.0:%u\n", port);
    configure(&w, line);
    reload(w.r, &t);
    instance_await_said(&w.r->instances[0], "instead_of=127.0.0.1:", 1);
    assert_int_equal(visit("127.0.0.2", port), 200);
    fclose(t.f);
    rig_close(w.r);
}

static void an_address_that_is_taken_leaves_the_old_one_and_that_is_said(void **state)
{
    unsigned port = free_port();
    struct world w = open_at(state, "127.0.0.1", port);
    struct tail t = tail_open(&w.r->instances[0]);
    char line[64];

    /* The test's Redis uses this port. */
    snprintf(line, sizeof(line), "listen: 127.0.0.1:%u\n", redis_server_port(w.r->redis));
    configure(&w, line);
    reload(w.r, &t);
    instance_await_said(&w.r->instances[0], "cannot listen: Address already in use", 1);
    instance_await_said(&w.r->instances[0], "The new address is not listened on", 1);
    assert_int_equal(visit("127.0.0.1", port), 200);
    snprintf(line, sizeof(line), "listen: 127.0.0.2:%u\n", port);
    configure(&w, line);
    reload(w.r, &t);
    instance_await_said(&w.r->instances[0], "instead_of=127.0.0.1:", 1);
    assert_int_equal(visit("127.0.0.1", port), 0);
    assert_int_equal(visit("127.0.0.2", port), 200);
    fclose(t.f);
    rig_close(w.r);
}

/* In the meantime, the purges in Redis are sent. */
static void a_port_that_is_taken_at_the_start_is_waited_for(void **state)
{
    struct rig *r = rig_open(state, "", "");
    struct redis_server *squatter = redis_server_start(NULL, NULL);
    unsigned port = redis_server_port(squatter);
    struct shell shell;
    char line[64];
    struct job j;

    snprintf(line, sizeof(line), "listen: 127.0.0.1:%u\n", port);
    rig_configure(r, "", line);
    rig_start_leading(r, 0);
    instance_await_said(&r->instances[0], "Address already in use (ss -ltnp shows by whom)", 1);
    j = rig_push(r, "normal", "keys", "k", NULL);
    rig_await_ended(r, &j, "purged");
    shell_open(&shell);
    await_until(-1, AWAIT_PATIENCE_MS,
                shell_run(&shell, "$P status --config %s", r->config) == 0 &&
                    strstr(shell.out, "  http          not listening: listen: 127.0.0.1:"));
    redis_server_stop(squatter);
    await_until(-1, AWAIT_PATIENCE_MS, visit("127.0.0.1", port) == 200);
    assert_int_equal(instance_said(&r->instances[0], "Address already in use"), 1);
    await_until(-1, AWAIT_PATIENCE_MS,
                shell_run(&shell, "$P status --config %s", r->config) == 0 &&
                    !strstr(shell.out, "not listening"));
    shell_close(&shell);
    rig_close(r);
}

static void http_can_be_ended_and_begun_again(void **state)
{
    unsigned port = free_port();
    struct world w = open_at(state, "127.0.0.1", port);
    struct tail t = tail_open(&w.r->instances[0]);
    char line[64];

    snprintf(line, sizeof(line), "listen: 127.0.0.1:%u\n", port);
    for (int i = 0; i < 3; i++) {
        configure(&w, "listen: \"\"\n");
        reload(w.r, &t);
        instance_await_said(&w.r->instances[0], "HTTP endpoint is closed", (size_t)i + 1);
        assert_int_equal(visit("127.0.0.1", port), 0);
        configure(&w, line);
        reload(w.r, &t);
        await_until(-1, AWAIT_PATIENCE_MS, visit("127.0.0.1", port) == 200);
    }
    /* Changed back while the first listener is still closing. */
    configure(&w, "listen: \"\"\n");
    instance_signal(&w.r->instances[0], SIGHUP);
    await_until(-1, AWAIT_PATIENCE_MS, tail_has(&t, "were reloaded"));
    configure(&w, line);
    reload(w.r, &t);
    await_until(-1, AWAIT_PATIENCE_MS, visit("127.0.0.1", port) == 200);
    configure(&w, "listen: \"\"\n");
    reload(w.r, &t); /* and stopped while it is closing */
    fclose(t.f);
    rig_close(w.r);
}

static int push(const struct world *w, size_t bytes)
{
    char *body = alloc_zeroed(1, bytes + 64);
    int status;

    snprintf(body, bytes + 64, "{\"keys\":[\"k\"]%*s}", (int)bytes, "");
    status = http_do(w->h, "POST", "/v1/purge", body, KEY_HEADER, NULL)->status;
    free(body);
    return status;
}

/* Connects from an address that has a limit. Returns the status and leaves the connection open; 0
 * if the server disconnects. */
static int knock(struct rawhttp *r, unsigned port)
{
    int status;

    rawhttp_open_from(r, "127.0.0.2", port);
    rawhttp_say(r, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n");
    status = rawhttp_await_any(r);
    if (status == 0)
        rawhttp_close(r);
    return status;
}

static void the_limits_of_the_endpoint_are_taken(void **state)
{
    struct world w = world_open(state, "", CMS);
    struct tail t = tail_open(&w.r->instances[0]);
    unsigned port = rawhttp_port(&w.r->instances[0]);
    struct rawhttp silent, other;

    assert_int_equal(push(&w, 4096), 202);
    configure(&w, HTTP_LISTENS "http: {body_max_bytes: 2048}\n");
    reload(w.r, &t);
    assert_non_null(strstr(t.line, "http.body_max_bytes"));
    await_until(-1, AWAIT_PATIENCE_MS, push(&w, 4096) == 413);
    assert_int_equal(push(&w, 1024), 202);

    configure(&w, HTTP_LISTENS "http: {idle_s: 1}\n");
    reload(w.r, &t);
    await_until(-1, AWAIT_PATIENCE_MS, push(&w, 4096) == 202);
    rawhttp_open(&silent, port); /* would stay open for a minute */
    rawhttp_await_end(&silent);
    rawhttp_close(&silent);

    configure(&w, HTTP_LISTENS "http: {request_s: 1}\n");
    reload(w.r, &t);
    assert_non_null(strstr(t.line, "http.idle_s, http.request_s"));
    rawhttp_open(&silent, port);
    rawhttp_say(&silent, "POST /v1/purge HTTP/1.1\r\nHost: x\r\n" KEY_HEADER
                         "\r\nContent-Length: 10\r\n\r\n");
    rawhttp_await_status(&silent, 408);
    rawhttp_close(&silent);

    configure(&w, HTTP_LISTENS "http: {per_address: 1}\n");
    reload(w.r, &t);
    await_until(-1, AWAIT_PATIENCE_MS, visit("127.0.0.1", port) == 200);
    http_close(w.h); /* otherwise it would use the only connection */
    w.h = NULL;
    await_until(-1, AWAIT_PATIENCE_MS,
                knock(&silent, port) == 200); /* earlier connections may still be closing */
    assert_int_equal(knock(&other, port), 0);

    configure(&w, HTTP_LISTENS "http: {connections: 1}\n");
    reload(w.r, &t);
    await_until(-1, AWAIT_PATIENCE_MS, knock(&other, port) == 200); /* the longest idle one goes */
    rawhttp_await_end(&silent);
    rawhttp_close(&other);
    rawhttp_close(&silent);
    fclose(t.f);
    rig_close(w.r);
}

/* All settings but these are applied. In an older version none was, and only the first was named.
 */
static void settings_that_need_a_restart_are_named_and_the_others_taken(void **state)
{
    struct world w = world_open(state, "", CMS);
    struct tail t = tail_open(&w.r->instances[0]);
    struct shell shell;

    configure(&w, HTTP_LISTENS "senders: 3\nwindow: 777\nhttp: {body_max_bytes: 2048}\n");
    reload(w.r, &t);
    assert_non_null(strstr(t.line, "changed=\"http.body_max_bytes\""));
    await_until(-1, AWAIT_PATIENCE_MS, tail_has(&t, "take effect at the next restart"));
    assert_non_null(strstr(t.line, "settings=\"senders, window\""));
    await_until(-1, AWAIT_PATIENCE_MS, push(&w, 4096) == 413);

    shell_open(&shell);
    setenv("PURGELINE_CONFIG", w.r->config, 1);
    await_until(-1, AWAIT_PATIENCE_MS,
                (shell_run(&shell, "$P check"),
                 strstr(shell.out, "still runs with the old values of senders, window")));
    shell_close(&shell);

    configure(&w, HTTP_LISTENS);
    reload(w.r, &t);
    reload(w.r, &t);
    assert_int_equal(instance_said(&w.r->instances[0], "take effect at the next restart"), 1);
    fclose(t.f);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(a_narrowed_address_is_left_at_once),
        rig_test(an_address_that_is_taken_leaves_the_old_one_and_that_is_said),
        rig_test(a_port_that_is_taken_at_the_start_is_waited_for),
        rig_test(http_can_be_ended_and_begun_again),
        rig_test(the_limits_of_the_endpoint_are_taken),
        rig_test(settings_that_need_a_restart_are_named_and_the_others_taken),
        rig_test(five_thousand_reloads_under_traffic_keep_no_old_configuration),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
