/* SPDX-License-Identifier: MIT
 * libpurgeline: pushes purges to purgeline through Redis, one by one or many at a time.
 *
 *     struct purgeline *p;
 *     char why[PURGELINE_WHY_ROOM];
 *
 *     if (purgeline_open("redis://127.0.0.1:6379", "main", &p, why, sizeof(why)) == PURGELINE_OK) {
 *         if (purgeline_push_key(p, "article-17") != PURGELINE_OK)
 *             fprintf(stderr, "not pushed: %s\n", purgeline_error(p));
 *         purgeline_close(p);
 *     }
 *
 * Anything else that a job can be is a struct purgeline_job:
 *
 *     const char *keys[] = {"article-17", "home"};
 *     struct purgeline_job job = PURGELINE_JOB;
 *     char id[PURGELINE_ID_ROOM];
 *
 *     job.keys = keys;
 *     job.keys_count = 2;
 *     job.lane = PURGELINE_URGENT;
 *     if (purgeline_push(p, &job, id, sizeof(id)) == PURGELINE_OK)
 *         puts(id);
 *
 * What PURGELINE_OK means. Redis has confirmed that it stored the job. From then on the dispatcher
 * ensures that the job is purged, or recorded as dead with the reason. What a crash of Redis may
 * lose depends on its `appendfsync` setting: nothing with `always`, up to two seconds with
 * `everysec`. What a failover may lose depends on purgeline_need_replicas.
 *
 * What is checked. The fields of a job are checked by the dispatcher's own code. Only the
 * dispatcher knows the services of an account and whether it may purge all: a job that breaks these
 * rules is accepted here, and becomes a dead letter there.
 *
 * Lost connections. A job whose answer did not come because the connection broke, or because Redis
 * sent nothing for 30 s, ends with PURGELINE_UNKNOWN: Redis may or may not have it. The library
 * never pushes a job again by itself. Pushing it again is nearly always right: identical purges are
 * merged, and at worst a page is purged twice. The next call tries once to reconnect; the caller
 * decides on pauses between attempts. A connection that Redis closed while no job was pending is
 * replaced silently.
 *
 * Threads. A handle belongs to one thread at a time; different handles are independent, and the
 * library has no other state. It changes no signal handler and never raises SIGPIPE. After fork()
 * only one of the two processes may use a handle.
 *
 * Memory. Strings and arrays must stay valid during the call only; they are copied where necessary.
 * The library calls abort() when memory runs out, and for nothing else that a caller or Redis does.
 *
 * Time. purgeline_open and the first call after a loss resolve the name (as long as the resolver
 * takes) and then take at most 3 s to connect to each of its addresses. No call waits more than
 * 30 s for Redis to send something, nor more than 120 s for one answer. With a Cluster, a call may
 * also wait up to 30 s while the account's keys are moved to another node. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PURGELINE_API __attribute__((visibility("default")))

/* The result of a call or a job. Later versions may add codes, which will be negative, too. */
enum purgeline_code {
    PURGELINE_OK = 0,       /* Redis has stored the job */
    PURGELINE_INVALID = -1, /* invalid job or call, and nothing was sent; the message starts with
                               the field's name */
    PURGELINE_REFUSED = -2, /* Redis refused this job ("OOM ...", "READONLY ..."), or an earlier one
                               that was still pending */
    PURGELINE_LOST = -3,    /* no connection: this job was not sent */
    PURGELINE_UNKNOWN = -4, /* sent, but the connection broke before the answer, or too few replicas
                               have the job */
    PURGELINE_DENIED = -5,  /* login refused; nothing was sent */
};

enum purgeline_lane { PURGELINE_NORMAL = 0, PURGELINE_URGENT = 1, PURGELINE_BULK = 2 };

#define PURGELINE_REPEAT_AUTO UINT64_MAX

/* A job with 1 to 10,000 targets: keys, URLs and `all` together. Start with
 * `struct purgeline_job job = PURGELINE_JOB;`, in which 0 and NULL mean "not given". */
struct purgeline_job {
    size_t size; /* sizeof(struct purgeline_job): tells the library which fields exist */
    const char *const *keys; /* surrogate keys, each 1 to 1,024 bytes of 0x21 to 0x7E */
    size_t keys_count;
    const char *const *urls; /* http, https or no scheme; each at most 8 KiB, sent byte for byte */
    size_t urls_count;
    int all;             /* 1: all content of the service; not with soft */
    int soft;            /* 1: mark as stale instead of removing */
    const char *service; /* Fastly's id, or the name in the dispatcher's configuration; for keys and
                            all, unless the account has a default service. At most 255 bytes */
    enum purgeline_lane lane;
    uint64_t not_before_ms;   /* Unix time; not sent earlier */
    uint64_t expires_ms;      /* Unix time; after it the job ends as expired */
    uint64_t repeat_after_ms; /* purge again this long after success; at most 24 h, or
                                 PURGELINE_REPEAT_AUTO: after a time that the dispatcher learns */
    const char *ref; /* the caller's own text, at most 256 bytes; in receipts and dead letters */
    /* Not in version 0.1.0 of the library. A job for several services, at most 64 with `service`:
     * each key, and `all`, counts once for each; a URL is one target. Dispatchers of version 0.1.0
     * make it a dead letter. */
    const char *const *services;
    size_t services_count;
};

#define PURGELINE_JOB                                                                              \
    {                                                                                              \
        sizeof(struct purgeline_job), NULL, 0, NULL, 0, 0, 0, NULL, PURGELINE_NORMAL, 0, 0, 0,     \
            NULL, NULL, 0                                                                          \
    }

#define PURGELINE_ID_ROOM 64   /* for a job id like "normal-1700000000000-0", with its NUL */
#define PURGELINE_WHY_ROOM 256 /* for a message; a longer one is cut */

struct purgeline;

/* Connects to Redis: redis://[user:password@]host[:port][/db], the same with rediss:// for
 * TLS, unix:///path[?db=N], redis+sentinel://host:port,host:port/master[/db], or
 * redis+cluster://host:port,host:port; user and password are percent-encoded. TLS files and the
 * login may also come from the environment: PURGELINE_REDIS_TLS_CA_FILE, _CERT_FILE, _KEY_FILE,
 * PURGELINE_REDIS_AUTH_USER, _PASSWORD_FILE, _PASSWORD_ENV. `account` is the name of an account in
 * the dispatcher's configuration: [a-z0-9_-]{1,64}, usually "main". Returns PURGELINE_OK and a
 * handle to be closed with purgeline_close. Otherwise returns PURGELINE_INVALID (URL or account),
 * PURGELINE_LOST or PURGELINE_DENIED, writes a message without the password to `why` (which may be
 * NULL with room 0), and leaves *out unchanged. */
PURGELINE_API enum purgeline_code purgeline_open(const char *redis_url, const char *account,
                                                 struct purgeline **out, char *why,
                                                 size_t why_room);

/* How many replicas of Redis must have a job as well before it ends with PURGELINE_OK, 0 to 5. 0,
 * the default: a failover of Redis may lose the jobs of the last moments. With more, Redis waits up
 * to 1 s for its replicas. If too few have a job by then, it ends with PURGELINE_UNKNOWN, and so do
 * all pending jobs; the connection is then made anew. Returns PURGELINE_INVALID if jobs are
 * pending. Use the number that the dispatcher has as redis_replicas. */
PURGELINE_API enum purgeline_code purgeline_need_replicas(struct purgeline *p, unsigned replicas);

/* Closes the handle without waiting: pending jobs end as PURGELINE_UNKNOWN, and their callbacks are
 * called before this returns. Must not be called from the callback. NULL is fine. */
PURGELINE_API void purgeline_close(struct purgeline *p);

/* -- one job, and wait -- */

/* Pushes a job and waits for the reply, and therefore for the replies of all earlier pending jobs.
 * `id` (NULL with room 0, or PURGELINE_ID_ROOM) gets the job's id, as in receipts, only with
 * PURGELINE_OK. May return any code; purgeline_error has the message. */
PURGELINE_API enum purgeline_code
purgeline_push(struct purgeline *p, const struct purgeline_job *job, char *id, size_t id_room);

/* The same for the commonest job: one surrogate key, in the normal lane, of the account's default
 * service. */
PURGELINE_API enum purgeline_code purgeline_push_key(struct purgeline *p, const char *key);

/* The same for a job as a JSON object of `n` bytes: "keys", "url" and "service" (a string or a
 * list), "all", "soft", "not_before", "expires", "repeat_after", "when" (an object), "ref", "lane",
 * and "by", which says in the history who pushes (dispatchers of version 0.1.0 make such a job a
 * dead letter). */
PURGELINE_API enum purgeline_code purgeline_push_json(struct purgeline *p, const char *json,
                                                      size_t n, char *id, size_t id_room);

/* -- an array of jobs, and wait -- */

struct purgeline_result {
    int code;                      /* enum purgeline_code */
    char text[PURGELINE_WHY_ROOM]; /* PURGELINE_OK: the job's id; otherwise the reason */
};

/* Pushes `count` jobs, hundreds of them at a time, and waits for all replies. results[i] is the
 * result of jobs[i], independent of the other jobs; in Redis the jobs are in this order. After a
 * refusal or a lost connection the remaining jobs are not sent and get the code REFUSED or LOST
 * (not UNKNOWN). Returns PURGELINE_OK if all results are, otherwise the first other code. */
PURGELINE_API enum purgeline_code purgeline_push_many(struct purgeline *p,
                                                      const struct purgeline_job *jobs,
                                                      size_t count,
                                                      struct purgeline_result *results);

/* -- many pending jobs, and a callback for each -- */

/* Called once per job for which purgeline_send returned PURGELINE_OK, in the same order, during
 * that call or a later call with this handle. `tag` is the one given to purgeline_send; `code` is
 * OK, REFUSED or UNKNOWN; `text` is the job's id or the reason, valid only during the call. The
 * callback may call only purgeline_pending with this handle; other functions return
 * PURGELINE_INVALID. */
typedef void purgeline_answer_cb(void *ctx, void *tag, int code, const char *text);

/* Sets the callback; call it before the first purgeline_send. NULL: no callback. */
PURGELINE_API void purgeline_on_answer(struct purgeline *p, purgeline_answer_cb *cb, void *ctx);

/* Sends a job without waiting for its answer; if 512 jobs or 4 MiB are already pending, waits for
 * half of them. The job may stay in the library's buffer until purgeline_poll or purgeline_wait, so
 * call one of them when there is nothing more to send. PURGELINE_OK: the callback will be called.
 * Otherwise the job was not sent and no callback is called for it. After REFUSED and LOST no jobs
 * are pending any more, and the callbacks of those that were have been called. */
PURGELINE_API enum purgeline_code purgeline_send(struct purgeline *p,
                                                 const struct purgeline_job *job, void *tag);
PURGELINE_API enum purgeline_code purgeline_send_json(struct purgeline *p, const char *json,
                                                      size_t n, void *tag);

/* Sends buffered jobs, and returns when all jobs are answered. PURGELINE_OK if all jobs sent since
 * the last purgeline_wait are in Redis; otherwise REFUSED or UNKNOWN, the code of the first that is
 * not. */
PURGELINE_API enum purgeline_code purgeline_wait(struct purgeline *p);

/* Sends buffered jobs, and handles the answers that arrive within `timeout_ms` (0: those already
 * there); returns after the first few. To use it in an event loop, call it with 0 when purgeline_fd
 * is readable. PURGELINE_OK; or REFUSED or UNKNOWN as soon as a pending job ended so, and then no
 * jobs are pending any more. */
PURGELINE_API enum purgeline_code purgeline_poll(struct purgeline *p, int timeout_ms);

/* The socket, to be polled for input after purgeline_poll, which leaves no answer unhandled that
 * has arrived; or -1 without a connection. It may change with any call. */
PURGELINE_API int purgeline_fd(const struct purgeline *p);

PURGELINE_API size_t purgeline_pending(const struct purgeline *p); /* jobs sent, not answered */
/* The former name of purgeline_pending. */
PURGELINE_API size_t purgeline_under_way(const struct purgeline *p);

/* -- messages -- */

/* The error message of the last call that did not return PURGELINE_OK. Valid until the next call;
 * never contains the password. */
PURGELINE_API const char *purgeline_error(const struct purgeline *p);

PURGELINE_API const char *purgeline_code_name(int code); /* "ok", "invalid", ... static */
PURGELINE_API const char *purgeline_version(void);       /* the library's, "0.1.0"; static */

#ifdef __cplusplus
}
#endif
