/* SPDX-License-Identifier: MIT */
#include "sender.h"

void exchange_reset(struct exchange *x)
{
    endpoint_drop(x->endpoint);
    *x = (struct exchange){.method = "POST",
                           .url = x->url,
                           .header = x->header,
                           .body = x->body,
                           .via = x->via,
                           .reply = x->reply,
                           .start_before_ns = NEVER};
    list_init(&x->link);
    buf_clear(&x->url);
    buf_clear(&x->header);
    buf_clear(&x->body);
    buf_clear(&x->via);
    buf_clear(&x->reply);
}
