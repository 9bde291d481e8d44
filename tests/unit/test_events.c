/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

#include "events.h"

#define FROM UINT64_C(1764403200000) /* 2025-11-29 08:00:00 UTC */
#define EVENT(id, type, at, more)                                                                  \
    "{\"id\":\"" id "\",\"type\":\"event\",\"attributes\":{\"event_type\":\"" type                 \
    "\",\"created_at\":\"" at "\"" more "}}"
#define PURGE_ALL(id, at)                                                                          \
    EVENT(id, "service.purge_all", at,                                                             \
          ",\"service_id\":\"s1\",\"token_id\":\"t-1\",\"user_id\":\"u_1\"")

static struct event events[EVENTS_MAX];
static size_t count;

static void reads(const char *body)
{
    struct error err;

    assert_int_equal(events_read(span_str(body), FROM, events, &count, &err), 0);
}

static void the_question_is_for_purge_alls_of_a_time(void **state)
{
    struct buf path;

    (void)state;
    buf_init(&path, 1000);
    events_put_path(&path, FROM + 999);
    assert_string_equal(path.p, "/events?filter%5Bevent_type%5D=service.purge_all"
                                "&filter%5Bcreated_at%5D%5Bgte%5D=2025-11-29T08:00:00Z"
                                "&page%5Bsize%5D=100&sort=-created_at");
    buf_deinit(&path);
}

static void an_event_tells_who_purged_what_and_when(void **state)
{
    (void)state;
    reads("{\"data\":[" PURGE_ALL("e1", "2025-11-29T08:00:01Z") "," PURGE_ALL(
        "e2", "2025-11-29T09:00:00.123Z") "]}");
    assert_int_equal(count, 2);
    assert_string_equal(events[0].id, "e1");
    assert_string_equal(events[0].service, "s1");
    assert_string_equal(events[0].token, "t-1");
    assert_string_equal(events[0].user, "u_1");
    assert_true(events[0].at_ms == FROM + 1000);
    assert_true(events[1].at_ms == FROM + 3600000);
    reads("{\"data\":[]}");
    assert_int_equal(count, 0);
}

/* The filters are only a request: what was not asked for is left out here, too. */
static void other_events_are_left_out(void **state)
{
    (void)state;
    reads("{\"data\":[" PURGE_ALL("old", "2025-11-29T07:59:59Z") "," EVENT(
        "no", "service.create", "2025-11-29T08:00:01Z",
        "") "," PURGE_ALL("", "2025-11-29T08:00:01Z") "," PURGE_ALL("when",
                                                                    "yesterday") ",5,null,{"
                                                                                 "\"attributes\":[]"
                                                                                 "},{\"id\":\"x\"}"
                                                                                 "," PURGE_ALL(
                                                                                     "e1",
                                                                                     "202"
                                                                                     "5-"
                                                                                     "11-"
                                                                                     "29T"
                                                                                     "08:"
                                                                                     "00:"
                                                                                     "00"
                                                                                     "Z") "]}");
    assert_int_equal(count, 1);
    assert_string_equal(events[0].id, "e1");
}

/* Ids come into lines of the log. */
static void an_id_is_not_trusted(void **state)
{
    char body[600];

    (void)state;
    reads(
        "{\"data\":[" EVENT("e1", "service.purge_all", "2025-11-29T08:00:01Z",
                            ",\"service_id\":\"a b\",\"token_id\":\"x\\ny=1\",\"user_id\":7") "]}");
    assert_int_equal(count, 1);
    assert_string_equal(events[0].service, "");
    assert_string_equal(events[0].token, "");
    assert_string_equal(events[0].user, "");
    for (int n = EVENTS_ID_ROOM - 2; n <= EVENTS_ID_ROOM; n++) {
        char id[EVENTS_ID_ROOM + 2];

        memset(id, 'a', sizeof(id));
        id[n] = '\0';
        snprintf(body, sizeof(body),
                 "{\"data\":[{\"id\":\"%s\",\"attributes\":{\"event_type\":\"service.purge_all\","
                 "\"created_at\":\"2025-11-29T08:00:01Z\"}}]}",
                 id);
        reads(body);
        assert_int_equal(count, n < EVENTS_ID_ROOM);
    }
}

static void a_long_log_is_cut(void **state)
{
    struct buf body;

    (void)state;
    buf_init(&body, 1 << 20);
    buf_printf(&body, "{\"data\":[");
    for (int i = 0; i < EVENTS_MAX + 1; i++)
        buf_printf(&body, "%s" PURGE_ALL("e", "2025-11-29T08:00:01Z"), i ? "," : "");
    buf_printf(&body, "]}");
    reads(body.p);
    assert_int_equal(count, EVENTS_MAX);
    buf_deinit(&body);
}

static void what_is_no_list_is_told(void **state)
{
    static const char *const bodies[] = {"", "{}", "[]", "{\"data\":{}}", "<html>"};
    struct error err;

    (void)state;
    for (size_t i = 0; i < array_len(bodies); i++) {
        count = 77;
        assert_int_equal(events_read(span_str(bodies[i]), FROM, events, &count, &err), -EINVAL);
        assert_string_equal(err.text, "the reply is no list of events");
        assert_int_equal(count, 77);
    }
}

static void a_token_tells_whose_it_is(void **state)
{
    struct event_author a;

    (void)state;
    assert_int_equal(
        events_read_author(SPAN("{\"id\":\"t1\",\"user_id\":\"u1\",\"scope\":\"global\"}"), &a), 0);
    assert_string_equal(a.token, "t1");
    assert_string_equal(a.user, "u1");
    assert_int_equal(events_read_author(SPAN("{\"user_id\":\"u1\"}"), &a), -EINVAL);
    assert_int_equal(events_read_author(SPAN("no"), &a), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_question_is_for_purge_alls_of_a_time),
        cmocka_unit_test(an_event_tells_who_purged_what_and_when),
        cmocka_unit_test(other_events_are_left_out),
        cmocka_unit_test(an_id_is_not_trusted),
        cmocka_unit_test(a_long_log_is_cut),
        cmocka_unit_test(what_is_no_list_is_told),
        cmocka_unit_test(a_token_tells_whose_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
