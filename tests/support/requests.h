/* SPDX-License-Identifier: MIT
 * What arrived at the sandbox: its log, read as it grows. Times are Unix milliseconds. */
#pragma once

#include "base.h"

struct request {
    uint64_t t_ms;     /* the moment that counts for the budget */
    uint64_t begin_ms; /* its first byte */
    uint64_t done_ms;  /* 0: never answered */
    char kind[8];      /* key keys url all purge other */
    char service[65];
    bool soft, purged;
    unsigned status; /* 0: will never be answered; 499: the client gave up */
    unsigned cost, n;
    char proto[12];
    unsigned long conn;
    char **keys; /* n of them */
    char *url;
};

struct requests {
    struct request *at;
    size_t count, room;
    int fd, inotify;
    uint64_t since_ms; /* what began before is left out */
    char *rest;        /* the beginning of a line */
    size_t rest_count;
};

void requests_open(struct requests *r, const char *log_path); /* from now on */
void requests_close(struct requests *r);
void requests_read(struct requests *r);   /* whatever has come since */
void requests_forget(struct requests *r); /* all that was read */

/* Those answered with this status; ANY_STATUS for all. They read the log first. */
#define ANY_STATUS 1000u
size_t requests_with_status(struct requests *r, unsigned status);
/* Requests naming this key or URL, and of these those with that status. */
size_t requests_naming(struct requests *r, const char *target, unsigned status);
/* The n-th (from 0) request naming it, or NULL. */
const struct request *requests_find(struct requests *r, const char *target, size_t n);
bool request_names(const struct request *q, const char *target);

/* The most that was spent in any window of that length. */
uint64_t requests_peak(struct requests *r, uint64_t window_ms);
/* When the first request since `from_ms` came; there must be one. */
uint64_t requests_first(struct requests *r, uint64_t from_ms);
/* What was spent from `from_ms` on until before `until_ms`. */
uint64_t requests_spent(struct requests *r, uint64_t from_ms, uint64_t until_ms);
