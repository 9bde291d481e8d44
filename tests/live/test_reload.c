/* SPDX-License-Identifier: MIT
 * What a SIGHUP changes, what it leaves alone, and what it costs. */
#include "http_world.h"

/* -- the daemon's log, read as it grows ------------------------------------------------------- */

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

/* Whether a line with the text has come; it is in t->line then. */
static bool tail_has(struct tail *t, const char *text)
{
    long start;

    while ((start = ftell(t->f)) >= 0 && fgets(t->line, sizeof(t->line), t->f)) {
        if (!strchr(t->line, '\n')) { /* not all of it yet */
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
    await_until(-1, AWAIT_PATIENCE_MS, tail_has(t, "were read anew"));
}

static unsigned long in_use(const struct tail *t)
{
    const char *at = strstr(t->line, "configurations_in_use=");

    assert_non_null(at);
    return strtoul(strchr(at, '=') + 1, NULL, 10);
}

/* -- what it costs ---------------------------------------------------------------------------- */

/* The 1,025th was refused, and each of those before was kept. Every fiftieth changes how purges are
 * counted, so that the old configuration is needed until what is on the wire has landed. */
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
    reload(w.r, &t); /* puts the one before away */
    http_expect(w.h, 202, "POST", "/v1/purge", "{\"keys\":[\"last\"]}", KEY_HEADER, NULL);
    reload(w.r, &t);
    if (in_use(&t) > 3 || most > 50)
        fail_msg("%lu configurations are in use; at most there were %lu", in_use(&t), most);
    assert_true(requests_naming(&w.r->requests, "r5000", 200) > 0);
    fclose(t.f);
    world_close(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        rig_test(five_thousand_reloads_under_traffic_keep_no_old_configuration),
    };

    return cmocka_run_group_tests(tests, rig_group_setup, rig_group_teardown);
}
