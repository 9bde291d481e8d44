/* SPDX-License-Identifier: MIT
 * What purgeline top shows, read from Redis once a second on a thread of its own, so that a Redis
 * that is silent does not hold up the keyboard. */
#pragma once

#include "config.h"
#include "overview.h"
#include "overview_counts.h"
#include "overview_instances.h"
#include "overview_words.h"
#include "top_rates.h"

struct top_account {
    const struct config_account *account;
    struct overview overview;
    enum overview_mood mood;
    char words[OVERVIEW_WORDS_MAX];
    struct overview_counts counts; /* zeros without a report */
    double sent[TOP_SPAN_N];       /* targets per second */
    double errors[TOP_SPAN_N];     /* per second */
};

#define TOP_LETTERS_MAX 500 /* dead letters that are read */
struct top_letter {
    const struct config_account *account;
    char *id, *job, *reason, *target;
    char *fields; /* "name: value", a line for each */
    uint64_t at_ms;
};

/* The state at one moment. Accounts are in the order of the configuration. */
struct top_view {
    struct top_account *accounts;
    uint32_t count;
    struct overview_instances *instances;
    struct top_letter *letters;
    uint32_t letters_count;
};
void top_view_free(struct top_view *v);

enum top_act { TOP_PAUSE, TOP_RESUME, TOP_RETRY, TOP_DROP };
struct top_order {
    enum top_act act;
    const struct config_account *account;
    char text[200]; /* why it is paused; or the id of a dead letter */
};

struct top_data;

/* Starts the thread. `config` is the caller's, and must stay as it is. `only`: the name of an
 * account, or NULL. 0, or an exit code after printing an error. */
must_use int top_data_start(const struct config *config, const char *only, struct top_data **out);
/* Ends the thread. False: it waits for Redis, so it is left behind, and needs the configuration
 * until the program ends. */
must_use bool top_data_stop(struct top_data *d);

int top_data_fd(const struct top_data *d); /* for poll(2): readable when there is news */

/* The latest state if there is a new one, to be freed; otherwise NULL. Empties the fd. */
struct top_view *top_data_take(struct top_data *d);
/* Why Redis cannot be used, and since when (Unix milliseconds); "" if it can. */
void top_data_trouble(struct top_data *d, char *out, size_t room, uint64_t *since_ms);
/* The result of the last order, in a sentence; "" if there is no new one. */
void top_data_result(struct top_data *d, char *out, size_t room);

/* Whether dead letters are read, too. The next state comes at once. */
enum top_letters { TOP_WITHOUT_LETTERS, TOP_WITH_LETTERS };
void top_data_want(struct top_data *d, enum top_letters letters);
/* Carries it out on the thread. False if the last one is not done yet. */
must_use bool top_data_order(struct top_data *d, const struct top_order *o);
