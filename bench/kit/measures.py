# SPDX-License-Identifier: MIT
"""Measures purgeline and its limits. Each function gets the bench, measures once, and records samples by
name; rows.py describes the names."""
import json
import os
import signal
import statistics
import time

from . import world as w
from .world import run, until

BODY = '{"url": "www.example.com/news/2026/some-article"}'
PURGE_PATH = "/purge/www.example.com/news/2026/some-article-0000000001"


# -- dispatch ------------------------------------------------------------------------------------

def bare(b):
    for name, *options in ("bare",), ("manual", "--manual"):
        out = json.loads(run(0, b.world.tool("bare_curl"), "--url", b.world.url + PURGE_PATH,
                             "--ca", b.world.ca, "--header", "Fastly-Key: token",
                             "--count", str(b.size.bare), "--in-flight", str(w.IN_FLIGHT), *options))
        b.now[f"{name}_per_s"], b.now[f"{name}_cpu"] = out["per_s"], out["cpu_s"] / out["requests"]
        b.record(f"{name}_per_s", out["per_s"])
        b.record(f"{name}_cpu", out["cpu_s"] / out["requests"] * 10000)


def urls(b):
    n = b.size.urls
    for receipts in "all", "none":
        b.world.start_redis()
        b.world.load("--lane", "normal", "--kind", "url", "--count", n)
        before = b.world.purges_seen()
        out = b.world.timed("empty", n, receipts=receipts)
        b.expect(n, b.world.purges_seen() - before)
        b.record(f"urls_per_s_{receipts}", n / out["seconds"])
        b.record(f"urls_cpu_{receipts}", out["cpu_s"] / n * 10000)
        if "go_cpu" in b.now and receipts == "all":
            b.record("urls_of_go", n / out["seconds"] / b.now["go_per_s"])
            b.record("urls_cpu_of_go", b.now["go_cpu"] / (out["cpu_s"] / n))
        if "bare_per_s" in b.now:
            b.record(f"urls_ratio_{receipts}", n / out["seconds"] / b.now["bare_per_s"])
            b.record(f"urls_cpu_ratio_{receipts}", out["cpu_s"] / n / b.now["bare_cpu"])
        if receipts == "all":
            b.record("urls_rss_mb", out["peak_kb"] / 1024)


def loops(b):
    """One and two sender loops. The sink uses one of the two cores, so this compares processor time per request."""
    n, cost = b.size.urls, {}
    for senders in 1, 2:
        b.world.start_redis()
        b.world.load("--lane", "normal", "--kind", "url", "--count", n)
        out = b.world.timed("empty", n, core=0 if senders == 1 else None, senders=senders,
                            receipts="none")
        cost[senders] = out["cpu_s"] / n
        b.record(f"loops_per_s_{senders}", n / out["seconds"])
        b.record(f"loops_cpu_{senders}", cost[senders] * 10000)
    b.record("loops_ratio", 2 * cost[1] / cost[2])


def keys(b):
    n = b.size.keys
    for receipts, account in (("all", {}), ("none", {}),
                              ("history", {"receipts": "all", "receipts_in": "history", "history_jobs": n + 1000})):
        b.world.start_redis()
        empty = b.world.redis_memory()
        b.world.load("--lane", "normal", "--kind", "key", "--count", n)
        before = b.world.purges_seen()
        out = b.world.timed("empty", n, **{"receipts": receipts, **account})
        if receipts == "history":
            b.record("keys_bytes_history", (b.world.redis_memory() - empty) / n)
        b.record(f"keys_per_s_{receipts}", n / out["seconds"])
        b.record(f"keys_cpu_{receipts}", out["cpu_s"] / n * 10000)
        b.record(f"keys_fill_{receipts}", n / (b.world.purges_seen() - before))
        if "drain_per_s" in b.now:
            b.record(f"keys_ratio_{receipts}", n / out["seconds"] / b.now["drain_per_s"])
        if "go_keys_cpu" in b.now:
            b.record(f"keys_of_go_{receipts}", n / out["seconds"] / b.now["go_keys_per_s"])
            b.record(f"keys_cpu_of_go_{receipts}", b.now["go_keys_cpu"] / (out["cpu_s"] / n))


FILL = """for e = ARGV[1], ARGV[2] do local l = {}
for i = 1, 256 do l[i] = string.format('{"job":"normal-%.0f-%d","state":"purged","purge":{"keys":["article-%032d"],' ..
'"service":"news","sent":1764417601200}}', 1700000000000 + e, i, e * 256 + i) end
redis.call('XADD', KEYS[1], string.format('%.0f-0', 1700000000000 + e), 'v', '1', 'n', 256, 'jobs',
table.concat(l, '\\n') .. '\\n') end"""


def history(b):
    """Looks for a key among all jobs that have ended."""
    key, entries, ask = b.world.key("history"), -(-b.size.held // 256), None
    b.world.start_redis()
    ask = b.world.redis.ask
    for first in range(1, entries + 1, 100):
        ask("EVAL", FILL, 1, key, first, min(first + 99, entries))
    config = b.world.configuration()[3]
    ask("CONFIG", "SET", "slowlog-max-len", "100000")
    ask("CONFIG", "SET", "slowlog-log-slower-than", "0")
    ask("CONFIG", "RESETSTAT")
    began = time.monotonic()
    out = run(0, b.world.program, "history", "--config", config, "--number", "0", "--json", "--target",
              f"article-{256 + 44:032}")
    b.record("history_s", time.monotonic() - began)
    if len(out.splitlines()) != 1:
        raise w.Failed(f"history found {len(out.splitlines())} jobs instead of one")
    spent = [entry[2] for entry in ask("SLOWLOG", "GET", "100000") if entry[3][0] == b"XREVRANGE"]
    b.record("history_stall_ms", max(spent) / 1000)
    b.record("history_page_ms", statistics.mean(spent) / 1000)


def merged(b):
    """Jobs that repeat the same keys. With a budget of 10,000 a second, keys have to wait, and later jobs merge
    with them; without it, a key is sent before the next job names it."""
    n, distinct = b.size.held, b.size.held // 100
    for name, more in (("all", {"receipts": "all", **TEN_THOUSAND_A_SECOND}),
                       ("none", {"receipts": "none", **TEN_THOUSAND_A_SECOND}),
                       ("free", {"receipts": "none"})):
        b.world.start_redis()
        b.world.load("--lane", "normal", "--kind", "key", "--count", n, "--distinct", distinct)
        out = b.world.timed("empty", n, **more)
        b.record(f"merged_s_{name}", out["seconds"])
        b.record(f"merged_rss_mb_{name}", out["peak_kb"] / 1024)
        b.record(f"merged_sends_{name}", spent(b) / distinct)


TEN_THOUSAND_A_SECOND = {"purges": 36000000, "burst": 10000}


def spent(b):
    """The number of units that were sent, according to the account's ledger."""
    bookings = b.world.redis.ask("XRANGE", b.world.key("spent:purge"), "-", "+")
    return sum(int(fields[fields.index(b"c") + 1]) for _, fields in bookings)


def growth(b):
    """The cost of one more job, for growing backlogs. It is the difference between two sizes of the backlog, which
    excludes the time for starting and for the last answer."""
    wall, cpu = {}, {}
    for n in b.size.growth:
        times = [timed_backlog(b, n) for _ in range(max(1, min(5, b.size.growth[-1] // 5 // n)))]
        wall[n] = statistics.median(out["seconds"] for out in times)
        cpu[n] = statistics.median(out["cpu_s"] for out in times)
    steps = list(zip(b.size.growth, b.size.growth[1:]))
    for name, took in ("growth_us", wall), ("growth_cpu_us", cpu):
        per_job = [(took[large] - took[small]) / (large - small) * 1e6 for small, large in steps]
        for (_, large), us in zip(steps, per_job):
            b.record(f"{name}_{large}", us)
        if per_job[0] > 0:  # it is a difference, and may be negative
            b.record(f"{name}_worst", max(per_job) / per_job[0])


def timed_backlog(b, n):
    b.world.start_redis()
    b.world.load("--lane", "normal", "--kind", "key", "--count", n)
    return b.world.timed("empty", n, receipts="none")


# -- memory --------------------------------------------------------------------------------------

def idle_mb(b):
    b.world.start_redis()
    daemon = b.world.start_purgeline()
    time.sleep(0.5)
    mb = daemon.rss_mb()
    daemon.stop()
    return mb


def memory(b):
    """The memory of a pending target, and of a job that is merged into a pending target."""
    n, before_mb, per_target = b.size.held, idle_mb(b), 0
    for name, distinct in ("held", n), ("absorbed", n // 100):
        b.world.start_redis()
        b.world.pause(True)
        b.world.load("--lane", "bulk", "--kind", "key", "--count", n, "--distinct", distinct)
        out = b.world.timed("delivered", n)
        taken = (out["rss_kb"] / 1024 - before_mb) * 1048576
        if name == "held":
            per_target = taken / n
            b.record("held_bytes", per_target)
        else:
            b.record("absorbed_bytes", (taken - per_target * distinct) / (n - distinct))
        b.record(f"{name}_mb", out["rss_kb"] / 1024)
        b.record(f"{name}_taken_per_s", n / out["seconds"])


def restart(b):
    """The leader is killed while it holds a million jobs in memory; the next one must read them all again."""
    n = b.size.held
    b.world.start_redis()
    b.world.pause(True)
    b.world.load("--lane", "bulk", "--kind", "key", "--count", n)
    daemon = b.world.start_purgeline()
    until(lambda: pending(b) == n, "all to be delivered", daemon)
    daemon.stop(signal.SIGKILL)

    b.world.redis.ask("DEL", b.world.key("status"))  # left behind by the killed leader
    began = time.monotonic()
    daemon = b.world.start_purgeline()
    b.record("restart_read_s", time_until_all_is_read(b, daemon, n) - began)
    daemon.stop(signal.SIGKILL)

    b.world.pause(False)
    b.record("restart_first_s",
             b.world.timed("under", n, since="start", receipts="none")["seconds"])


def pending(b):
    """The number of jobs that the leader holds in memory."""
    return sum(reported(b, f"in_hand_{lane}") for lane in ("urgent", "normal", "bulk"))


def reported(b, what):
    """A number that the leader publishes every second."""
    text = b.world.redis.ask("GET", b.world.key("status"))
    return json.loads(text)[what] if text and text[:1] == b"{" else 0


def time_until_all_is_read(b, daemon, n):
    """The time at which all jobs have been read. The published number of jobs is up to a second old, so this is the
    time at which the daemon stopped using the processor."""
    samples, end = [(time.monotonic(), daemon.cpu_s())], time.monotonic() + w.PATIENCE_S
    while reported(b, "window_jobs") < n:
        if time.monotonic() > end:
            raise w.Failed(f"it reads {reported(b, 'window_jobs')} of {n} jobs again")
        time.sleep(0.02)
        samples.append((time.monotonic(), daemon.cpu_s()))
    for (_, cpu_before), (at, cpu) in reversed(list(zip(samples, samples[1:]))):
        if cpu - cpu_before > 0.005:  # of 20 ms: it was working until then
            return at
    return samples[-1][0]


# -- waiting -------------------------------------------------------------------------------------

def push_and_see(b, n):
    b.world.load("--lane", "urgent", "--kind", "url", "--count", n, "--rate", b.size.rate)
    until(lambda: int(b.world.from_sink("arrived")) >= n, f"{n} urgent URLs", patience_s=10)


def push_urgent(b, name):
    push_and_see(b, 20)
    b.world.from_sink("arrivals")  # discards the first ones, which had to open the connection
    push_and_see(b, b.size.waits)
    record_arrivals(b, name, b.size.waits)


def record_arrivals(b, name, n):
    out = json.loads(b.world.from_sink("arrivals"))
    if out["count"] != n:
        raise w.Failed(f"of {n} urgent URLs the sink saw {out['count']}")
    for part in "p50", "p99", "max":
        b.record(f"{name}_{part}_ms", out[part + "_ms"])


def latency(b):
    b.world.start_redis()
    daemon = b.world.start_purgeline()
    push_urgent(b, "wait")
    daemon.stop()


def latency_full(b):
    """The same with a backlog that drains at the speed of the budget, 1,000 a second. There are tokens for urgent
    jobs, because the bulk lane may use only half of the burst."""
    n = b.size.held
    b.world.start_redis()
    b.world.load("--lane", "bulk", "--kind", "key", "--count", n)
    daemon = b.world.start_purgeline(purges=1000 * 3600, burst=20000)
    until(lambda: pending(b) + 20000 >= n, "the backlog to be read", daemon)
    time.sleep(1.5)  # until the burst is spent
    if b.size.name != "smoke" and b.world.redis.ask("XLEN", b.world.key("jobs:bulk")) < n * 9 // 10:
        raise w.Failed("the backlog was gone too soon")
    push_urgent(b, "wait_full")
    daemon.stop()


def latency_burst(b):
    """The same while half of Fastly's hour goes at once: keys that are pushed in one go, and urgent URLs during the
    half second that this takes."""
    n = min(b.size.waits, b.size.rate // 2)
    b.world.start_redis()
    daemon = b.world.start_purgeline(purges=FASTLY_HOUR, burst=0)
    push_and_see(b, 20)
    b.world.from_sink("arrivals")
    urgent = w.Server(b.world, "urgent", 1, b.world.load_command("--lane", "urgent", "--kind", "url", "--count", n,
                                                                 "--rate", b.size.rate))
    b.world.load("--lane", "normal", "--kind", "key", "--count", b.size.burst)
    until(lambda: int(b.world.from_sink("arrived")) >= n, f"{n} urgent URLs", patience_s=10)
    urgent.stop()
    record_arrivals(b, "wait_burst", n)
    daemon.stop()


def verified(b):
    """URLs as fast as Fastly's hour allows, without and with looks at one in a hundred of their pages."""
    rate = FASTLY_HOUR // 3600
    for name, of_1000 in ("unverified", 0), ("verified", 10):
        b.world.start_redis()
        daemon = b.world.start_purgeline(verified_of_1000=of_1000)
        push_and_see(b, 20)
        b.world.from_sink("arrivals")
        b.world.from_sink("pages")
        began, used = time.monotonic(), daemon.cpu_s()
        b.world.load("--lane", "urgent", "--kind", "page", "--count", b.size.looked, "--rate", rate)
        until(lambda: int(b.world.from_sink("arrived")) >= b.size.looked, "the last URL", patience_s=10)
        b.now[name] = 100 * (daemon.cpu_s() - used) / (time.monotonic() - began)
        record_arrivals(b, name, b.size.looked)
        b.record(f"{name}_pages", int(b.world.from_sink("pages")))
        daemon.stop()
    p99 = {name: b.samples[f"{name}_p99_ms"][-1] for name in ("unverified", "verified")}
    b.record("verified_ratio", p99["verified"] / p99["unverified"])
    b.record("verified_core", b.now["verified"] - b.now["unverified"])


def fresh(b):
    """The time until the last of many purges is answered, if the account has spent nothing yet: the budget and the
    lanes are those of a new installation. Fastly takes 20 ms per request, so 64 at a time cannot do more than 3,200
    URLs a second."""
    n = b.size.fresh
    for name, kind in ("keys", "key"), ("urls", "slow"):
        b.world.start_redis()
        daemon = b.world.start_purgeline(purges=FASTLY_HOUR, burst=0)
        before, begun = b.world.purges_seen(), time.monotonic()
        b.world.load("--lane", "normal", "--kind", kind, "--count", n)
        if kind == "slow":
            push_urgent(b, "fresh_wait")
        until(lambda: b.world.redis.ask("XLEN", b.world.key("jobs:normal")) == 0, "the last answer", daemon)
        took = time.monotonic() - begun
        b.record(f"fresh_{name}_s", took)
        if kind == "key":
            b.record("fresh_keys_fill", n / (b.world.purges_seen() - before))
        else:
            b.record("fresh_urls_ratio", (n + b.size.waits) / took / (w.IN_FLIGHT / 0.020))
        daemon.stop()


FASTLY_HOUR = 100000


def idle(b):
    b.world.start_redis()
    daemon = b.world.start_purgeline(listen=f"127.0.0.1:{b.world.free_port()}")
    time.sleep(1.5)
    before = daemon.wakeups()
    cpu = daemon.cpu_s()
    time.sleep(b.size.idle_s)
    b.record("idle_wakeups", (daemon.wakeups() - before) / b.size.idle_s)
    b.record("idle_cpu_ms", (daemon.cpu_s() - cpu) * 1000 / b.size.idle_s)
    b.record("idle_mb", daemon.rss_mb())
    daemon.stop()


# -- HTTP enqueue --------------------------------------------------------------------------------

def wrk(b, url, body, *headers, method="POST"):
    """Runs wrk with 64 connections for a while, on the core of Redis."""
    script = b.world.path("wrk.lua")
    with open(script, "w") as f:
        f.write(f"wrk.method = {json.dumps(method)}\nwrk.body = {json.dumps(body)}\n")
        for header in headers:
            name, value = header.split(": ")
            f.write(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n")
        f.write("""function done(summary, latency, requests)
    io.write(string.format('{"count": %d, "us": %d, "bad": %d, "p99_us": %d}\\n', summary.requests,
        summary.duration, summary.errors.status + summary.errors.read + summary.errors.write +
        summary.errors.connect, latency:percentile(99)))
end
""")
    text = run(1, "wrk", "-t1", "-c64", "--timeout", "10s", f"-d{b.size.wrk_s}s", "-s", script, url)
    out = json.loads(text.splitlines()[-1])
    if out["bad"]:
        raise w.Failed(f"{out['bad']} of {out['count']} answers were wrong")
    out["per_s"] = out["count"] / out["us"] * 1e6
    return out


def enqueue_of(b, name, server, url, body, *headers, jobs=None):
    """Measures how fast a server accepts jobs. `jobs` returns the number of entries in Redis, which must contain
    every job that was confirmed."""
    wrk_before, cpu = jobs() if jobs else 0, server.cpu_s()
    out = wrk(b, url, body, *headers)
    spent = server.cpu_s() - cpu
    if jobs:
        until(lambda: jobs() - wrk_before >= out["count"], f"the jobs that {name} answered for",
              patience_s=5)
    b.record(f"{name}_per_s", out["per_s"])
    b.record(f"{name}_p99_ms", out["p99_us"] / 1000)
    b.record(f"{name}_cpu", spent / out["count"] * 10000)
    b.now[f"{name}_per_s"] = out["per_s"]


def ceiling(b):
    """The limit: wrk and a constant answer."""
    server, _, port = b.world.start_nginx(f"ceiling-{len(b.world.ports_taken)}", 0)
    enqueue_of(b, "ceiling", server, f"http://127.0.0.1:{port}/v1/purge",
               BODY, "Content-Type: application/json")
    server.stop()


def accepting(b, **more):
    """Starts a purgeline that only accepts jobs: its account is paused and its window is full."""
    b.world.start_redis()
    b.world.pause(True)
    port = b.world.free_port()
    daemon = b.world.start_purgeline(window=1000, listen=f"127.0.0.1:{port}", **more)
    until(lambda: w.can_connect(port), "the HTTP endpoint", daemon)
    return daemon, port


def enqueue(b):
    daemon, port = accepting(b)

    def jobs():
        return b.world.redis.ask("XLEN", b.world.key("jobs:normal"))
    enqueue_of(b, "enqueue", daemon, f"http://127.0.0.1:{port}/v1/purge", BODY,
               "Content-Type: application/json", jobs=jobs)
    for other in "webdis", "goserve", "ceiling":
        if f"{other}_per_s" in b.now:
            b.record(f"enqueue_of_{other}", b.now["enqueue_per_s"] / b.now[f"{other}_per_s"])
    daemon.stop()


def enqueue_busy(b):
    """The same while jobs are also dispatched. All have the same URL, so most of them merge."""
    b.world.start_redis()
    port = b.world.free_port()
    daemon = b.world.start_purgeline(listen=f"127.0.0.1:{port}")
    until(lambda: w.can_connect(port), "the HTTP endpoint", daemon)
    enqueue_of(b, "busy", daemon, f"http://127.0.0.1:{port}/v1/purge", BODY,
               "Content-Type: application/json")
    daemon.stop()


def bulk(b):
    n, lines = b.size.lines, b.world.path("lines")
    if not os.path.exists(lines):
        with open(lines, "w") as f:
            f.writelines(f'{{"keys": ["article-{i:032d}"]}}\n' for i in range(n))
    for name, prefer in ("bulk", "return=representation"), ("bulk_minimal", "return=minimal"):
        daemon, port = accepting(b)
        cpu, began = daemon.cpu_s(), time.monotonic()
        run(1, "curl", "-sS", "--fail", "-T", lines, "-X", "POST", "-H", f"Prefer: {prefer}", "-H",
            "Content-Type: application/x-ndjson", "-H", "Expect:", "-o", b.world.path("answer"),
            f"http://127.0.0.1:{port}/v1/purge/bulk")
        seconds = time.monotonic() - began
        accepted = b.world.redis.ask("XLEN", b.world.key("jobs:normal"))
        if accepted != n:
            with open(b.world.path("answer")) as f:
                raise w.Failed(f"{accepted} of {n} lines were accepted: {f.read(300)}")
        b.record(f"{name}_per_s", n / seconds)
        b.record(f"{name}_cpu", (daemon.cpu_s() - cpu) / n * 10000)
        b.record(f"{name}_rss_mb", daemon.peak_mb())
        daemon.stop()


# -- durability ----------------------------------------------------------------------------------

def always(b):
    """The cost of never losing a confirmed job, not even when Redis' machine crashes."""
    before, b.now = b.now, {}
    b.prefix, b.world.appendfsync = "always_", "always"
    try:
        for how in redis_limit, keys, latency, enqueue:
            how(b)
    finally:
        b.now, b.prefix, b.world.appendfsync = before, "", "everysec"


def replicas(b):
    """The cost of losing nothing in a failover. Redis has a replica in both cases, so what differs is the waiting for
    it: that of a producer for its answer, and that of the dispatcher for its reservations."""
    before, b.now, b.world.replicated = b.now, {}, True
    per_s = {}
    try:
        for count in 0, 1:
            b.prefix, b.world.redis_replicas = f"replicas_{count}_", count
            enqueue(b)
            latency(b)
            b.world.start_redis()
            b.world.load("--lane", "normal", "--kind", "key", "--count", b.size.keys)
            keys_per_s = b.size.keys / b.world.timed("empty", b.size.keys, receipts="none")["seconds"]
            b.record("keys_per_s", keys_per_s)
            per_s[count] = {"enqueue": b.now["enqueue_per_s"], "keys": keys_per_s}
        for what, with_one in per_s[1].items():
            b.record(f"{what}_ratio", with_one / per_s[0][what])
    finally:
        b.world.stop_redis()
        b.now, b.prefix, b.world.redis_replicas, b.world.replicated = before, "", 0, False


# -- limits --------------------------------------------------------------------------------------

def limits(b):
    """The limits: HTTP/2 and HTTP/1.1 clients in C, and Redis alone."""
    out = run(0, "h2load", "-n", str(b.size.bare), "-c1", "-m64", "-t1", "-H",
              ":method: POST", b.world.url + PURGE_PATH)
    rate = next(line for line in out.splitlines() if line.startswith("finished in"))
    b.record("h2load_per_s", float(rate.split(", ")[1].split()[0]))
    b.record("wrk_tls_per_s", wrk_from_core_0(b))
    b.world.start_redis()
    text = run(0, "redis-benchmark", "-s", b.world.redis_path, "-n", str(b.size.keys), "-P", "256",
               "-c", "1", "-q", "--csv", "XADD", "jobs", "*", "keys", f"article-{0:032d}")
    b.record("redis_benchmark_per_s", float(text.splitlines()[-1].split(",")[1].strip('"')))


def wrk_from_core_0(b):
    text = run(0, "wrk", "-t1", "-c16", f"-d{b.size.wrk_s}s", b.world.url + PURGE_PATH)
    return float(next(line for line in text.splitlines() if "Requests/sec" in line).split()[1])


def redis_limit(b):
    n = b.size.keys
    b.world.start_redis()
    out = json.loads(run(0, b.world.tool("bench_load"), "--redis", b.world.redis_path, "--stream",
                         "jobs", "--kind", "key", "--count", str(n), "--pipeline", "256"))
    b.record("xadd_per_s", out["per_s"])
    out = json.loads(run(0, b.world.tool("bench_drain"), "--redis", b.world.redis_path,
                         "--stream", "jobs"))
    if out["count"] != n:
        raise w.Failed(f"{out['count']} of {n} entries were read")
    b.record("drain_per_s", out["per_s"])
    b.now["drain_per_s"] = out["per_s"]
