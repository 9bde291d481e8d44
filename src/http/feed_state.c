/* SPDX-License-Identifier: MIT
 * The state of the accounts, for all event streams: asked once a second while somebody listens. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "brake.h"
#include "clock.h"
#include "feed_internal.h"
#include "json_text.h"
#include "overview_instances.h"
#include "overview_json.h"
#include "snapshot.h"

/* When only ages have changed, a status is sent so often. */
#define AGES_NS (10 * NS_PER_S)

/* -- has it changed? -- */

/* These change all the time, even when nothing happens. */
static bool is_an_age(const char *name)
{
    size_t n = strlen(name);

    return strcmp(name, "at") == 0 || strcmp(name, "renewals") == 0 ||
           (n > 3 && strcmp(name + n - 3, "_ms") == 0);
}

static uint64_t hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3); /* FNV-1a */
    return (hash ^ 0xff) * UINT64_C(0x100000001b3);
}

static uint64_t hash_json(uint64_t hash, const json_t *j)
{
    const char *name;
    json_t *value;
    char number[40];
    size_t i;

    if (json_is_object(j)) {
        json_object_foreach((json_t *)j, name, value) hash =
            is_an_age(name) ? hash : hash_json(hash_text(hash, name), value);
    } else if (json_is_array(j)) {
        json_array_foreach(j, i, value) hash = hash_json(hash, value);
    } else if (json_is_string(j)) {
        hash = hash_text(hash, json_string_value(j));
    } else {
        snprintf(number, sizeof(number), "%d %.17g", (int)json_typeof(j), json_number_value(j));
        hash = hash_text(hash, number);
    }
    return hash;
}

static uint64_t hash_of(const json_t *j)
{
    uint64_t hash = hash_json(UINT64_C(0xcbf29ce484222325), j);

    return hash ? hash : 1; /* 0: nothing was made yet */
}

/* -- making it -- */

static json_t *whole_json(const struct feed_account *a, struct overview *o)
{
    struct overview_instances *instances = overview_instances_new();
    json_t *j;

    consumer_states_expect(&o->consumers, a->feed->in->config, a->name);
    overview_instances_add(instances, a->name, o);
    j = json_pack("{soso}", "accounts", json_pack("[o]", overview_json(feed_config_of(a), o)),
                  "instances", overview_instances_json(instances));
    overview_instances_free(instances);
    return j;
}

/* What every producer of the account may know: it would notice it anyway. */
static json_t *reduced_json(const struct feed_account *a, const struct overview *o)
{
    json_t *report = o->status ? json_loads(o->status, 0, NULL) : NULL;
    const char *brake = json_string_value(json_object_get(report, "brake"));
    bool held = brake && strcmp(brake, brake_state_names[BRAKE_FREE]) != 0;
    json_t *one = json_pack("{sosbsbsb}", "account", json_text_of(a->name), "leads",
                            o->leader != NULL, "paused", (int)o->paused, "held", (int)held);
    json_t *j = json_pack("{sosb}", "accounts", json_pack("[o]", one), "reduced", 1);

    json_decref(report);
    return j;
}

static struct feed_frame *status_frame(const json_t *j)
{
    char *text = json_text_line(j);
    struct feed_frame *f = feed_frame_new("status", NULL, span_str(text));

    free(text);
    return f;
}

static void make_whole(struct feed_account *a, struct overview *o)
{
    json_t *j = whole_json(a, o);
    uint64_t hash = hash_of(j), now_ns = clock_mono_ns();

    if (hash != a->whole_hash || now_ns - a->whole_ns >= AGES_NS) {
        feed_frame_drop(a->whole);
        a->whole = status_frame(j);
        a->whole_version++;
        a->whole_hash = hash;
        a->whole_ns = now_ns;
    }
    json_decref(j);
}

static void make_reduced(struct feed_account *a, const struct overview *o)
{
    json_t *j = reduced_json(a, o);
    uint64_t hash = hash_of(j);

    if (hash != a->reduced_hash) {
        feed_frame_drop(a->reduced);
        a->reduced = status_frame(j);
        a->reduced_version++;
        a->reduced_hash = hash;
    }
    json_decref(j);
}

/* -- what happened between two answers -- */

static void tell_act(struct feed_account *a, const struct overview *o)
{
    struct feed *f = a->feed;
    json_t *j = json_pack("{soso}", "account", json_text_of(a->name), "act",
                          json_text_of(o->paused ? "pause" : "resume"));
    struct feed_frame *reduced = feed_event(f, "act", json_copy(j)), *whole;

    json_object_set_new(j, "why", json_text_of(o->paused_why ? o->paused_why : ""));
    json_object_set_new(j, "by", json_text_of(o->paused_by ? o->paused_by : ""));
    whole = feed_event(f, "act", j);
    list_each(node, &f->streams) {
        struct feed_stream *s = list_entry(node, struct feed_stream, link);

        if (feed_wants(s, a, FEED_ACT))
            feed_put(s, s->request->who->admin ? whole : reduced);
    }
    feed_frame_drop(reduced);
    feed_frame_drop(whole);
}

/* When the leader's last reload was; 0: none. *out: its act, as the leader reports it. */
static uint64_t reload_of(const struct overview *o, json_t **out)
{
    json_t *report = o->status ? json_loads(o->status, 0, NULL) : NULL;
    json_int_t at;

    *out = json_incref(json_object_get(report, "reloaded"));
    at = json_integer_value(json_object_get(*out, "at"));
    json_decref(report);
    return at > 0 ? (uint64_t)at : 0;
}

/* For operators: settings are no producer's business. Takes the act. */
static void tell_reload(struct feed_account *a, json_t *act)
{
    struct feed *f = a->feed;
    struct feed_frame *frame;

    json_object_del(act, "at");
    json_object_set_new(act, "account", json_text_of(a->name));
    frame = feed_event(f, "act", act);
    list_each(node, &f->streams) {
        struct feed_stream *s = list_entry(node, struct feed_stream, link);

        if (feed_wants(s, a, FEED_ACT) && s->request->who->admin)
            feed_put(s, frame);
    }
    feed_frame_drop(frame);
}

static void tell_dead(struct feed_account *a, const struct snapshot *g)
{
    struct feed *f = a->feed;
    json_t *j =
        json_pack("{sosI}", "account", json_text_of(a->name), "dead", (json_int_t)g->overview.dead);
    struct feed_frame *frame;

    if (g->dead_id.p)
        json_object_set_new(j, "newest",
                            json_pack("{sososososI}", "id", json_text(g->dead_id), "job",
                                      json_text(g->dead_job), "reason", json_text(g->dead_reason),
                                      "target", json_text(g->dead_target), "at",
                                      (json_int_t)g->dead_at_ms));
    frame = feed_event(f, "dead", j);
    list_each(node, &f->streams) {
        struct feed_stream *s = list_entry(node, struct feed_stream, link);

        if (feed_wants(s, a, FEED_DEAD) && s->request->who->admin)
            feed_put(s, frame);
    }
    feed_frame_drop(frame);
}

static void entry_numbers(struct span id, uint64_t out[2])
{
    const char *dash = id.n ? memchr(id.p, '-', id.n) : NULL;
    size_t before = dash ? (size_t)(dash - id.p) : 0;

    if (!dash || span_to_u64(span_of(id.p, before), &out[0]) < 0 ||
        span_to_u64(span_of(dash + 1, id.n - before - 1), &out[1]) < 0)
        out[0] = out[1] = 0;
}

static bool is_newer(struct span id, const char *than)
{
    uint64_t a[2], b[2];

    entry_numbers(id, a);
    entry_numbers(span_str(than), b);
    return a[0] > b[0] || (a[0] == b[0] && a[1] > b[1]);
}

/* Dead letters that may be large are not looked at; then only their number tells of new ones. */
static bool has_new_letter(const struct feed_account *a, const struct snapshot *g)
{
    if (g->dead_id.p)
        return is_newer(g->dead_id, a->dead_id);
    return g->overview.dead > a->dead;
}

static void compare(struct feed_account *a, const struct snapshot *g)
{
    const struct overview *o = &g->overview;
    json_t *act;
    uint64_t reloaded_ms = reload_of(o, &act);

    if (a->known && reloaded_ms > a->reloaded_ms)
        tell_reload(a, json_incref(act));
    json_decref(act);
    a->reloaded_ms = reloaded_ms > a->reloaded_ms ? reloaded_ms : a->reloaded_ms;
    if (a->known && o->paused != a->paused)
        tell_act(a, o);
    if (a->known && has_new_letter(a, g))
        tell_dead(a, g);
    a->known = true;
    a->paused = o->paused;
    a->dead = o->dead;
    if (g->dead_id.p && is_newer(g->dead_id, a->dead_id))
        snprintf(a->dead_id, sizeof(a->dead_id), "%.*s", (int)g->dead_id.n, g->dead_id.p);
}

/* -- asking -- */

static void on_state(void *ctx, struct snapshot *g)
{
    struct feed_account *a = ctx;
    struct feed *f = a->feed;

    a->asked = false;
    if (!g || !a->listeners)
        return;
    if (!g->overview.unreadable) {
        compare(a, g);
        make_reduced(a, &g->overview);
    }
    make_whole(a, &g->overview);
    list_each_safe(node, next, &f->streams) {
        struct feed_stream *s = list_entry(node, struct feed_stream, link);

        if (feed_wants(s, a, FEED_STATUS))
            feed_wake(s);
    }
}

/* With many accounts, each gets its turn. */
void feed_state_ask(struct feed *f)
{
    uint32_t most = min_u64(f->accounts_count, FEED_SNAPSHOTS_MAX), asked = 0;

    for (uint32_t i = 0; i < f->accounts_count && asked < most; i++) {
        struct feed_account *a = &f->accounts[f->turn];

        f->turn = (f->turn + 1) % f->accounts_count;
        if (a->asked || !a->listeners || !submit_is_up(f->in->submit, a->name))
            continue;
        a->asked = true;
        asked++;
        snapshot_ask(submit_redis(f->in->submit, a->name), feed_config_of(a), on_state, a);
    }
}

void feed_state_forget(struct feed_account *a)
{
    feed_frame_drop(a->whole);
    feed_frame_drop(a->reduced);
    a->whole = a->reduced = NULL;
    a->whole_version = a->reduced_version = 0;
    a->whole_hash = a->reduced_hash = 0;
    a->known = false;
    *a->dead_id = '\0';
}

/* -- sending -- */

static bool take_allowance(struct feed_stream *s, uint32_t bytes)
{
    uint64_t now_ns = clock_mono_ns();

    s->allowance += (double)(now_ns - s->allowed_ns) / (double)NS_PER_S * (double)FEED_STATUS_BYTES;
    s->allowed_ns = now_ns;
    if (s->allowance > FEED_STATUS_BURST)
        s->allowance = FEED_STATUS_BURST;
    if (s->allowance < (double)min_u64(bytes, FEED_STATUS_BURST))
        return false;
    s->allowance -= bytes;
    return true;
}

struct feed_frame *feed_state_next(void *ctx)
{
    struct feed_stream *s = ctx;
    struct feed *f = s->feed;
    bool admin = s->request->who->admin;

    for (uint32_t i = 0; i < f->accounts_count; i++) {
        uint32_t at = (s->next + i) % f->accounts_count;
        struct feed_account *a = &f->accounts[at];
        struct feed_frame *frame = admin ? a->whole : a->reduced;
        uint32_t version = admin ? a->whole_version : a->reduced_version;

        if (!frame || !feed_wants(s, a, FEED_STATUS) || s->seen[at] == version)
            continue;
        if (!take_allowance(s, frame->bytes))
            return NULL;
        s->seen[at] = version;
        s->next = (at + 1) % f->accounts_count;
        return feed_frame_hold(frame);
    }
    return NULL;
}
