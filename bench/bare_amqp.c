/* SPDX-License-Identifier: MIT
 * What a broker gives a consumer that does nothing: receives messages of a queue, and acknowledges
 * each 512 at once.
 *
 *     bare_amqp HOST PORT QUEUE COUNT
 *
 * Prints messages per second, from the first one on. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#if __has_include(<rabbitmq-c/amqp.h>)
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_tcp_socket.h>
#endif

#define AT_ONCE 512
#define PREFETCH 1024

static void must_be_normal(amqp_rpc_reply_t r, const char *what)
{
    if (r.reply_type == AMQP_RESPONSE_NORMAL)
        return;
    fprintf(stderr, "bare_amqp: %s failed\n", what);
    exit(1);
}

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static amqp_connection_state_t subscribe(const char *host, int port, const char *queue)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *s = amqp_tcp_socket_new(c);

    if (!s || amqp_socket_open(s, host, port) != AMQP_STATUS_OK) {
        fprintf(stderr, "bare_amqp: cannot connect\n");
        exit(1);
    }
    must_be_normal(amqp_login(c, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest"),
                   "login");
    amqp_channel_open(c, 1);
    must_be_normal(amqp_get_rpc_reply(c), "channel");
    amqp_basic_qos(c, 1, 0, PREFETCH, 0);
    must_be_normal(amqp_get_rpc_reply(c), "prefetch");
    amqp_basic_consume(c, 1, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, 0, 0,
                       amqp_empty_table);
    must_be_normal(amqp_get_rpc_reply(c), "subscribing");
    return c;
}

int main(int argc, char **argv)
{
    amqp_connection_state_t c;
    double begun_s = 0;
    long count;

    if (argc != 5)
        return 2;
    count = atol(argv[4]);
    c = subscribe(argv[1], atoi(argv[2]), argv[3]);
    for (long n = 1; n <= count; n++) {
        amqp_envelope_t e;

        amqp_maybe_release_buffers(c);
        must_be_normal(amqp_consume_message(c, &e, NULL, 0), "reading");
        if (n == 1)
            begun_s = now_s();
        if (n % AT_ONCE == 0 || n == count)
            amqp_basic_ack(c, 1, e.delivery_tag, 1);
        amqp_destroy_envelope(&e);
    }
    /* The answer comes after all acknowledgements have been received. */
    must_be_normal(amqp_channel_close(c, 1, AMQP_REPLY_SUCCESS), "closing");
    printf("%.0f\n", (double)(count - 1) / (now_s() - begun_s));
    amqp_destroy_connection(c);
    return 0;
}
