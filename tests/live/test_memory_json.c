/* SPDX-License-Identifier: MIT
 * JSON takes several times as much memory as its text: an empty object is two bytes long and takes
 * two hundred. Producers post the largest bodies that the endpoint accepts, in the worst shapes.
 * The memory of the program stays limited, and another producer still gets answers. */
#include "memory_world.h"

#include "digest.h"

#define PARTIES 4 /* producers or hooks, each at its own limit */
#define EACH 3    /* requests that each has in progress */
#define HOOK_BYTES ((size_t)2700000)
#define KEYS_BYTES ((size_t)8300000)
#define PLAN_BYTES ((size_t)1000000)
#define DENSE_BYTES ((size_t)2000000)        /* of values, without a long text */
#define MORE_BYTES ((size_t)3000000)         /* beyond the limit */
#define FREE_BYTES ((size_t)4 * 1024 * 1024) /* see api_json.c: values may take this, and more */

#define SECRET "a-secret-that-nobody-guesses"

/* A value, repeated in a list, and the memory that api_json.c counts for it. */
struct shape {
    const char *name, *unit;
    size_t counted;
    bool keyed; /* members of an object instead, each with a name of its own */
};

static const struct shape shapes[] = {
    {"empty objects", "{}", 400, false},
    {"empty lists", "[]", 200, false},
    {"nested lists", "[[[[[]]]]]", 680, false},
    {"nested objects", "{\"a\":{\"a\":{\"a\":{}}}}", 1600, false},
    {"numbers", "1", 80, false},
    {"real numbers", "1.5", 80, false},
    {"empty texts", "\"\"", 80, false},
    {"escapes", "\"\\u0001\"", 80, false},
    {"members", "0", 160, true},
    {"one text", NULL, 0, false},
};

static void put_units(struct buf *out, const struct shape *s, size_t bytes, size_t most)
{
    size_t counted = 2000;

    buf_putc(out, s->keyed ? '{' : '[');
    for (size_t i = 0;
         s->unit && counted + s->counted < most && (bytes == 0 || out->n + 200 < bytes); i++) {
        if (i)
            buf_putc(out, ',');
        if (s->keyed)
            buf_printf(out, "\"%zx\":", i);
        buf_printf(out, "%s", s->unit);
        counted += s->counted;
    }
    if (!s->unit)
        buf_putc(out, '0');
    buf_putc(out, s->keyed ? '}' : ']');
}

/* An object of this many bytes. Its values take `most` bytes of memory, and the rest of it is one
 * long text. `first` is its first member. */
static char *document(const struct shape *s, const char *first, size_t bytes, size_t most)
{
    struct buf out;
    char *rest;

    buf_init(&out, SIZE_MAX);
    buf_printf(&out, "{%s,\"values\":", first);
    put_units(&out, s, bytes, most);
    buf_printf(&out, ",\"rest\":\"");
    if (out.n + 2 < bytes) {
        rest = alloc_bytes(bytes);
        memset(rest, 'x', bytes);
        buf_put(&out, span_of(rest, bytes - out.n - 2));
        free(rest);
    }
    buf_printf(&out, "\"}");
    return buf_take(&out);
}

/* -- the endpoint -- */

static void put_producer(struct buf *lines, const char *name)
{
    char text[DIGEST_TEXT_ROOM];
    uint8_t digest[DIGEST_SHA256_BYTES];
    struct span shown;

    digest_sha256(span_str(name), digest);
    shown = digest_text(digest, sizeof(digest), HOOK_HEX, text);
    buf_printf(lines, "  - name: %s\n    token_sha256: \"%.*s\"\n    admin: true\n", name,
               (int)shown.n, shown.p);
}

static void open_endpoint(struct world *w)
{
    struct buf lines;

    buf_init(&lines, SIZE_MAX);
    buf_printf(&lines, "listen: 127.0.0.1:0\nproducers:\n");
    for (int i = 0; i <= PARTIES; i++) {
        char name[16];

        snprintf(name, sizeof(name), "p%d", i);
        put_producer(&lines, name);
    }
    buf_printf(&lines, "hooks:\n");
    for (int i = 0; i < PARTIES; i++)
        buf_printf(&lines,
                   "  - name: h%d\n    secret_env: HOOK_SECRET\n    keys: [\"{id}\"]\n"
                   "    signature: {scheme: token, header: X-Secret}\n",
                   i);
    setenv("HOOK_SECRET", SECRET, 1);
    begin(w, lines.p);
    push(w, "normal", 60, 1, false);
    fill(w, "a backlog waits");
    buf_deinit(&lines);
}

struct route {
    const char *name, *target, *first;
    size_t bytes, most; /* of a body, and of the values in it */
    bool each_has_one;  /* the target ends with the party's number */
    bool counted;       /* JSON of a large body does not fit into the part of one party */
};

static const struct route routes[] = {
    {"a hook", "/hooks/h", "\"id\":\"a\"", HOOK_BYTES, FREE_BYTES + 2 * HOOK_BYTES, true, true},
    {"Fastly's purge of keys", "/service/SU1Z0isxPaozGVKXdv0eY/purge", "\"surrogate_keys\":[\"a\"]",
     KEYS_BYTES, FREE_BYTES + KEYS_BYTES / 2, false, false},
    {"a purge", "/v1/purge", "\"ref\":\"a\"", KEYS_BYTES, FREE_BYTES + KEYS_BYTES / 2, false,
     false},
    {"a plan", "/v1/plan", "\"keys\":\"a\"", PLAN_BYTES, FREE_BYTES + 2 * PLAN_BYTES, false, true},
};

static void post(struct http *h, const struct route *r, int party, const char *body)
{
    char target[100], key[40];

    if (r->each_has_one)
        snprintf(target, sizeof(target), "%s%d", r->target, party);
    else
        snprintf(target, sizeof(target), "%s", r->target);
    snprintf(key, sizeof(key), "Fastly-Key: p%d", party);
    (void)http_begin(h, "POST", target, body, key, "X-Secret: " SECRET, NULL);
}

struct answers {
    unsigned served, wrong, too_large, told_to_wait;
};

static void count_answers(struct world *w, struct http *h, int count, struct answers *out)
{
    *out = (struct answers){0};
    for (int i = 0; i < count; i++) {
        struct http_call *c = http_next(h);
        const struct http_reply *r = http_call_reply(c);

        if (r->status == 413 && !strstr(r->body, "memory_max"))
            fail_msg("%s", r->body);
        if (r->status == 200 || r->status == 202)
            out->served++;
        else if (r->status == 413)
            out->too_large++;
        else if (r->status == 503)
            out->told_to_wait++;
        else if (r->status == 400)
            out->wrong++;
        else
            fail_msg("%d %s %s", r->status, r->why ? r->why : "", r->body ? r->body : "");
        http_drop(c);
        look(w);
    }
}

static void expect_other_is_served(struct world *w)
{
    struct http *other = visit(w);

    http_expect(other, 202, "POST", "/v1/purge", "{\"keys\":[\"other\"]}", "Fastly-Key: p4", NULL);
    http_close(other);
}

/* Posts the body many times at once. */
static void storm(struct world *w, struct http *h, const struct route *r, const struct shape *s,
                  char *body, struct answers *a)
{
    char what[160];

    for (int i = 0; i < PARTIES * EACH; i++)
        post(h, r, i % PARTIES, body);
    http_run(h, 20);
    expect_other_is_served(w);
    count_answers(w, h, PARTIES * EACH, a);
    snprintf(what, sizeof(what), "%s in %s: %u served, %u wrong, %u too large, %u told to wait",
             s->name, r->name, a->served, a->wrong, a->too_large, a->told_to_wait);
    assert_bounded(w, what);
    free(body);
}

static void storm_route(struct world *w, struct http *h, const struct route *r)
{
    struct answers a;

    for (size_t s = 0; s < array_len(shapes); s++) {
        storm(w, h, r, &shapes[s], document(&shapes[s], r->first, 0, DENSE_BYTES), &a);
        assert_true(a.served + a.wrong > 0);
        assert_int_equal(a.too_large, 0);
        storm(w, h, r, &shapes[s], document(&shapes[s], r->first, r->bytes, r->most), &a);
        if (!shapes[s].unit)
            continue; /* it fits or not, depending on its length */
        assert_int_equal(a.too_large > 0, r->counted);
        assert_int_equal(a.served + a.wrong > 0, !r->counted);
        if (r->counted)
            continue;
        storm(w, h, r, &shapes[s], document(&shapes[s], r->first, r->bytes, r->most + MORE_BYTES),
              &a);
        assert_int_equal(a.served, 0);
    }
}

static void the_json_of_large_bodies_is_bounded(void **state)
{
    struct world *w = *state;
    struct http *h;

    open_endpoint(w);
    h = visit(w);
    for (size_t i = 0; i < array_len(routes); i++)
        storm_route(w, h, &routes[i]);
    http_close(h);
    end(w);
}

static void the_json_of_all_routes_at_once_is_bounded(void **state)
{
    struct world *w = *state;
    char *body[array_len(routes)];
    struct answers a;
    struct http *h;

    open_endpoint(w);
    h = visit(w);
    for (size_t i = 0; i < array_len(routes); i++)
        body[i] = document(&shapes[3], routes[i].first, routes[i].counted ? 0 : KEYS_BYTES,
                           routes[i].counted ? DENSE_BYTES : routes[i].most);
    for (int n = 0; n < PARTIES * EACH; n++)
        for (size_t i = 0; i < array_len(routes); i++)
            post(h, &routes[i], (n + (int)i) % PARTIES, body[i]);
    http_run(h, 20);
    expect_other_is_served(w);
    count_answers(w, h, PARTIES * EACH * (int)array_len(routes), &a);
    assert_bounded(w, "all routes at once");
    for (size_t i = 0; i < array_len(routes); i++)
        free(body[i]);
    http_close(h);
    end(w);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_json_of_large_bodies_is_bounded),
        T(the_json_of_all_routes_at_once_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
