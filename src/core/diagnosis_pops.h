/* SPDX-License-Identifier: MIT
 * Explains in sentences what edge_check says of all POPs, before and after a purge. */
#pragma once

#include "diagnosis.h"
#include "edge_check.h"

/* The purge before edge_check was asked. */
struct diagnosis_pops_purge {
    uint64_t least_ms, most_ms; /* between the purge and edge_check, as in sighting_against */
    bool stale_once;            /* it was soft, and stale-while-revalidate allows the old page */
};

/* Without a purge, `purge` is NULL. */
void diagnosis_pops(const struct edge_check *e, const struct diagnosis_pops_purge *purge,
                    diagnosis_cb *cb, void *ctx);
