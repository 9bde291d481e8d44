/* SPDX-License-Identifier: MIT */
#include "check_consumers.h"

#include <string.h>

#include "check_say.h"
#include "source.h"

static void judge_consumer(const struct report *r, const struct config *c,
                           const struct config_consumer *s)
{
    struct error err, note;
    const struct message_source *source = source_of(s, &err);

    if (!source) {
        check_say(r, CHECK_FAIL, "install the plugin, or remove the consumer", "%s: %s", s->name,
                  err.text);
        return;
    }
    if (source->look(c, s, &note, &err) < 0) {
        check_say(r, CHECK_FAIL, "correct the consumer's settings, or the source's server",
                  "%s cannot read %s %s: %s", s->name, source->name, s->topic, err.text);
        return;
    }
    check_say(r, CHECK_OK, "", "%s can read %s %s%s%s", s->name, source->name, s->topic,
              note.text[0] ? ": " : "", note.text);
}

void check_consumers(const struct config *c, const char *account, check_cb *cb, void *ctx)
{
    struct report r = {.cb = cb, .ctx = ctx, .subject = "consumer"};

    for (uint32_t i = 0; i < c->consumers_count; i++) {
        const char *named = c->consumers[i].mapping.account;
        const struct config_account *a = config_account(c, *named ? named : NULL);

        if (!a || (account && strcmp(account, a->name) != 0))
            continue;
        r.account = a->name;
        judge_consumer(&r, c, &c->consumers[i]);
    }
}
