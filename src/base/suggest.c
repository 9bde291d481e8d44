/* SPDX-License-Identifier: MIT */
#include "suggest.h"

#include <string.h>

#define WORD_MAX 64

static size_t least(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;

    return m < c ? m : c;
}

/* Optimal string alignment distance: one edit changes, adds or drops a letter, or swaps two
 * neighbours. */
static size_t edits(const char *a, const char *b)
{
    size_t rows[3][WORD_MAX + 1];
    size_t *older = rows[0], *old = rows[1], *row = rows[2];
    size_t la = strlen(a), lb = strlen(b);

    for (size_t j = 0; j <= lb; j++)
        old[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t *reuse = older;

        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            row[j] = least(old[j] + 1, row[j - 1] + 1, old[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], older[j - 2] + 1, row[j]);
        }
        older = old;
        old = row;
        row = reuse;
    }
    return old[lb];
}

const char *suggest_word(const char *word, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_edits = strlen(word) / 3 + 1;

    if (strlen(word) > WORD_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(names[i]) <= WORD_MAX ? edits(word, names[i]) : best_edits;

        if (n < best_edits) {
            best_edits = n;
            best = names[i];
        }
    }
    return best;
}
