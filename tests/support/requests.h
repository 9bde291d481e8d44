/* SPDX-License-Identifier: MIT
 * The requests that the sandbox received, read from its log. Times are Unix milliseconds. */
#pragma once

#include "base.h"

struct request {
    uint64_t t_ms;     /* the time that counts for the budget */
    uint64_t begin_ms; /* the time of its first byte */
    uint64_t done_ms;  /* 0: never answered */
    char kind[8];      /* key keys url all purge other */
    char service[65];
    bool soft, purged;
    unsigned status; /* 0: will never be answered; 499: the client gave up */
    unsigned cost, n;
    char proto[12];
    unsigned long conn;
    char **keys; /* n of them, NULL for other kinds */
    char *url;
    char id[48]; /* that was given to the purge; to the n-th key of a batch: <id>-<n>. "": none */
};

struct requests {
    struct request *at;
    size_t count, room;
    int fd, inotify;
    uint64_t since_ms; /* requests that began earlier are ignored */
    char *rest;        /* an incomplete line */
    size_t rest_count;
};

void requests_open(struct requests *r, const char *log_path); /* reads from the end */
void requests_close(struct requests *r);
void requests_read(struct requests *r);   /* reads everything that has been added */
void requests_forget(struct requests *r); /* forgets everything that was read */

/* The number of requests with this status; ANY_STATUS for all. These functions read the log first.
 */
#define ANY_STATUS 1000u
size_t requests_with_status(struct requests *r, unsigned status);
/* The number of requests that name this key or URL, and have this status. */
size_t requests_naming(struct requests *r, const char *target, unsigned status);
/* The n-th (from 0) request that names it, or NULL. */
const struct request *requests_find(struct requests *r, const char *target, size_t n);
bool request_names(const struct request *q, const char *target);

/* The highest cost in any window of this length. */
uint64_t requests_peak(struct requests *r, uint64_t window_ms);
/* The time of the first request since `from_ms`; there must be one. */
uint64_t requests_first(struct requests *r, uint64_t from_ms);
/* The cost from `from_ms` up to but excluding `until_ms`. */
uint64_t requests_spent(struct requests *r, uint64_t from_ms, uint64_t until_ms);
