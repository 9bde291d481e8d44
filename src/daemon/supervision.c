/* SPDX-License-Identifier: MIT */
#include "supervision.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "clock.h"
#include "notify.h"

/* For the sentence, and while starting. With a watchdog: at least twice in its time. */
#define LOOK_EVERY_NS (10 * NS_PER_S)
/* While the daemon has a reason to be starting still, systemd is asked for so much more time again
 * and again: an embedded Redis may read a large file. */
#define MORE_TIME_NS (6 * LOOK_EVERY_NS)

struct supervision {
    struct notify *notify;
    struct timer *timer;
    supervision_cb *look;
    void *ctx;
    char said[sizeof(((struct supervision_report *)NULL)->sentence)];
};

/* The sentence is one line: a line break would begin another assignment. */
static void say(struct supervision *s, const char *sentence)
{
    char text[sizeof(s->said) + 16];

    if (strcmp(sentence, s->said) == 0)
        return;
    snprintf(s->said, sizeof(s->said), "%s", sentence);
    snprintf(text, sizeof(text), "STATUS=%s", sentence);
    for (char *p = text; *p; p++)
        if (*p == '\n')
            *p = ' ';
    notify_send(s->notify, text);
}

static void on_look(void *ctx)
{
    struct supervision *s = ctx;
    struct supervision_report r = {.starting = false};
    uint64_t watchdog_ns = notify_watchdog_ns(s->notify), every_ns = LOOK_EVERY_NS;
    char more[64];

    s->look(s->ctx, &r);
    if (!r.stalled)
        notify_send(s->notify, NOTIFY_PROGRESS);
    if (r.starting) {
        snprintf(more, sizeof(more), "EXTEND_TIMEOUT_USEC=%" PRIu64, (uint64_t)MORE_TIME_NS / 1000);
        notify_send(s->notify, more);
    }
    say(s, r.sentence);
    if (watchdog_ns)
        every_ns = min_u64(every_ns, watchdog_ns / 2);
    timer_start_at(s->timer, clock_mono_ns() + every_ns);
}

struct supervision *supervision_new(struct loop *l, supervision_cb *look, void *ctx)
{
    struct notify *n = notify_new();
    struct supervision *s;

    if (!n)
        return NULL;
    s = alloc_zeroed(1, sizeof(*s));
    *s = (struct supervision){.notify = n, .look = look, .ctx = ctx};
    s->timer = timer_new(l, on_look, s);
    timer_start_at(s->timer, 0);
    return s;
}

void supervision_close(struct supervision *s)
{
    if (!s)
        return;
    timer_close(s->timer);
    notify_free(s->notify);
    free(s);
}

void supervision_ready(struct supervision *s)
{
    if (!s)
        return;
    notify_send(s->notify, "READY=1");
    timer_start_at(s->timer, 0);
}

void supervision_reloading(struct supervision *s)
{
    char text[80];

    if (!s)
        return;
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, clock_mono_ns() / 1000);
    notify_send(s->notify, text);
}

void supervision_stopping(struct supervision *s)
{
    if (!s)
        return;
    notify_send(s->notify, "STOPPING=1");
    say(s, "Stopping; requests in flight are finished first");
    timer_stop(s->timer);
}
