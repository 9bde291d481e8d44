/* SPDX-License-Identifier: MIT */
#include "hush.h"

#include <errno.h>
#include <time.h>

static bool is_pending(void)
{
    sigset_t pending;

    sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static void only_sigpipe(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGPIPE);
}

void hush_begin(struct hush *h)
{
    sigset_t set;

    only_sigpipe(&set);
    h->pending = is_pending();
    pthread_sigmask(SIG_BLOCK, &set, &h->before);
}

void hush_end(struct hush *h)
{
    const struct timespec at_once = {0};
    int saved = errno;
    sigset_t set;

    only_sigpipe(&set);
    if (!h->pending && is_pending())
        (void)sigtimedwait(&set, NULL, &at_once);
    pthread_sigmask(SIG_SETMASK, &h->before, NULL);
    errno = saved;
}
