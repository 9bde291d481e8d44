/* SPDX-License-Identifier: MIT
 * A job that names a page to be looked at after its purges: what is needed to find it in the window
 * and to repeat its purges. */
#pragma once

#include "window.h"

struct page_job {
    enum lane lane;
    uint64_t id_ms;
    uint32_t id_seq;
    struct job_spec spec; /* its targets are copies; it has no texts, and never expires */
    char *header;         /* the number in it decides, not the age of the page; "": none */
    uint64_t at_least;    /* that number */
    uint32_t number;      /* while the window keeps it, after its purges (window_keep) */
};

struct page_job *page_job_new(const struct job_spec *spec, const struct window_add *how);
void page_job_free(struct page_job *p); /* NULL is fine */
uint64_t page_job_bytes(const struct job_spec *spec);
bool page_job_is(const struct page_job *p, const struct window_job *job);
/* All its targets wait to be purged once more. It must be kept. */
void page_job_repeat(const struct page_job *p, struct window *w, uint64_t now_ns);
