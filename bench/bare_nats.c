/* SPDX-License-Identifier: MIT
 * What a server gives a consumer that does nothing: pulls messages of a stream, 512 at a time, and
 * acknowledges each.
 *
 *     bare_nats URL STREAM DURABLE COUNT
 *
 * Prints messages per second, from the first one on. */
#include <nats/nats.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define AT_ONCE 512
#define PATIENCE_MS 10000

static void must_be_ok(natsStatus s, const char *what)
{
    if (s == NATS_OK)
        return;
    fprintf(stderr, "bare_nats: %s: %s\n", what, natsStatus_GetText(s));
    exit(1);
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Returns the number of messages. */
static long take(natsSubscription *sub)
{
    natsMsgList list;
    natsStatus s = natsSubscription_Fetch(&list, sub, AT_ONCE, PATIENCE_MS, NULL);
    long n;

    must_be_ok(s, "pulling");
    for (int i = 0; i < list.Count - 1; i++)
        must_be_ok(natsMsg_Ack(list.Msgs[i], NULL), "acknowledging");
    if (list.Count) /* is answered after those before it */
        must_be_ok(natsMsg_AckSync(list.Msgs[list.Count - 1], NULL, NULL), "acknowledging");
    n = list.Count;
    natsMsgList_Destroy(&list);
    return n;
}

int main(int argc, char **argv)
{
    natsConnection *c = NULL;
    natsSubscription *sub = NULL;
    jsCtx *js = NULL;
    jsSubOptions o;
    long first, done;
    double begun_s;

    if (argc != 5)
        return 2;
    must_be_ok(natsConnection_ConnectTo(&c, argv[1]), "connecting");
    must_be_ok(natsConnection_JetStream(&js, c, NULL), "JetStream");
    jsSubOptions_Init(&o);
    o.Stream = argv[2];
    o.Consumer = argv[3];
    must_be_ok(js_PullSubscribe(&sub, js, NULL, argv[3], NULL, &o, NULL), "subscribing");
    first = done = take(sub);
    begun_s = now_s();
    while (done < atol(argv[4]))
        done += take(sub);
    printf("%.0f\n", (double)(done - first) / (now_s() - begun_s));
    natsSubscription_Destroy(sub);
    jsCtx_Destroy(js);
    natsConnection_Destroy(c);
    nats_Close();
    return 0;
}
