/* SPDX-License-Identifier: MIT */
#include "overview_words.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "buf.h"
#include "log.h"
#include "redis_error.h"
#include "show.h"

#define CONTROL_WHY_SHOWN 600 /* bytes, after escaping; more only if not written by control_set */

/* The leader's report about itself. Other programs may have written into its key. */
struct leader_status {
    json_t *json;
    const char *state, *brake, *cause;
};

static const char *text_of(const struct leader_status *r, const char *name)
{
    const char *text = json_string_value(json_object_get(r->json, name));

    return text ? text : "";
}

static void open_status(struct leader_status *r, const struct overview *o)
{
    r->json = o->status ? json_loads(o->status, 0, NULL) : NULL;
    r->state = text_of(r, "state");
    r->brake = text_of(r, "brake");
    r->cause = text_of(r, "brake_cause");
}

static uint64_t waiting(const struct overview *o)
{
    uint64_t jobs = 0;

    for (int i = 0; i < LANE_N; i++)
        jobs += o->lanes[i].jobs;
    return jobs;
}

static void paused_words(const struct overview *o, char *out, size_t room)
{
    const char *why = o->paused_why ? o->paused_why : "";
    struct buf shown;

    buf_init(&shown, SIZE_MAX);
    show_for_terminal(&shown, span_str(why));
    snprintf(out, room, "paused%s%.*s", *why ? ": " : "", (int)min_u64(shown.n, CONTROL_WHY_SHOWN),
             shown.n ? shown.p : "");
    buf_deinit(&shown);
}

static void duration_words(char *out, size_t room, uint64_t ms)
{
    if (ms < 60000)
        snprintf(out, room, "%.1f s", (double)ms / 1000);
    else if (ms < 3600000)
        snprintf(out, room, "%" PRIu64 " min", ms / 60000);
    else
        snprintf(out, room, "%" PRIu64 " h", ms / 3600000);
}

/* The remedy may be missing, because an older leader does not report it. */
static void refused_words(const struct leader_status *r, char *out, size_t room)
{
    const char *remedy = text_of(r, "brake_remedy");
    json_int_t status = json_integer_value(json_object_get(r->json, "brake_status"));
    json_int_t for_ms = json_integer_value(json_object_get(r->json, "brake_for_ms"));
    char code[32] = "", since[32] = "", shown[600];

    if (status > 0 && status < 1000)
        snprintf(code, sizeof(code), " (%d)", (int)status);
    if (for_ms > 0) {
        memcpy(since, " for ", 6);
        duration_words(since + 5, sizeof(since) - 5, (uint64_t)for_ms);
    }
    snprintf(out, room, "NOT SENDING: Fastly refuses the token%s%s; %s", code, since,
             *remedy ? log_quote(shown, sizeof(shown), remedy, strlen(remedy))
                     : "give it a valid one and reload purgeline");
}

/* Until when Fastly wants nothing, by the clock of the leader; an older leader does not tell it. */
static void throttled_words(const struct leader_status *r, char *out, size_t room)
{
    json_int_t until_ms = json_integer_value(json_object_get(r->json, "brake_until"));
    time_t until_s = (time_t)(until_ms / 1000);
    char clock[16];
    struct tm tm;

    if (strcmp(r->brake, "probing") == 0)
        snprintf(out, room, "held by Fastly (429): one request at a time is tried");
    else if (until_ms > 0 && localtime_r(&until_s, &tm) &&
             strftime(clock, sizeof(clock), "%H:%M:%S", &tm))
        snprintf(out, room, "held by Fastly until %s (429); then it goes on by itself", clock);
    else
        snprintf(out, room, "held by Fastly (429); it goes on by itself");
}

/* Describes the brake, if it is on. */
static bool held_words(const struct leader_status *r, char *out, size_t room,
                       enum overview_mood *mood)
{
    static const struct {
        const char *cause, *words;
        enum overview_mood mood;
    } causes[] = {
        {"token refused", NULL, OVERVIEW_TROUBLE},
        {"outage", "Fastly cannot be reached or answers with errors; tried until it is back",
         OVERVIEW_TROUBLE},
        {"throttled", NULL, OVERVIEW_SLOWED},
    };
    char cause[100];

    if (!*r->brake || strcmp(r->brake, "free") == 0)
        return false;
    for (size_t i = 0; i < array_len(causes); i++) {
        if (strcmp(r->cause, causes[i].cause) != 0)
            continue;
        *mood = strcmp(r->brake, "growing") == 0 ? OVERVIEW_SLOWED : causes[i].mood;
        if (strcmp(r->brake, "growing") == 0)
            snprintf(out, room, "coming back to its full pace");
        else if (causes[i].words)
            snprintf(out, room, "%s", causes[i].words);
        else if (*mood == OVERVIEW_TROUBLE)
            refused_words(r, out, room);
        else
            throttled_words(r, out, room);
        return true;
    }
    /* a cause that only a newer leader knows */
    *mood = OVERVIEW_SLOWED;
    if (strcmp(r->brake, "growing") == 0)
        snprintf(out, room, "coming back to its full pace");
    else
        snprintf(out, room,
                 "its leader waits (%s); this purgeline is older than its leader: upgrade it",
                 log_quote(cause, sizeof(cause), r->cause, strlen(r->cause)));
    return true;
}

static enum overview_mood going_words(const struct overview *o, const struct leader_status *r,
                                      char *out, size_t room)
{
    const struct overview_budget *b = &o->budget[LEDGER_PURGE];
    uint64_t jobs = waiting(o);
    bool poor = jobs && b->counted && b->known && b->left == 0;

    if (!o->status)
        snprintf(out, room, "somebody leads it and says nothing of itself: look at its log");
    else if (strcmp(r->state, "leading") != 0)
        snprintf(out, room, "its leader is taking over or leaving");
    else if (poor)
        snprintf(out, room, "the budget is spent; what waits is sent as it comes back");
    else if (jobs)
        snprintf(out, room, "healthy, purging");
    else
        snprintf(out, room, "healthy, nothing waits");
    return !o->status || poor || strcmp(r->state, "leading") != 0 ? OVERVIEW_SLOWED : OVERVIEW_GOOD;
}

static void unreadable_words(const struct overview *o, char *out, size_t room)
{
    const char *advice = redis_error_advice(redis_error_of(o->unreadable));
    char shown[300];

    snprintf(out, room, "unknown: Redis refuses to read it: %s%s%s",
             log_quote(shown, sizeof(shown), o->unreadable, strlen(o->unreadable)),
             *advice ? "; " : "", advice);
}

enum overview_mood overview_words(const struct overview *o, char *out, size_t room)
{
    enum overview_mood mood = OVERVIEW_TROUBLE;
    struct leader_status r;

    open_status(&r, o);
    if (o->unreadable)
        unreadable_words(o, out, room);
    else if (!o->leader)
        snprintf(out, room, "nobody leads it: start 'purgeline run', or look at its log");
    else if (o->paused)
        paused_words(o, out, room);
    else if (o->stalled)
        snprintf(out, room, "stalled: nothing is sent until it is mended");
    else if (!held_words(&r, out, room, &mood))
        mood = going_words(o, &r, out, room);
    json_decref(r.json);
    return mood;
}

bool overview_last_error(const struct overview *o, char *out, size_t room, uint64_t *age_ms)
{
    const char *text;
    struct leader_status r;
    bool there;

    open_status(&r, o);
    text = text_of(&r, "last_error");
    there = *text;
    log_quote(out, room, text, strlen(text));
    *age_ms = (uint64_t)json_integer_value(json_object_get(r.json, "last_error_age_ms"));
    json_decref(r.json);
    return there;
}

bool overview_origin(const struct overview *o, char *out, size_t room, uint64_t *jobs)
{
    const char *text;
    struct leader_status r;

    open_status(&r, o);
    text = text_of(&r, "origin_seen");
    log_quote(out, room, text, strlen(text));
    *jobs = (uint64_t)json_integer_value(json_object_get(r.json, "origin_waiting"));
    json_decref(r.json);
    return *jobs > 0;
}

static uint64_t number_of(const json_t *j, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(j, name));

    return n > 0 ? (uint64_t)n : 0;
}

bool overview_refused_early(const struct overview *o, enum ledger_kind l,
                            struct overview_early *out)
{
    const json_t *j;
    struct leader_status r;

    open_status(&r, o);
    j = json_object_get(json_object_get(r.json, "refused_early"), ledger_names[l]);
    *out = (struct overview_early){number_of(j, "at"),
                                   number_of(j, "halved_until"),
                                   number_of(j, "less_until"),
                                   number_of(j, "spent"),
                                   number_of(j, "units"),
                                   number_of(j, "burst"),
                                   number_of(r.json, "at") >= number_of(j, "halved_until")};
    json_decref(r.json);
    return out->at_ms > 0;
}

bool overview_verified(const struct overview *o, struct overview_verified *out)
{
    struct leader_status r;

    open_status(&r, o);
    *out = (struct overview_verified){
        number_of(r.json, "verified_fresh"), number_of(r.json, "verified_unknown"),
        number_of(r.json, "verified_stale"), number_of(r.json, "verify_repairs"),
        number_of(r.json, "verify_pending")};
    json_decref(r.json);
    return out->fresh || out->unknown || out->stale || out->repairs || out->pending;
}

static bool report_text(const struct overview *o, const char *name, char *out, size_t room)
{
    const char *text;
    struct leader_status r;
    bool there;

    open_status(&r, o);
    text = text_of(&r, name);
    there = *text;
    log_quote(out, room, text, strlen(text));
    json_decref(r.json);
    return there;
}

bool overview_no_service(const struct overview *o)
{
    struct leader_status r;
    bool none;

    open_status(&r, o);
    none = json_is_true(json_object_get(r.json, "no_service"));
    json_decref(r.json);
    return none;
}

bool overview_http(const struct overview *o, char *out, size_t room)
{
    return report_text(o, "http", out, room);
}

bool overview_needs_restart(const struct overview *o, char *out, size_t room)
{
    return report_text(o, "needs_restart", out, room);
}

static void take_words(char *out, size_t room, const json_t *words)
{
    const char *text = json_string_value(words);

    log_quote(out, room, text ? text : "", text ? strlen(text) : 0);
}

bool overview_canary(const struct overview *o, size_t index, struct overview_canary *out)
{
    struct leader_status r;
    const json_t *j;
    bool there;

    open_status(&r, o);
    j = json_array_get(json_object_get(r.json, "canaries"), index);
    there = json_is_object(j);
    take_words(out->what, sizeof(out->what), json_object_get(j, "what"));
    take_words(out->advice, sizeof(out->advice), json_object_get(j, "advice"));
    json_decref(r.json);
    return there;
}

bool overview_others_purge_alls(const struct overview *o, uint64_t *count)
{
    struct leader_status r;
    bool known;

    open_status(&r, o);
    known = json_is_integer(json_object_get(r.json, "others_purge_alls"));
    *count = number_of(r.json, "others_purge_alls");
    json_decref(r.json);
    return known;
}

bool overview_repeat(const struct overview *o, size_t index, struct overview_repeat *out)
{
    struct leader_status r;
    const json_t *j;
    bool there;

    open_status(&r, o);
    j = json_array_get(json_object_get(r.json, "repeats"), index);
    there = json_is_object(j);
    take_words(out->service, sizeof(out->service), json_object_get(j, "service"));
    out->after_ms = number_of(j, "after_ms");
    json_decref(r.json);
    return there;
}

uint64_t overview_canaries_ok(const struct overview *o)
{
    struct leader_status r;
    uint64_t n;

    open_status(&r, o);
    n = number_of(r.json, "canaries_ok");
    json_decref(r.json);
    return n;
}
