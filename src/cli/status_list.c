/* SPDX-License-Identifier: MIT
 * Many accounts, and their instances. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "buf.h"
#include "cmd.h"
#include "log.h"
#include "page.h"
#include "status_page.h"

#define LINES_UNWELL 30  /* of a list on a terminal: accounts that are not healthy */
#define LINES_HEALTHY 10 /* and further accounts */
#define NAME_COLUMNS 24  /* longer names are cut */
#define NAMES_SHOWN 8    /* of the accounts that an instance leads */

static uint64_t oldest_ms(const struct status_account *s)
{
    uint64_t oldest = 0;

    for (int i = 0; i < LANE_N; i++)
        oldest = max_u64(oldest, s->overview.lanes[i].oldest_ms);
    return oldest;
}

static int order(const void *left, const void *right)
{
    const struct status_account *a = left, *b = right;
    uint64_t a_ms = oldest_ms(a), b_ms = oldest_ms(b);

    if (a->mood != b->mood)
        return a->mood > b->mood ? -1 : 1;
    if (a_ms != b_ms)
        return a_ms > b_ms ? -1 : 1;
    return a->account < b->account ? -1 : 1; /* as in the configuration */
}

void status_sort(struct status_account *all, size_t count)
{
    if (count)
        qsort(all, count, sizeof(*all), order);
}

/* -- a line for each -- */

static unsigned consumers_in_trouble(const struct overview *o)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < o->consumers.count; i++)
        n += o->consumers.at[i].condition != CONSUMER_RUNNING &&
             o->consumers.at[i].condition != CONSUMER_PAUSED;
    return n;
}

static void print_line(const struct status_account *s, unsigned name_columns)
{
    static const enum cmd_colour colours[] = {
        [OVERVIEW_GOOD] = CMD_PLAIN, [OVERVIEW_SLOWED] = CMD_YELLOW, [OVERVIEW_TROUBLE] = CMD_RED};
    const struct overview *o = &s->overview;
    unsigned unwell = consumers_in_trouble(o);
    uint64_t jobs = 0;
    struct buf words;
    char n[32], age[32];

    for (int i = 0; i < LANE_N; i++)
        jobs += o->lanes[i].jobs;
    buf_init(&words, SIZE_MAX);
    if (s->mood == OVERVIEW_GOOD && unwell)
        cmd_put(&words, "%u consumer%s in trouble; ", unwell, unwell == 1 ? "" : "s");
    cmd_put(&words, "%s", s->words);
    if (jobs)
        cmd_put(&words, "; %s wait%s, the oldest for %s", cmd_number_words(n, sizeof(n), jobs),
                jobs == 1 ? "s" : "", cmd_duration_words(age, sizeof(age), oldest_ms(s)));
    if (o->dead)
        cmd_put(&words, "; %s dead", cmd_number_words(n, sizeof(n), o->dead));
    page_item(s->account->name, name_columns,
              s->mood == OVERVIEW_GOOD && unwell ? CMD_YELLOW : colours[s->mood], words.p);
    buf_deinit(&words);
}

struct tally {
    size_t of[OVERVIEW_TROUBLE + 1];
};

static struct tally tally_of(const struct status_account *all, size_t count)
{
    struct tally t = {0};

    for (size_t i = 0; i < count; i++)
        t.of[all[i].mood]++;
    return t;
}

/* "300 accounts: 1 needs help, 2 are slowed down, 297 are healthy" */
static void print_tally(const char *begin, const struct tally *t, const char *end)
{
    static const struct {
        enum overview_mood mood;
        const char *one, *many;
    } shown[] = {{OVERVIEW_TROUBLE, "needs help", "need help"},
                 {OVERVIEW_SLOWED, "is slowed down", "are slowed down"},
                 {OVERVIEW_GOOD, "is healthy", "are healthy"}};
    const char *separator = begin;

    for (size_t i = 0; i < array_len(shown); i++) {
        size_t n = t->of[shown[i].mood];

        if (n == 0)
            continue;
        cmd_print("%s%zu %s", separator, n, n == 1 ? shown[i].one : shown[i].many);
        separator = ", ";
    }
    cmd_print("%s\n", end);
}

void status_list(const struct status_account *all, size_t count)
{
    struct tally tally = tally_of(all, count);
    unsigned columns = 0;
    size_t unwell = count - tally.of[OVERVIEW_GOOD];
    size_t most = isatty(STDOUT_FILENO) ? min_u64(unwell, LINES_UNWELL) + LINES_HEALTHY : count;
    size_t lines = min_u64(count, most);

    for (size_t i = 0; i < count; i++)
        columns = (unsigned)max_u64(columns, page_columns_of(span_str(all[i].account->name)));
    columns = (unsigned)min_u64(columns, NAME_COLUMNS);
    cmd_print("%s%zu accounts%s", cmd_colour(CMD_BOLD), count, cmd_colour(CMD_PLAIN));
    print_tally(": ", &tally, "");
    for (size_t i = 0; i < lines; i++)
        print_line(&all[i], columns);
    if (lines < count) {
        struct tally left = tally_of(all + lines, count - lines);

        print_tally("and ", &left, " (--all lists them)");
    }
    cmd_print("'purgeline status -a NAME' shows more of an account\n");
}

/* -- who leads what -- */

void status_instance_words(const char *name, char *out, size_t room)
{
    const char *pid = name;
    char host[100];

    for (int i = 0; pid && i < 3; i++) {
        pid = strchr(pid, '/');
        pid = pid ? pid + 1 : NULL;
    }
    log_quote(host, sizeof(host), name, strcspn(name, "/"));
    if (pid && strspn(pid, "0123456789"))
        snprintf(out, room, "%s, process %.*s", host, (int)min_u64(strspn(pid, "0123456789"), 20),
                 pid);
    else
        snprintf(out, room, "%s", host);
}

static void put_led(struct buf *out, const struct overview_instance *in)
{
    for (uint32_t i = 0; i < in->led.count && i < NAMES_SHOWN; i++)
        cmd_put(out, "%s%s", i ? ", " : ": ", in->led.at[i]);
    if (in->leads > NAMES_SHOWN)
        cmd_put(out, " and %u more", in->leads - NAMES_SHOWN);
}

void status_instances(const struct overview_instances *s)
{
    if (s->count < 2)
        return;
    cmd_print("\n%s%u instances%s\n", cmd_colour(CMD_BOLD), s->count, cmd_colour(CMD_PLAIN));
    for (uint32_t i = 0; i < s->count; i++) {
        const struct overview_instance *in = &s->at[i];
        char name[STATUS_INSTANCE_ROOM];
        struct buf text;

        buf_init(&text, SIZE_MAX);
        status_instance_words(in->name, name, sizeof(name));
        cmd_put(&text, "%s: leads %u of %u %s", name, in->leads, in->accounts,
                in->accounts == 1 ? "account" : "accounts");
        put_led(&text, in);
        cmd_print("  ");
        page_more(2, CMD_PLAIN, "%s", text.p);
        buf_deinit(&text);
    }
}
