/* SPDX-License-Identifier: MIT */
#include "status_watch.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "client.h"
#include "clock.h"
#include "cmd.h"
#include "overview_counts.h"
#include "overview_words.h"
#include "page.h"
#include "redis_config.h"

#define PERIOD_NS NS_PER_S
#define HEADER_EVERY 20    /* lines */
#define PATIENCE_S 5       /* a Redis that is silent for longer counts as away */
#define VERDICTS_AT_ONCE 5 /* lines about accounts whose verdict has changed */

struct watched_account { /* an account */
    const struct config_account *account;
    char verdict[16]; /* the beginning of the one that was told last; "": it is healthy */
    bool known;       /* there was a report */
    struct overview_counts counts;   /* of the last report */
    double sent_per_s, errors_per_s; /* between the last two reports */
};

struct sums {
    double sent_per_s, errors_per_s;
    uint64_t jobs, oldest_ms, left, units, in_flight;
};

struct watching {
    struct redis_address address;
    struct client *client; /* NULL: Redis is away */
    struct watched_account *accounts;
    size_t count;
    unsigned lines; /* since the last header */
    bool told_away;
    unsigned verdicts; /* told in this round */
};

/* -- ^C -- */

/* Everything printed so far has been written, so there is nothing to finish, wherever this
 * interrupts the program. */
static void on_signal(int number)
{
    (void)number;
    if (isatty(STDOUT_FILENO) && write(STDOUT_FILENO, "\n", 1) < 0)
        _exit(CMD_FAILED);
    _exit(CMD_OK);
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    sigemptyset(&action.sa_mask);
    must(sigaction(SIGINT, &action, NULL) == 0);
    must(sigaction(SIGTERM, &action, NULL) == 0);
    must(sigaction(SIGHUP, &action, NULL) == 0);
}

/* -- reading -- */

/* A report that is already known changes nothing: leaders write one a second, too. */
static void take_counts(struct watched_account *a, const struct overview *o)
{
    struct overview_counts now;

    if (!overview_counts(o, &now)) {
        a->known = false;
        a->sent_per_s = a->errors_per_s = 0;
        return;
    }
    if (a->known && now.at_ms == a->counts.at_ms)
        return;
    if (a->known) {
        a->sent_per_s =
            overview_counts_rate(&a->counts, &now, offsetof(struct overview_counts, sent));
        a->errors_per_s =
            overview_counts_rate(&a->counts, &now, offsetof(struct overview_counts, errors));
    }
    a->counts = now;
    a->known = true;
}

static const char *clock_words(char *out, size_t room)
{
    time_t s = (time_t)(clock_wall_ms() / 1000);
    struct tm tm;

    if (!localtime_r(&s, &tm) || strftime(out, room, "%H:%M:%S", &tm) == 0)
        snprintf(out, room, "?");
    return out;
}

/* The end of a verdict may change every second, like a duration; its beginning tells the kind. */
static void tell_verdict(struct watching *w, struct watched_account *a, const struct overview *o)
{
    static const enum cmd_colour colours[] = {
        [OVERVIEW_GOOD] = CMD_GREEN, [OVERVIEW_SLOWED] = CMD_YELLOW, [OVERVIEW_TROUBLE] = CMD_RED};
    char words[OVERVIEW_WORDS_MAX], verdict[sizeof(a->verdict)] = "", clock[16];
    enum overview_mood mood = overview_words(o, words, sizeof(words));

    if (mood != OVERVIEW_GOOD)
        snprintf(verdict, sizeof(verdict), "%.12s", words);
    if (strcmp(verdict, a->verdict) == 0)
        return;
    memcpy(a->verdict, verdict, sizeof(verdict));
    w->verdicts++;
    if (w->verdicts <= VERDICTS_AT_ONCE) {
        cmd_print("%s  ", clock_words(clock, sizeof(clock)));
        page_more(10, colours[mood], "%s: %s", a->account->name, words);
    }
}

static void take(struct watching *w, struct watched_account *a, const struct overview *o,
                 struct sums *sums)
{
    const struct overview_budget *b = &o->budget[LEDGER_PURGE];

    take_counts(a, o);
    tell_verdict(w, a, o);
    for (int i = 0; i < LANE_N; i++) {
        sums->jobs += o->lanes[i].jobs;
        sums->oldest_ms = max_u64(sums->oldest_ms, o->lanes[i].oldest_ms);
    }
    sums->left += b->left;
    sums->units += b->units;
    sums->in_flight += a->known ? a->counts.in_flight : 0;
    sums->sent_per_s += a->sent_per_s;
    sums->errors_per_s += a->errors_per_s;
}

/* 0 or negative errno, see client_error. */
static int read_account(struct watching *w, struct watched_account *a, struct sums *sums)
{
    struct overview o;
    int rc = overview_read_any(w->client, a->account, &o);

    if (rc < 0)
        return rc;
    take(w, a, &o, sums);
    overview_deinit(&o);
    return 0;
}

/* -- printing -- */

static void print_header(void)
{
    cmd_print("%s%-8s  %8s %11s %8s %17s %10s %8s%s\n", cmd_colour(CMD_BOLD), "time", "sent/s",
              "waiting", "oldest", "budget left", "in flight", "errors/s", cmd_colour(CMD_PLAIN));
}

static void print_sums(struct watching *w, const struct sums *s)
{
    char clock[16], jobs[32], age[32] = "-", left[32], budget[48], sent[32];

    if (w->lines++ % HEADER_EVERY == 0)
        print_header();
    if (s->jobs)
        cmd_duration_words(age, sizeof(age), s->oldest_ms);
    snprintf(budget, sizeof(budget), "%s %3u %%", cmd_number_words(left, sizeof(left), s->left),
             s->units ? (unsigned)((double)s->left * 100.0 / (double)s->units) : 0);
    cmd_print("%-8s  %8s %11s %8s %17s %10" PRIu64 " %s%8.0f%s\n",
              clock_words(clock, sizeof(clock)),
              cmd_number_words(sent, sizeof(sent), (uint64_t)(s->sent_per_s + 0.5)),
              cmd_number_words(jobs, sizeof(jobs), s->jobs), age, budget, s->in_flight,
              s->errors_per_s > 0 ? cmd_colour(CMD_RED) : "", s->errors_per_s,
              s->errors_per_s > 0 ? cmd_colour(CMD_PLAIN) : "");
}

/* -- Redis comes and goes -- */

static void tell_redis(struct watching *w, enum cmd_colour colour, const char *what,
                       const char *why)
{
    char clock[16];

    cmd_print("%s  ", clock_words(clock, sizeof(clock)));
    page_more(10, colour, "%s%s%s", what, *why ? ": " : "", why);
    w->lines = 0; /* a header again, when it goes on */
}

/* `why` may belong to the client. */
static void on_away(struct watching *w, int err, const char *why)
{
    if (!w->told_away)
        tell_redis(w, CMD_RED, err == -EIO ? "Redis refuses" : "Redis away", why);
    w->told_away = true;
    client_close(w->client);
    w->client = NULL;
}

static void connect_again(struct watching *w)
{
    struct error err;

    int rc = client_open(&w->address, &w->client, &err);

    if (rc < 0) {
        w->client = NULL;
        on_away(w, rc, err.text);
        return;
    }
    client_set_patience(w->client, PATIENCE_S);
    if (w->told_away)
        tell_redis(w, CMD_GREEN, "Redis is back", "");
    w->told_away = false;
}

static void look(struct watching *w)
{
    struct sums sums = {0};
    int rc = 0;

    if (!w->client)
        connect_again(w);
    w->verdicts = 0;
    for (size_t i = 0; w->client && rc == 0 && i < w->count; i++)
        rc = read_account(w, &w->accounts[i], &sums);
    if (rc < 0)
        on_away(w, rc, client_error(w->client));
    if (w->verdicts > VERDICTS_AT_ONCE)
        cmd_print("          and %u more: see 'purgeline status'\n",
                  w->verdicts - VERDICTS_AT_ONCE);
    if (w->client)
        print_sums(w, &sums);
}

/* Waits for the next second; one that is over already is left out. */
static void await_next(uint64_t *next_ns)
{
    uint64_t now_ns = clock_mono_ns();

    *next_ns += PERIOD_NS;
    if (*next_ns <= now_ns)
        *next_ns = now_ns;
    poll(NULL, 0, (int)((*next_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS));
}

int status_watch(const struct config *config, const char *only)
{
    struct watching w = {0};
    uint64_t next_ns = clock_mono_ns();
    int rc = cmd_redis_address(config, &w.address);

    if (rc != 0)
        return rc;
    catch_signals();
    w.accounts = alloc_zeroed(config->accounts_count, sizeof(*w.accounts));
    for (uint32_t i = 0; i < config->accounts_count; i++)
        if (!only || strcmp(only, config->accounts[i].name) == 0)
            w.accounts[w.count++].account = &config->accounts[i];
    for (;;) {
        look(&w);
        if (fflush(stdout) != 0)
            break;
        await_next(&next_ns);
    }
    client_close(w.client);
    redis_address_deinit(&w.address);
    free(w.accounts);
    return CMD_FAILED;
}
