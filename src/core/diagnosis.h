/* SPDX-License-Identifier: MIT
 * Explains in sentences what was seen of a page: before a purge, of the purge, and after it. */
#pragma once

#include "sighting.h"

enum diagnosis_grade {
    DIAGNOSIS_OK,
    DIAGNOSIS_NOTE, /* good to know, nothing is wrong */
    DIAGNOSIS_WARN, /* purges may have less effect than expected */
    DIAGNOSIS_FAIL, /* a purge has no effect, or did not have it */
    DIAGNOSIS_N
};
extern const char *const diagnosis_grade_names[DIAGNOSIS_N]; /* "ok", "note", "warn", "fail" */

struct diagnosis_finding {
    enum diagnosis_grade grade;
    const char *subject; /* "route", "keys" ... */
    const char *what;    /* a sentence; it may quote bytes of the reply */
    const char *advice;  /* "" for none */
};

/* The finding is valid only during the call. */
typedef void diagnosis_cb(void *ctx, const struct diagnosis_finding *f);

/* A page that was fetched twice, one request right after the other. */
void diagnosis_page(const struct sighting *first, const struct sighting *second, diagnosis_cb *cb,
                    void *ctx);

/* A purge that was not carried out. `reason` is that of its receipt: "403: Forbidden". */
void diagnosis_refusal(const char *reason, diagnosis_cb *cb, void *ctx);

/* What was done before the page was fetched again. */
struct diagnosis_purge {
    bool soft;
    bool repeats;       /* a second purge will follow if the page is still old */
    bool second;        /* the purge was the second one */
    const char *after;  /* how long after the first one: "2.0 s"; NULL if there was one only */
    uint64_t swr_s;     /* stale-while-revalidate of the page before the purge */
    bool looked_before; /* not the first time that the page is fetched after this purge */
};

void diagnosis_after(const struct diagnosis_purge *p, const struct sighting *seen,
                     enum sighting_state state, diagnosis_cb *cb, void *ctx);
