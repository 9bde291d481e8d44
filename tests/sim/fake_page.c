/* SPDX-License-Identifier: MIT
 * Pages cannot be fetched in the simulator: no story has a canary. */
#include "page.h"

#include "base.h"

void page_fetch(struct loop *l, const char *url, uint32_t timeout_ms, page_cb *cb, void *ctx)
{
    (void)l;
    (void)url;
    (void)timeout_ms;
    (void)cb;
    (void)ctx;
    must(!"a page is fetched");
}
