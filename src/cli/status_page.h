/* SPDX-License-Identifier: MIT
 * What purgeline status prints for people. */
#pragma once

#include "overview.h"
#include "overview_instances.h"
#include "overview_words.h"

struct status_account {
    const struct config_account *account;
    struct overview overview;
    enum overview_mood mood;
    char words[OVERVIEW_WORDS_MAX];
};

/* Sorts them: those that need help first, then those that wait longest. */
void status_sort(struct status_account *all, size_t count);

enum status_numbers { STATUS_IN_WORDS, STATUS_WITH_NUMBERS };
/* The verdict, and rows with what is behind it. */
void status_page(const struct status_account *s, enum status_numbers numbers);
/* A line for each account. On a terminal, a few dozen at most, and how many are left out. They are
 * sorted. */
void status_list(const struct status_account *all, size_t count);
/* Prints nothing if there is only one. */
void status_instances(const struct overview_instances *s);

/* The name of an instance for people: "host, process 4711". */
#define STATUS_INSTANCE_ROOM 160
void status_instance_words(const char *name, char *out, size_t room);
