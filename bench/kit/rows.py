# SPDX-License-Identifier: MIT
"""The table of rows: name of the sample | description | decimals | goal, if any. A line without a name begins
a section. A description that is indented by two more spaces belongs to the row above."""

ROWS = """
| URL jobs, one request each, TLS, HTTP/2
bare_per_s | bare libcurl loop (the limit), requests/s | 0 |
bare_cpu |   CPU s per 10,000 | 3 |
manual_per_s | libcurl as its manual shows it, requests/s | 0 |
manual_cpu |   CPU s per 10,000 | 3 |
urls_per_s_all | purgeline, receipts: all, requests/s | 0 |
urls_ratio_all |   of the bare loop | 2 | >= 0.90
urls_cpu_all |   CPU s per 10,000 | 3 |
urls_cpu_ratio_all |   CPU per request, of the bare loop's | 2 | <= 1.15
urls_of_go |   of the hand-written Go loop | 2 | >= 1.05
urls_cpu_of_go |   purges per CPU s, of the hand-written Go loop's | 2 | >= 1.15
urls_rss_mb |   resident memory at most, the backlog included, MB | 1 |
urls_per_s_none | purgeline, receipts: none, requests/s | 0 |
urls_ratio_none |   of the bare loop | 2 | >= 0.90
urls_cpu_none |   CPU s per 10,000 | 3 |
urls_cpu_ratio_none |   CPU per request, of the bare loop's | 2 | <= 1.15
loops_per_s_1 | one sender loop, core 0, requests/s | 0 |
loops_cpu_1 |   CPU s per 10,000 | 3 |
loops_per_s_2 | two sender loops, both cores shared with sink and Redis, requests/s | 0 |
loops_cpu_2 |   CPU s per 10,000 | 3 |
loops_ratio |   what two cores to themselves would do, of what one does | 2 | >= 1.9
h2load_per_s | h2load, 64 streams, TLS, requests/s | 0 |
wrk_tls_per_s | wrk, 16 connections, TLS, HTTP/1.1, requests/s | 0 |

| Keys, one per job, in batches of 256, 20 ms reply time
xadd_per_s | Redis alone: XADD, pipelined, entries/s (limit of producers) | 0 |
redis_benchmark_per_s |   the same as redis-benchmark sees it | 0 |
drain_per_s | Redis alone: XREADGROUP + XACK + XDEL, entries/s (the limit) | 0 |
keys_per_s_all | purgeline, receipts: all, keys/s | 0 | >= 150000
keys_ratio_all |   of Redis alone | 2 |
keys_of_go_all |   of the hand-written Go loop, which keeps no receipts | 2 |
keys_cpu_of_go_all |   keys per CPU s, of the hand-written Go loop's | 2 |
keys_cpu_all |   CPU s per 10,000 | 3 |
keys_fill_all |   keys per request, of 256 at most | 1 |
keys_per_s_history | purgeline, receipts: all, receipts_in: history, keys/s | 0 | >= 150000
keys_ratio_history |   of Redis alone | 2 | >= 0.90
keys_of_go_history |   of the hand-written Go loop, which keeps no receipts | 2 | >= 1
keys_cpu_of_go_history |   keys per CPU s, of the hand-written Go loop's | 2 |
keys_cpu_history |   CPU s per 10,000 | 3 |
keys_fill_history |   keys per request, of 256 at most | 1 |
keys_bytes_history |   bytes in Redis for history and receipt of a job with a key of 40 bytes | 0 | <= 200
keys_per_s_none | purgeline, receipts: none, keys/s | 0 | >= 150000
keys_ratio_none |   of Redis alone | 2 | >= 1.5
keys_of_go_none |   of the hand-written Go loop | 2 | >= 1
keys_cpu_of_go_none |   keys per CPU s, of the hand-written Go loop's | 2 | >= 1
keys_cpu_none |   CPU s per 10,000 | 3 |
keys_fill_none |   keys per request, of 256 at most | 1 |

| Merging: {held} jobs over {hundredth} keys wait, a budget of 10,000 keys a second
merged_s_all | receipts: all: merged and dispatched after, s | 2 | <= 8
merged_rss_mb_all |   resident memory at most, MB | 1 | <= 100
merged_sends_all |   how often each key was sent | 2 |
merged_s_none | receipts: none: merged and dispatched after, s | 2 | <= 8
merged_rss_mb_none |   resident memory at most, MB | 1 | <= 100
merged_sends_none |   how often each key was sent | 2 |
merged_s_free | receipts: none, no budget in the way: dispatched after, s | 2 |
merged_rss_mb_free |   resident memory at most, MB | 1 |
merged_sends_free |   how often each key was sent | 2 |

| History of {held} jobs
history_s | purgeline history --target, s | 2 | <= 2
history_page_ms |   Redis is busy with one page for, on average, ms | 2 |
history_stall_ms |   and at most, ms | 2 | <= 5

| Memory and restart, {held} waiting
held_bytes | bytes resident per pending target of 40 bytes | 0 | <= 110
held_mb |   resident memory while they wait, MB | 1 |
held_taken_per_s |   jobs read per second | 0 |
absorbed_bytes | bytes resident per job merged into a pending target | 1 | <= 24
absorbed_mb |   resident memory while they wait, MB | 1 |
absorbed_taken_per_s |   jobs read and merged per second | 0 |
restart_first_s | restart after kill -9, all unacknowledged: first purge done after, s | 2 | <= 1
restart_read_s |   all read back after, s | 2 | <= 6

| Waiting
wait_p50_ms | urgent URL, push to wire, idle otherwise: p50, ms | 2 |
wait_p99_ms |   p99, ms | 2 | <= 0.3
wait_max_ms |   longest, ms | 2 |
wait_full_p50_ms | with {held} bulk keys waiting: p50, ms | 2 |
wait_full_p99_ms |   p99, ms | 2 | <= 0.35
wait_full_max_ms |   longest, ms | 2 |
wait_burst_p50_ms | while {burst} keys go at once, nothing spent of 100,000 an hour: p50, ms | 2 |
wait_burst_p99_ms |   p99, ms | 2 | <= 5
wait_burst_max_ms |   longest, ms | 2 |
unverified_p99_ms | 27 URLs a second, push to wire, none verified: p99, ms | 2 |
verified_p99_ms | the same, one in a hundred verified: p99, ms | 2 |
verified_ratio |   of that without | 2 | <= 1.05
verified_core |   processor time that this takes, % of a core | 2 | <= 1
fresh_keys_s | {fresh} keys pushed, nothing spent of 100,000 an hour, 20 ms reply time: last answer after, s | 2 | <= 1
fresh_keys_fill |   keys per request, of 256 at most | 1 |
fresh_urls_s | the same with URLs, and urgent ones pushed meanwhile | 2 | <= 10
fresh_urls_ratio |   of what 64 in flight can do | 2 | >= 0.80
fresh_wait_p50_ms |   urgent URL meanwhile, push to wire: p50, ms | 2 |
fresh_wait_p99_ms |   p99, ms | 2 | <= 5
fresh_wait_max_ms |   longest, ms | 2 |
idle_wakeups | idle, HTTP endpoint open: wake-ups per second | 1 | <= 5
idle_cpu_ms |   CPU ms per second | 2 |
idle_mb |   resident memory, MB | 1 | <= 15

| HTTP enqueue, one job a request, 64 connections, in Redis before the answer
ceiling_per_s | nginx, constant answer, requests/s (the limit) | 0 |
ceiling_p99_ms |   p99, ms | 1 |
ceiling_cpu |   CPU s per 10,000 | 3 |
fastify_per_s | fastify + ioredis XADD, requests/s | 0 |
fastify_p99_ms |   p99, ms | 1 |
fastify_cpu |   CPU s per 10,000 | 3 |
goserve_per_s | Go net/http + XADD, requests/s | 0 |
goserve_p99_ms |   p99, ms | 1 |
goserve_cpu |   CPU s per 10,000 | 3 |
webdis_per_s | webdis, requests/s | 0 |
webdis_p99_ms |   p99, ms | 1 |
webdis_cpu |   CPU s per 10,000 | 3 |
enqueue_per_s | purgeline, POST /v1/purge, requests/s | 0 |
enqueue_of_webdis |   of webdis | 2 | >= 1.5
enqueue_of_goserve |   of Go net/http | 2 | >= 1.3
enqueue_of_ceiling |   of nginx' constant answer | 2 | >= 0.65
enqueue_p99_ms |   p99, ms | 1 |
enqueue_cpu |   CPU s per 10,000 | 3 |
busy_per_s | the same while it dispatches what comes, requests/s | 0 |
busy_p99_ms |   p99, ms | 1 |
busy_cpu |   CPU s per 10,000 | 3 |
bulk_per_s | purgeline, POST /v1/purge/bulk, a result for each line, jobs/s | 0 | >= 200000
bulk_cpu |   CPU s per 10,000 | 3 |
bulk_rss_mb |   resident memory at most, MB | 1 |
bulk_minimal_per_s | the same, Prefer: return=minimal, jobs/s | 0 | >= 200000
bulk_minimal_cpu |   CPU s per 10,000 | 3 |
bulk_minimal_rss_mb |   resident memory at most, MB | 1 |

| Redis' file on the disk before each answer (appendfsync always), as the embedded one has it
always_drain_per_s | Redis alone: XREADGROUP + XACK + XDEL, entries/s (the limit) | 0 |
always_keys_per_s_all | purgeline, one key per job, receipts: all, keys/s | 0 | >= 150000
always_keys_ratio_all |   of Redis alone | 2 |
always_keys_per_s_none | purgeline, one key per job, receipts: none, keys/s | 0 | >= 150000
always_keys_ratio_none |   of Redis alone | 2 | >= 1.5
always_wait_p50_ms | urgent URL, push to wire, idle otherwise: p50, ms | 2 |
always_wait_p99_ms |   p99, ms | 2 |
always_enqueue_per_s | purgeline, POST /v1/purge, requests/s | 0 |
always_enqueue_p99_ms |   p99, ms | 1 |

| Redis with a replica, on the same core: what redis_replicas: 1 costs
replicas_0_enqueue_per_s | redis_replicas: 0, POST /v1/purge, requests/s | 0 |
replicas_0_enqueue_p99_ms |   p99, ms | 1 |
replicas_0_wait_p50_ms |   urgent URL, push to wire, idle otherwise: p50, ms | 2 |
replicas_0_wait_p99_ms |   p99, ms | 2 |
replicas_0_keys_per_s |   one key per job, receipts: none, keys/s | 0 |
replicas_1_enqueue_per_s | redis_replicas: 1, POST /v1/purge, requests/s | 0 |
replicas_1_enqueue_ratio |   of that without | 2 |
replicas_1_enqueue_p99_ms |   p99, ms | 1 |
replicas_1_wait_p50_ms |   urgent URL, push to wire, idle otherwise: p50, ms | 2 |
replicas_1_wait_p99_ms |   p99, ms | 2 |
replicas_1_keys_per_s |   one key per job, receipts: none, keys/s | 0 |
replicas_1_keys_ratio |   of that without | 2 |

| Cost as work grows: what one more job of one key takes, receipts: none
{growth}
| The whole job elsewhere: Redis to one request per purge
{peers}
| Holding a budget of 278 per 10 s, a backlog waiting, as the sink saw it
{held_budget}
"""

PEERS = (("go", "hand-written Go, standard library, 100 goroutines, HTTP/2"),
         ("go_keys", "the same, 256 keys a request, keys/s"),
         ("node", "hand-written Node, streams + undici, 64 at a time, HTTP/1.1"),
         ("node_keys", "the same, 256 keys a request, keys/s"),
         ("curl", "curl -Z, URLs from a file, no queue, HTTP/2"),
         ("bullmq", "BullMQ + undici, 64 at a time, HTTP/1.1"),
         ("fastly", "npm fastly, 64 at a time, HTTP/1.1"),
         ("sidekiq", "Sidekiq, 25 threads, Net::HTTP kept open"),
         ("celery", "Celery, 32 threads, requests"))
LIMITERS = (("purgeline", "purgeline"), ("bullmq", "BullMQ limiter"),
            ("celery", "Celery rate_limit"))


def peer_rows():
    for name, what in PEERS:
        yield f"{name}_per_s | {what}{'' if name.endswith('keys') else ', purges/s'} | 0 |"
        yield f"{name}_cpu |   CPU s per 10,000 | 3 |"
        yield f"{name}_rss_mb |   resident memory at most, MB | 1 |"


def budget_rows():
    for name, what in LIMITERS:
        goals = ("<= 1", ">= 0.99") if name == "purgeline" else ("", "")
        yield f"budget_{name}_worst | {what}: worst sliding window, of the budget | 3 | {goals[0]}"
        yield f"budget_{name}_used |   used, of the budget | 3 | {goals[1]}"


def growth_rows(sizes):
    for small, large in zip(sizes, sizes[1:]):
        yield f"growth_us_{large} | from {small:,} to {large:,} waiting: us | 2 |"
        yield f"growth_cpu_us_{large} |   CPU us | 2 |"
    yield "growth_us_worst |   the most of the first | 2 | <= 1.05"
    yield "growth_cpu_us_worst |   the same in CPU time | 2 | <= 1.05"


def rows(size):
    """Yields (name, description, decimals, goal) for each row, and (None, section, None, None) for each section."""
    text = ROWS.format(held=f"{size.held:,}", fresh=f"{size.fresh:,}", burst=f"{size.burst:,}",
                       hundredth=f"{size.held // 100:,}",
                       growth="\n".join(growth_rows(size.growth)),
                       peers="\n".join(peer_rows()) + "\n",
                       held_budget="\n".join(budget_rows()))
    for line in text.splitlines():
        if not line.strip():
            continue
        name, what, *rest = (part for part in line.split("|"))
        what = what[1:].rstrip()
        if not rest:
            yield None, what, None, None
        else:
            yield name.strip(), what, int(rest[0]), rest[1].strip()
