/* SPDX-License-Identifier: MIT */
#include "sender.h"

void exchange_renew(struct exchange *x, struct endpoint *e)
{
    struct endpoint *before = x->endpoint;

    *x = (struct exchange){.endpoint = endpoint_hold(e),
                           .method = "POST",
                           .url = x->url,
                           .header = x->header,
                           .body = x->body,
                           .reply = x->reply,
                           .start_before_ns = NEVER};
    list_init(&x->link);
    buf_clear(&x->url);
    buf_clear(&x->header);
    buf_clear(&x->body);
    buf_clear(&x->reply);
    endpoint_drop(before);
}
