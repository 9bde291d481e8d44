/* SPDX-License-Identifier: MIT
 * The end of jobs that name several services. */
#include "queue_world.h"

static const char *text_at(const struct redisReply *fields, size_t at)
{
    return at < fields->elements ? fields->element[at]->str : "";
}

/* The fields of the only dead letter before those that purgeline adds, like "service=a keys=b". */
static void expect_letter(struct world *w, const char *wanted)
{
    struct redisReply *r = redis_server_try(w->server, "XRANGE " P "dead - +"), *fields;
    char found[1024] = "";
    size_t n = 0;

    assert_int_equal(r->elements, 1);
    fields = r->element[0]->element[1];
    for (size_t i = 0; i + 1 < fields->elements && strncmp(text_at(fields, i), "dead_", 5) != 0;
         i += 2)
        n += (size_t)snprintf(found + n, sizeof(found) - n, "%s%s=%.9s", n ? " " : "",
                              text_at(fields, i), text_at(fields, i + 1));
    assert_string_equal(found, wanted);
    freeReplyObject(r);
}

/* A job for three services, which one, two or all of fail; its first key has `bytes` bytes. */
static void end_as_dead(size_t bytes, const char *failed, const char *letter, const char *receipt)
{
    struct world *w = world_new();
    char *key = alloc_zeroed(1, bytes + 1), *job, *names;
    struct queue_settle s;
    json_t *r;

    memset(key, 'k', bytes);
    free(redis_server_str(w->server,
                          "XADD " P "jobs:normal * service SU1 keys %s service shop service SU3 "
                          "ref r",
                          key));
    assert_int_equal(ask_read(w, 0, 1000, 0), 0);
    assert_int_equal(w->count, 1);
    assert_int_equal(w->entries[0].large, bytes > QUEUE_SMALL_BYTES);
    s = ended(&w->entries[0], OUTCOME_DEAD);
    s.services = span_str(failed);
    assert_int_equal(ask_settle(w, &s, 1), 0);
    expect_letter(w, letter);
    job = job_id(&w->entries[0]);
    r = receipt_of(w, job);
    names = json_dumps(json_object_get(r, "failed_services"), JSON_COMPACT);
    assert_string_equal(names ? names : "none", receipt);
    json_decref(r);
    free(names);
    free(job);
    free(key);
    world_free(w);
}

static void a_dead_letter_names_only_the_services_that_failed(void **state)
{
    (void)state;
    end_as_dead(3, "SU2", "keys=kkk ref=r service=SU2", "[\"SU2\"]");
    end_as_dead(3, "SU3 SU2", "keys=kkk ref=r service=SU3 service=SU2", "[\"SU3\",\"SU2\"]");
}

static void without_a_failed_service_it_names_all(void **state)
{
    (void)state;
    end_as_dead(3, "", "service=SU1 keys=kkk service=shop service=SU3 ref=r", "none");
    end_as_dead(5000, "", "service=SU1 keys=kkkkkkkkk service=shop service=SU3 ref=r", "none");
}

static void the_dead_letter_of_a_large_job_does_the_same(void **state)
{
    (void)state;
    end_as_dead(5000, "SU2", "keys=kkkkkkkkk ref=r service=SU2", "[\"SU2\"]");
    end_as_dead(5000, "SU3 SU2", "keys=kkkkkkkkk ref=r service=SU3 service=SU2",
                "[\"SU3\",\"SU2\"]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_letter_names_only_the_services_that_failed),
        cmocka_unit_test(without_a_failed_service_it_names_all),
        cmocka_unit_test(the_dead_letter_of_a_large_job_does_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
