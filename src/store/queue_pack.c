/* SPDX-License-Identifier: MIT */
#include "queue_pack.h"

#include <errno.h>
#include <stdlib.h>

#include "alloc.h"

/* The first bytes that cmsgpack writes for strings and arrays. Jobs contain nothing else. */
enum {
    FIXARRAY = 0x90,
    FIXSTR = 0xa0,
    STR_8 = 0xd9,
    STR_16 = 0xda,
    STR_32 = 0xdb,
    ARRAY_16 = 0xdc,
    ARRAY_32 = 0xdd,
};

/* -- reading -- */

static bool take_bytes(struct span *rest, size_t n, struct span *out)
{
    if (rest->n < n)
        return false;
    *out = span_of(rest->p, n);
    *rest = span_of(rest->p + n, rest->n - n);
    return true;
}

/* Reads a big-endian number of `bytes` bytes. */
static bool take_number(struct span *rest, size_t bytes, size_t *out)
{
    struct span at;
    size_t n = 0;

    if (!take_bytes(rest, bytes, &at))
        return false;
    for (size_t i = 0; i < bytes; i++)
        n = n << 8 | (uint8_t)at.p[i];
    *out = n;
    return true;
}

static bool take_string(struct span *rest, struct span *out)
{
    size_t head, n;

    if (!take_number(rest, 1, &head))
        return false;
    if (head >= FIXSTR && head < FIXSTR + 32)
        n = head - FIXSTR;
    else if (head < STR_8 || head > STR_32 || !take_number(rest, (size_t)1 << (head - STR_8), &n))
        return false;
    return take_bytes(rest, n, out);
}

static bool take_array(struct span *rest, size_t *count)
{
    size_t head;

    if (!take_number(rest, 1, &head))
        return false;
    if (head >= FIXARRAY && head < FIXARRAY + 16) {
        *count = head - FIXARRAY;
        return true;
    }
    return (head == ARRAY_16 && take_number(rest, 2, count)) ||
           (head == ARRAY_32 && take_number(rest, 4, count));
}

int queue_unpack(struct span bytes, struct packed_job *out)
{
    struct packed_job job = {0};
    struct span lane;
    size_t n;

    if (!take_array(&bytes, &n) || n != 4 || !take_string(&bytes, &lane) ||
        lane_parse(lane, &job.lane) < 0 || !take_string(&bytes, &job.job) ||
        !take_string(&bytes, &job.entry) || !take_array(&bytes, &n) || n % 2 || n > bytes.n)
        return -EINVAL;
    job.fields = alloc_zeroed(n + 1, sizeof(*job.fields));
    while (job.fields_count < n && take_string(&bytes, &job.fields[job.fields_count]))
        job.fields_count++;
    if (job.fields_count < n || bytes.n) {
        free(job.fields);
        return -EINVAL;
    }
    *out = job;
    return 0;
}

/* -- writing -- */

static void put_number(struct buf *b, size_t bytes, size_t n)
{
    for (size_t i = bytes; i-- > 0;)
        buf_putc(b, (char)(uint8_t)(n >> (8 * i)));
}

static void put_string(struct buf *b, struct span s)
{
    size_t power = s.n < 1u << 8 ? 0 : s.n < 1u << 16 ? 1 : 2;

    if (s.n < 32) {
        put_number(b, 1, FIXSTR | s.n);
    } else {
        put_number(b, 1, STR_8 + power);
        put_number(b, (size_t)1 << power, s.n);
    }
    buf_put(b, s);
}

static void put_array(struct buf *b, size_t count)
{
    put_number(b, 1, count < 16 ? FIXARRAY | count : ARRAY_32);
    if (count >= 16)
        put_number(b, 4, count);
}

void queue_pack(const struct packed_job *job, struct buf *out)
{
    put_array(out, 4);
    put_string(out, span_str(lane_names[job->lane]));
    put_string(out, job->job);
    put_string(out, job->entry);
    put_array(out, job->fields_count);
    for (size_t i = 0; i < job->fields_count; i++)
        put_string(out, job->fields[i]);
}
