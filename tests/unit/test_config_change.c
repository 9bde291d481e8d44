/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "config_change.h"
#include "setting.h"

struct pair {
    struct config old, fresh;
};

static void fill(struct config *c)
{
    config_init(c);
    for (enum setting_scope s = SETTING_ACCOUNT; s < SETTING_SCOPE_N; s++) {
        setting_list_add(s, c);
        setting_set_examples(s, setting_list_at(s, c, 0));
    }
}

static void begin(struct pair *p)
{
    fill(&p->old);
    fill(&p->fresh);
}

static void end(struct pair *p)
{
    config_deinit(&p->old);
    config_deinit(&p->fresh);
}

static void *base_of(struct config *c, const struct setting *s)
{
    return s->scope == SETTING_GLOBAL ? c : setting_list_at(s->scope, c, 0);
}

/* Sets a value that differs from that in `old`, whatever the type of the setting. */
static void change(struct pair *p, const struct setting *s)
{
    static const char *const values[] = {
        "true",
        "false",
        "1",
        "2",
        "2048",
        "64MiB",
        "unix:///r.sock",
        "unix",
        "0600",
        "[::1]:1",
        "/other",
        "other",
        "json",
        "api",
        "direct",
        "key",
        "request",
        "history",
        "none",
        "all",
        "url",
        "bulk",
        "OTHER",
        "{x}.y",
        "a.b",
        "x-other",
        "unsigned",
        "base64",
        "redis-stream",
        "scram-sha-256",
        "right",
        "stop",
        "id=n",
        "a=b",
        "x{digest}",
        "https://other.example",
        "http://127.0.0.1:3128",
        "1111111111111111111111111111111111111111111111111111111111111111"};
    struct error err;

    for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
        if (setting_set(s, base_of(&p->fresh, s), values[i], &err) == 0 &&
            !setting_same(s, base_of(&p->old, s), base_of(&p->fresh, s)))
            return;
    fail_msg("no other value is known for %s", s->name);
}

/* A new setting that is in neither list would change without a message. */
static void every_setting_that_differs_is_named_once(void **state)
{
    size_t count;
    const struct setting *table = setting_table(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        const struct setting *s = &table[i];
        struct buf waits, changed;
        const char *why = NULL;
        struct pair p;

        if (s->type == SETTING_GROUP)
            continue;
        begin(&p);
        buf_init(&waits, CONFIG_CHANGES_MAX_BYTES + 8);
        buf_init(&changed, CONFIG_CHANGES_MAX_BYTES + 8);
        change(&p, s);
        if (config_change_possible(&p.old, &p.fresh, &why) < 0) {
            assert_string_equal(s->name, "name");
            assert_int_equal(s->scope, SETTING_ACCOUNT);
            assert_string_equal(why, "accounts");
            assert_int_equal(s->reload, SETTING_RESTART);
        } else {
            config_change_keep(&p.old, &p.fresh, &waits);
            config_change_names(&p.old, &p.fresh, &changed);
            assert_int_equal(waits.n > 0, s->reload == SETTING_RESTART);
            assert_int_equal(changed.n > 0, s->reload == SETTING_TAKEN);
            if (strcmp(s->name, "name") != 0)
                assert_non_null(strstr(waits.n ? waits.p : changed.p, s->name));
            assert_int_equal(setting_same(s, base_of(&p.old, s), base_of(&p.fresh, s)),
                             s->reload == SETTING_RESTART);
        }
        buf_deinit(&waits);
        buf_deinit(&changed);
        end(&p);
    }
}

static void several_are_named_with_their_places(void **state)
{
    struct buf changed, waits;
    struct pair p;

    (void)state;
    begin(&p);
    buf_init(&waits, CONFIG_CHANGES_MAX_BYTES + 8);
    buf_init(&changed, CONFIG_CHANGES_MAX_BYTES + 8);
    change(&p, setting_find(SETTING_GLOBAL, "senders"));
    change(&p, setting_find(SETTING_GLOBAL, "redis"));
    change(&p, setting_find(SETTING_GLOBAL, "listen"));
    change(&p, setting_find(SETTING_ACCOUNT, "budget.purges"));
    setting_list_add(SETTING_PRODUCER, &p.fresh);
    config_change_keep(&p.old, &p.fresh, &waits);
    config_change_names(&p.old, &p.fresh, &changed);
    assert_string_equal(waits.p, "redis, senders");
    assert_string_equal(changed.p, "listen, accounts[0].budget.purges, producers");
    buf_deinit(&waits);
    buf_deinit(&changed);
    end(&p);
}

static void a_redis_that_differs_in_its_password_differs(void **state)
{
    const struct setting *redis = setting_find(SETTING_GLOBAL, "redis");
    struct error err;
    struct pair p;

    (void)state;
    begin(&p);
    assert_int_equal(setting_set(redis, &p.old, "redis://u:a@h", &err), 0);
    assert_int_equal(setting_set(redis, &p.fresh, "redis://u:b@h", &err), 0);
    assert_false(setting_same(redis, &p.old, &p.fresh));
    end(&p);
}

static void a_list_without_end_is_cut(void **state)
{
    struct buf changed;
    struct pair p;

    (void)state;
    begin(&p);
    for (int i = 0; i < 200; i++) {
        setting_list_add(SETTING_HOOK, &p.old);
        setting_list_add(SETTING_HOOK, &p.fresh);
        p.fresh.hooks[i].soft = !p.old.hooks[i].soft;
    }
    buf_init(&changed, CONFIG_CHANGES_MAX_BYTES + 8);
    config_change_names(&p.old, &p.fresh, &changed);
    assert_true(changed.n <= CONFIG_CHANGES_MAX_BYTES + 8);
    assert_string_equal(changed.p + changed.n - 5, ", ...");
    buf_deinit(&changed);
    end(&p);
}

static void what_concerns_a_consumer_is_told_from_what_does_not(void **state)
{
    static const struct {
        enum setting_scope scope;
        const char *name;
        bool concerns;
    } changes[] = {
        {SETTING_GLOBAL, "http.backlog_max", true}, {SETTING_ACCOUNT, "attempts", true},
        {SETTING_CONSUMER, "topic", true},          {SETTING_CONSUMER, "run", true},
        {SETTING_HOOK, "service", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct pair p;
        char name[64];

        begin(&p);
        snprintf(name, sizeof(name), "%s", p.old.consumers[0].name);
        assert_false(config_change_of_consumer(&p.old, &p.fresh, name));
        change(&p, setting_find(changes[i].scope, changes[i].name));
        assert_int_equal(config_change_of_consumer(&p.old, &p.fresh, name), changes[i].concerns);
        end(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setting_that_differs_is_named_once),
        cmocka_unit_test(several_are_named_with_their_places),
        cmocka_unit_test(a_redis_that_differs_in_its_password_differs),
        cmocka_unit_test(what_concerns_a_consumer_is_told_from_what_does_not),
        cmocka_unit_test(a_list_without_end_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
