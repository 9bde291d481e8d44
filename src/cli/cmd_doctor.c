/* SPDX-License-Identifier: MIT */
#include "cmd_doctor.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "diagnosis.h"
#include "glance.h"
#include "json_text.h"

#define FETCH_TIMEOUT_MS 30000
#define REASON_MAX_BYTES (64 * 1024)
#define OPEN_LOOKS 5       /* at a page of which nothing can be said */
#define OPEN_PAUSE_MS 300  /* between two of them */
#define SOFT_PAUSE_MS 1000 /* for a POP that fetches in the background */
#define TELLING_AGE_S 3    /* see let_it_age */

const char cmd_doctor_help[] =
    "usage: purgeline doctor [OPTION...] URL\n"
    "\n"
    "Fetches a page twice, with Fastly-Debug, and explains what the replies say about it: which\n"
    "caches it comes through, how old their copies are, its surrogate keys, and what a hard or\n"
    "soft purge will do. With --purge or --soft-purge it then purges the URL, and looks whether\n"
    "the page is older than the purge. The purge goes through the account's queue, like that of\n"
    "'purgeline push': purgeline run must be running. Otherwise neither Redis nor a\n"
    "configuration is needed.\n"
    "\n"
    "It sees only the POP that is next to this machine. With --all-pops it also asks Fastly, with\n"
    "the account's token, what every POP holds (GET /content/edge_check): each POP that does not\n"
    "have the page fetches it. Fastly allows 200 such requests an hour, for all users together;\n"
    "they are counted in Redis (reads.edge_checks), and if it is away, it says that it did not.\n"
    "\n"
    "      --all-pops         show what each POP holds, and which differ or are older than the\n"
    "                         purge\n"
    "      --purge            purge the URL, and look again\n"
    "      --soft-purge       the same, but mark it as stale instead of removing it\n"
    "      --repeat-after T   if the page is old after the purge, purge a second time this\n"
    "                         long after the first: 2s\n"
    "  -L, --follow           follow redirects, at most 10\n"
    "  -w, --wait T           wait this long for a purge to be sent (default 60s)\n"
    "  -j, --json             one JSON object per look and per finding\n"
    "  -a, --account NAME     the account that purges and asks; required if there are "
    "several\n" CMD_OPTIONS_HELP "\n"
    "examples:\n"
    "  purgeline doctor https://www.example.com/\n"
    "  purgeline doctor --purge --repeat-after 2s https://www.example.com/article/17\n"
    "  purgeline doctor --all-pops https://www.example.com/article/17\n"
    "\n"
    "exit codes: 0 a purge works, or would, as far as can be seen; 1 it does not, or the page\n"
    "cannot be fetched; 2 wrong arguments or configuration; 3 Redis cannot be reached; 4 the\n"
    "purge was not sent in time\n";

enum long_only { OPT_PURGE = 256, OPT_SOFT, OPT_REPEAT, OPT_POPS };

static const struct option options[] = {CMD_LONG,
                                        {"purge", no_argument, NULL, OPT_PURGE},
                                        {"soft-purge", no_argument, NULL, OPT_SOFT},
                                        {"repeat-after", required_argument, NULL, OPT_REPEAT},
                                        {"all-pops", no_argument, NULL, OPT_POPS},
                                        {"follow", no_argument, NULL, 'L'},
                                        {"wait", required_argument, NULL, 'w'},
                                        {NULL, 0, NULL, 0}};

/* A reply and what it says. */
struct look {
    struct glance page;
    struct sighting seen; /* points into page.head */
    uint64_t began_ns, ended_ns;
};

struct doctor {
    struct cmd_common common;
    enum doctor_purge purge;
    uint64_t repeat_after_ms; /* 0: no second purge */
    uint64_t wait_ms;
    enum glance_redirects redirects;
    bool all_pops;

    const char *url;
    const char *purged_url; /* with --follow, that of the page to which it leads */
    struct glancer *glancer;
    uint64_t looks;
    bool failed;
    uint64_t purge_began_ns, purge_ended_ns; /* of the last purge */
};

/* -- options -- */

static int take_time(const char *name, uint64_t *ms)
{
    if (cmd_parse_duration(optarg, ms) == 0 && *ms > 0 && *ms <= UINT32_MAX)
        return 0;
    return cmd_fail(CMD_USAGE, "--%s: expected a time like 2s, not '%s'", name, optarg);
}

static int take_purge(struct doctor *d, enum doctor_purge how)
{
    if (d->purge != DOCTOR_LEAVE && d->purge != how)
        return cmd_fail(CMD_USAGE, "--purge or --soft-purge, not both");
    d->purge = how;
    return 0;
}

static int take_option(struct doctor *d, int opt)
{
    switch (opt) {
    case OPT_PURGE:
        return take_purge(d, DOCTOR_HARD);
    case OPT_SOFT:
        return take_purge(d, DOCTOR_SOFT);
    case OPT_REPEAT:
        return take_time("repeat-after", &d->repeat_after_ms);
    case 'w':
        return take_time("wait", &d->wait_ms);
    case OPT_POPS:
        d->all_pops = true;
        return 0;
    case 'L':
        d->redirects = GLANCE_FOLLOW;
        return 0;
    default:
        must(cmd_take_common(&d->common, opt));
        return 0;
    }
}

static int take_options(struct doctor *d, int argc, char **argv)
{
    int opt, rc;

    while ((opt = getopt_long(argc, argv, CMD_SHORT "w:L", options, NULL)) != -1) {
        if (opt == '?' || opt == 'h')
            break;
        rc = take_option(d, opt);
        if (rc != 0)
            return rc;
    }
    return cmd_after_options("doctor", opt, cmd_doctor_help);
}

static int take_url(struct doctor *d, int argc, char **argv)
{
    if (argc != 1)
        return cmd_fail(CMD_USAGE, "one URL is needed. Try 'purgeline doctor --help'");
    if (!span_starts_nocase(span_str(argv[0]), "https://") &&
        !span_starts_nocase(span_str(argv[0]), "http://"))
        return cmd_fail(CMD_USAGE, "the URL must begin with https:// or http://, not '%s'",
                        argv[0]);
    if (d->repeat_after_ms && d->purge == DOCTOR_LEAVE)
        return cmd_fail(CMD_USAGE, "--repeat-after needs --purge or --soft-purge");
    d->url = argv[0];
    return 0;
}

/* -- printing -- */

static void print_json(json_t *j)
{
    cmd_print_json(j, CMD_JSON_LINE);
    json_decref(j);
}

static void on_finding(void *ctx, const struct diagnosis_finding *f)
{
    static const enum cmd_colour colours[DIAGNOSIS_N] = {[DIAGNOSIS_OK] = CMD_GREEN,
                                                         [DIAGNOSIS_NOTE] = CMD_DIM,
                                                         [DIAGNOSIS_WARN] = CMD_YELLOW,
                                                         [DIAGNOSIS_FAIL] = CMD_RED};
    struct doctor *d = ctx;
    const char *grade = diagnosis_grade_names[f->grade];

    d->failed |= f->grade == DIAGNOSIS_FAIL;
    if (d->common.json) {
        print_json(json_pack("{sosososo}", "grade", json_text_of(grade), "subject",
                             json_text_of(f->subject), "what", json_text_of(f->what), "advice",
                             json_text_of(f->advice)));
        return;
    }
    cmd_print("%s%-4s%s  %s: %s\n", cmd_colour(colours[f->grade]), grade, cmd_colour(CMD_PLAIN),
              f->subject, f->what);
    if (*f->advice)
        cmd_print("      -> %s\n", f->advice);
}

static void tell(const struct doctor *d, const char *subject, const char *what)
{
    if (d->common.json)
        return;
    cmd_print("%s      %s: %s%s\n", cmd_colour(CMD_DIM), subject, what, cmd_colour(CMD_PLAIN));
    fflush(stdout); /* whoever waits sees why */
}

static const char *const cache_words[SIGHTING_CACHE_N] = {
    [SIGHTING_UNSAID] = "?", [SIGHTING_MISS] = "MISS", [SIGHTING_HIT] = "HIT"};

static json_t *caches_json(const struct sighting *s)
{
    json_t *list = json_array();

    for (size_t i = 0; i < s->hops_count; i++) {
        const struct sighting_hop *hop = &s->hops[i];
        json_t *j = json_pack("{sososo}", "server", json_text(hop->server), "pop",
                              json_text(hop->pop), "cache", json_text_of(cache_words[hop->cache]));

        if (hop->age_known)
            json_object_set_new(j, "age_s", json_integer((json_int_t)hop->age_s));
        json_array_append_new(list, j);
    }
    return list;
}

static void print_look_json(const struct doctor *d, const struct look *l)
{
    const struct sighting *s = &l->seen;
    json_t *j = json_pack(
        "{sIsosIsosIsosIsIsI}", "look", (json_int_t)d->looks, "url", json_text_of(l->page.url),
        "status", (json_int_t)l->page.status, "address", json_text_of(l->page.address), "bytes",
        (json_int_t)l->page.body_bytes, "caches", caches_json(s), "keys", (json_int_t)s->keys_count,
        "keys_bytes", (json_int_t)s->keys_bytes, "stale_while_revalidate_s", (json_int_t)s->swr_s);

    if (s->age_known)
        json_object_set_new(j, "age_s", json_integer((json_int_t)s->age_s));
    print_json(j);
}

static void print_look(const struct doctor *d, const struct look *l)
{
    char number[32];

    if (d->common.json) {
        print_look_json(d, l);
        return;
    }
    cmd_print("%slook %" PRIu64 "%s  %d from %s, %s%s bytes", cmd_colour(CMD_BOLD), d->looks,
              cmd_colour(CMD_PLAIN), l->page.status, l->page.address,
              l->page.body_cut ? "more than " : "",
              cmd_number_words(number, sizeof(number), l->page.body_bytes));
    for (size_t i = 0; i < l->seen.hops_count; i++)
        cmd_print("%s %.*s %s", i ? "," : ";", (int)min_u64(l->seen.hops[i].pop.n, 64),
                  l->seen.hops[i].pop.p, cache_words[l->seen.hops[i].cache]);
    if (l->seen.age_known)
        cmd_print("; age %" PRIu64 " s", l->seen.age_s);
    cmd_print("\n");
    if (*l->page.redirect)
        cmd_print("        it redirects to %s (--follow goes there)\n", l->page.redirect);
}

/* -- looking -- */

static int look(struct doctor *d, struct look *out)
{
    struct error err;
    int rc;

    out->began_ns = clock_mono_ns();
    rc = glance(d->glancer, &out->page, &err);
    out->ended_ns = clock_mono_ns();
    if (rc < 0)
        return cmd_fail(CMD_FAILED, "%s: %s", d->url, err.text);
    sighting_read(&out->seen, buf_span(&out->page.head));
    d->looks++;
    print_look(d, out);
    return CMD_OK;
}

static void pause_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000 * 1000000)};

    while (nanosleep(&left, &left) < 0)
        ;
}

static enum sighting_state state_of(const struct doctor *d, const struct look *l)
{
    uint64_t least_ns = minus_u64(l->began_ns, d->purge_ended_ns);

    return sighting_against(&l->seen, least_ns / NS_PER_MS,
                            (l->ended_ns - d->purge_began_ns) / NS_PER_MS);
}

/* Age is in whole seconds, so a copy that was made within a second before the purge cannot always
 * be told from a new one, but a moment later it may. */
static int look_until_clear(struct doctor *d, struct look *out, enum sighting_state *state)
{
    for (int i = 0;; i++) {
        int rc = look(d, out);

        if (rc != CMD_OK)
            return rc;
        *state = state_of(d, out);
        if (*state != SIGHTING_OPEN || !out->seen.age_known || i == OPEN_LOOKS - 1)
            return CMD_OK;
        glance_deinit(&out->page);
        pause_ms(OPEN_PAUSE_MS);
    }
}

/* Looks at the page after a purge and explains what it sees. */
static int look_after(struct doctor *d, const struct diagnosis_purge *p, enum sighting_state *state)
{
    struct look l;
    int rc = look_until_clear(d, &l, state);

    if (rc != CMD_OK)
        return rc;
    diagnosis_after(p, &l.seen, *state, on_finding, d);
    glance_deinit(&l.page);
    return CMD_OK;
}

/* -- purging -- */

/* CMD_OK: purged. CMD_FAILED: refused, and explained. */
static int purge(struct doctor *d)
{
    struct buf refusal;
    int rc;

    buf_init(&refusal, REASON_MAX_BYTES);
    tell(d, "purge",
         d->purge == DOCTOR_SOFT ? "soft, and waiting for its receipt"
                                 : "hard, and waiting for its receipt");
    d->purge_began_ns = clock_mono_ns();
    rc = cmd_doctor_purge(&d->common, &(struct doctor_target){.text = d->purged_url, .service = ""},
                          d->purge, d->wait_ms, &refusal);
    d->purge_ended_ns = clock_mono_ns();
    if (rc == CMD_OK && refusal.n) {
        diagnosis_refusal(refusal.p, on_finding, d);
        rc = CMD_FAILED;
    }
    buf_deinit(&refusal);
    return rc;
}

/* A copy must be some seconds old, or it cannot be told from a copy made after the purge. */
static void let_it_age(const struct doctor *d, const struct look *l)
{
    if (!l->seen.age_known || l->seen.age_s >= TELLING_AGE_S)
        return;
    tell(d, "purge", "in 3 s, so that an old copy differs from a new one by its age");
    pause_ms(TELLING_AGE_S * 1000);
}

static int purge_again(struct doctor *d, struct diagnosis_purge *p)
{
    enum sighting_state state;
    char words[32], sentence[80];
    uint64_t at_ns = d->purge_ended_ns + d->repeat_after_ms * NS_PER_MS;
    int rc;

    p->after = cmd_duration_words(words, sizeof(words), d->repeat_after_ms);
    p->second = true;
    p->repeats = false;
    p->looked_before = false;
    snprintf(sentence, sizeof(sentence), "once more, %s after the first one", p->after);
    tell(d, "purge", sentence);
    pause_ms(minus_u64(at_ns, clock_mono_ns()) / NS_PER_MS);
    rc = purge(d);
    return rc == CMD_OK ? look_after(d, p, &state) : rc;
}

static int purge_and_look(struct doctor *d, const struct look *before)
{
    struct diagnosis_purge p = {.soft = d->purge == DOCTOR_SOFT,
                                .repeats = d->repeat_after_ms > 0,
                                .swr_s = before->seen.swr_s};
    enum sighting_state state;
    int rc;

    d->purged_url = d->redirects == GLANCE_FOLLOW ? before->page.url : d->url;
    let_it_age(d, before);
    rc = purge(d);
    if (rc == CMD_OK)
        rc = look_after(d, &p, &state);
    if (rc == CMD_OK && state == SIGHTING_STALE && p.soft && p.swr_s) {
        pause_ms(SOFT_PAUSE_MS);
        p.looked_before = true;
        rc = look_after(d, &p, &state);
    }
    if (rc == CMD_OK && state == SIGHTING_STALE && d->repeat_after_ms)
        rc = purge_again(d, &p);
    return rc;
}

/* -- all of it -- */

static int ask_all_pops(struct doctor *d, const struct look *last)
{
    const char *url = d->redirects == GLANCE_FOLLOW ? last->page.url : d->url;
    uint64_t now_ns = clock_mono_ns();
    struct diagnosis_pops_purge purge = {
        .least_ms = minus_u64(now_ns, d->purge_ended_ns) / NS_PER_MS,
        .most_ms = minus_u64(now_ns, d->purge_began_ns) / NS_PER_MS,
        .stale_once = d->purge == DOCTOR_SOFT && last->seen.swr_s > 0};

    return cmd_doctor_pops(&d->common, url, d->purge == DOCTOR_LEAVE ? NULL : &purge, on_finding,
                           d);
}

static int look_twice(struct doctor *d)
{
    struct look first, second;
    int rc = look(d, &first);

    if (rc != CMD_OK)
        return rc;
    rc = look(d, &second);
    if (rc == CMD_OK) {
        diagnosis_page(&first.seen, &second.seen, on_finding, d);
        if (d->purge != DOCTOR_LEAVE)
            rc = purge_and_look(d, &second);
        if (rc == CMD_OK && d->all_pops)
            rc = ask_all_pops(d, &second);
        glance_deinit(&second.page);
    }
    glance_deinit(&first.page);
    return rc;
}

int cmd_doctor(int argc, char **argv)
{
    struct doctor d = {.wait_ms = 60000};
    int rc = take_options(&d, argc, argv);

    if (rc != -1)
        return rc;
    rc = take_url(&d, argc - optind, argv + optind);
    if (rc != 0)
        return rc;
    d.glancer = glancer_new(d.url, d.redirects, FETCH_TIMEOUT_MS);
    rc = look_twice(&d);
    glancer_free(d.glancer);
    return rc == CMD_OK && d.failed ? CMD_FAILED : rc;
}
