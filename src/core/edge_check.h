/* SPDX-License-Identifier: MIT
 * What each of Fastly's POPs holds of a page: the request for it, and reading the answer of
 * GET /content/edge_check.
 * https://www.fastly.com/documentation/reference/api/utils/content/ ,
 * https://github.com/fastly/fastly-js/blob/main/docs/ContentApi.md */
#pragma once

#include "error.h"
#include "sighting.h"

/* Fastly has about 100 POPs. Of a longer list the rest is only counted. */
#define EDGE_CHECK_POPS_MAX 512
/* Each POP tells all headers of the page; those with many surrogate keys are the longest. */
#define EDGE_CHECK_MAX_BYTES (8 * 1024 * 1024)
/* For each customer of Fastly, whatever the service. */
#define EDGE_CHECKS_PER_HOUR 200

enum edge_check_answer {
    EDGE_CHECK_CONTENT,   /* hash is that of the content */
    EDGE_CHECK_TOO_LARGE, /* the headers are known, the content was not compared */
    EDGE_CHECK_TIMEOUT,   /* the POP did not answer in time: nothing is known */
    EDGE_CHECK_ANSWERS_N
};
extern const char *const edge_check_answer_names[EDGE_CHECK_ANSWERS_N]; /* "content" ... */

struct edge_check_pop {
    char *name;   /* "amsterdam-nl" */
    char *server; /* "cache-ams21039"; "" if the entry names none */
    char *hash;   /* of the content; "" without content */
    enum edge_check_answer answer;
    size_t peers; /* the POPs with this hash, itself included; 0 without content */
    char *head;   /* as the POP's reply would have been; `seen` points into it */
    struct sighting seen;
};

struct edge_check {
    struct edge_check_pop *pops; /* what the most POPs have comes first, timeouts come last */
    size_t count;
    size_t contents; /* different hashes */
    size_t left_out; /* entries beyond EDGE_CHECK_POPS_MAX, or without the name of a POP */
};

/* The path and query that ask for this URL; free it. */
must_use char *edge_check_path(const char *url);

/* Reads the body of an answer with status 200. 0, or -EINVAL with a sentence if it is not a list of
 * POPs. Any bytes are taken. */
must_use int edge_check_read(struct edge_check *e, struct span body, struct error *err);
void edge_check_deinit(struct edge_check *e);
