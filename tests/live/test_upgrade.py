#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A rolling upgrade and a downgrade: the release before and this one share a Redis while a producer pushes all the time.

They replace each other, once by an orderly stop and once by being killed, in both directions. Every job must be purged, the
budget kept, the lease handed over, and neither may complain about what the other one has stored.
"""
import collections
import json
import os
import re
import sys
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from previous import build_previous  # noqa: E402
from resp import Resp  # noqa: E402
from stage import SERVICE, Stage, ask, free_port, play, skip_without, until  # noqa: E402

BUDGET, WINDOW_S = 60, 5
PUSH_EVERY_S = 1 / 15  # more than the budget allows, so that a backlog grows
FAR_S = 3600
OLD, NEW = "old", "new"

# Settings that both releases have.
CONFIG = """redis: redis://127.0.0.1:{redis}
listen: 127.0.0.1:{http}
senders: 1
accounts:
- name: main
  token_env: FASTLY_API_TOKEN
  api: {api}
  ca_file: {ca_file}
  services: [{{id: {service}, name: news}}]
  budget: {{purges: {purges}, per_s: {per_s}, burst: 1}}
"""


def key(name):
    return f"purgeline:{{main}}:{name}"


def push(redis, *fields, lane="normal"):
    """The id of the new job."""
    return f"{lane}-" + redis.ask("XADD", key(f"jobs:{lane}"), "*", *fields)


class Producer(threading.Thread):
    """Pushes one URL after the other, as any Redis client may, and notes what is booked on the budget meanwhile."""

    def __init__(self, w):
        super().__init__(daemon=True)
        self.redis, self.ended = Resp(w.port), threading.Event()
        self.jobs = {}  # URL -> job id
        self.booked = {}  # id of the booking -> time by the account's clock in ms, cost

    def run(self):
        n = 0
        while not self.ended.wait(PUSH_EVERY_S):
            n += 1
            url = f"https://www.example.com/{n}"
            self.jobs[url] = push(self.redis, "url", url, "ref", f"ref-{n}")
            self.note_bookings()

    def note_bookings(self):
        """Bookings stay in Redis for a window, and this is called much more often. Returns their sum."""
        last = max(self.booked, key=lambda entry: [int(n) for n in entry.split("-")], default="0-0")
        for entry, fields in self.redis.ask("XRANGE", key("spent:purge"), f"({last}", "+"):
            fields = dict(zip(fields[::2], fields[1::2]))
            self.booked[entry] = int(fields["t"]), int(fields["c"])
        return sum(cost for _, cost in self.booked.values())

    def close(self):
        self.ended.set()
        self.join()


class World(Stage):
    def __init__(self, previous):
        super().__init__()
        self.programs = {OLD: os.path.join(previous, "purgeline"), NEW: os.path.realpath(self.path("bin/purgeline"))}
        self.http = {}
        self.launches = 0
        self.reserved = 0  # units that the killed ones had reserved, and maybe not spent

    def begin(self):
        self.fastly("--budget", "0")
        self.env.update(FASTLY_API_TOKEN="right-token")
        api, ca_file = self.env.pop("PURGELINE_API"), self.env.pop("PURGELINE_CA_FILE")
        self.port = free_port()
        self.start("redis", "redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.dir, "--save",
                   "", "--maxmemory-policy", "noeviction")
        until("Redis answers", lambda: self.run(f"redis-cli -p {self.port} PING")[1].strip() == "PONG")
        self.redis = Resp(self.port)
        for name in (OLD, NEW):
            self.http[name] = free_port()
            self.write(f"{name}.yaml", CONFIG.format(redis=self.port, http=self.http[name], api=api, ca_file=ca_file,
                                                     service=SERVICE, purges=BUDGET, per_s=WINDOW_S))

    def launch(self, name):
        """Each start has a log of its own: self.children and logs are named old-1, new-2 …"""
        self.launches += 1
        each = f"{name}-{self.launches}"
        self.start(each, self.programs[name], "run", "--config", self.path(f"{name}.yaml"))
        until(f"{each} listens", lambda: ask(f"http://127.0.0.1:{self.http[name]}/livez")[0] == 200)
        until(f"{each} is connected", lambda: "Connected to Redis" in self.log(each))
        return each

    def leader(self):
        lease = self.redis.ask("GET", key("lease")) or "nobody"
        pids = {str(child.pid): name for name, child in self.children.items()}
        return next((pids[word] for word in lease.split("/") if word in pids), lease)

    def await_leader(self, each):
        until(f"{each} leads", lambda: self.leader() == each)

    def requests(self):
        with open(self.path("sandbox/requests.log")) as log:
            found = [json.loads(line) for line in log if line.endswith("\n")]
        return [(line["t"], line["url"]) for line in found if line["kind"] == "url" and line["purged"]]

    def purged(self):
        return collections.Counter(url for _, url in self.requests())

    def await_more(self, count=20):
        """Until so many more purges have reached Fastly."""
        before = len(self.requests())
        until("purges go on", lambda: len(self.requests()) >= before + count)

    def job(self, name, job):
        """What an instance says about a job over HTTP."""
        return ask(f"http://127.0.0.1:{self.http[name]}/v1/jobs/{job}")


def most_in_a_window(booked):
    """The most that was booked within a window, by the account's clock, on which the load of the machine has no effect."""
    most = 0
    for until_ms, _ in booked:
        most = max(most, sum(cost for t, cost in booked if until_ms - 1000 * WINDOW_S < t <= until_ms))
    return most


def receipts_are_read_by_both(w, score, by):
    """The job is ended by one release, and both tell how."""
    job = push(w.redis, "url", f"https://www.example.com/receipt-of-{by}", "ref", f"receipt of {by}",
               lane="urgent")
    until("the receipt is there", lambda: w.redis.ask("EXISTS", key(f"receipt:{job}")))
    said = {name: w.job(name, job) for name in (OLD, NEW)}
    told = {name: json.loads(body) for name, (status, body) in said.items() if status == 200}
    good = len(told) == 2 and all(one.get("ref") == f"receipt of {by}" and one.get("state") == "purged" for one in told.values())
    score.ok(good, f"a receipt that the {by} release wrote is read by both", said)


def set_aside(w):
    """How many jobs wait for their time. 0.1.0 kept them in `later`."""
    return w.redis.ask("ZCARD", key("later")) + w.redis.ask("ZCARD", key("postponed"))


def postpone(w, by):
    """A job that the leader sets aside, because its time is far away."""
    count = set_aside(w)
    job = push(w.redis, "url", f"https://www.example.com/postponed-by-{by}", "not_before", str(int(1000 * (time.time() + FAR_S))))
    until("it is set aside", lambda: set_aside(w) == count + 1)
    return job


def dead_letter(w, by):
    """A job that no release understands."""
    count = w.redis.ask("XLEN", key("dead"))
    push(w.redis, "url", f"https://www.example.com/dead-of-{by}", "no_such_field", "1")
    until("it is a dead letter", lambda: w.redis.ask("XLEN", key("dead")) == count + 1)


def replace(w, score, gone, arriving, killed):
    """One release leads, the other one waits, the first one ends."""
    first = w.leader()
    assert first.startswith(gone), (first, gone)
    second = w.launch(arriving)
    w.await_more()
    score.ok(w.leader() == first, f"while the {gone} release leads, the {arriving} one waits", w.leader())
    how = "is killed" if killed else "stops"
    w.stop(first, kill=killed)
    w.reserved += killed and int(w.redis.ask("HGET", key("budget"), "purge:open") or 0)
    begun = time.monotonic()
    w.await_leader(second)
    w.await_more()
    score.ok(True, f"the {gone} release {how}: the {arriving} one leads after {time.monotonic() - begun:.1f} s, and purges")
    return second


def both_read_the_dead_letters(w, score, count):
    said = {name: w.run(f"{program} dead list --json --config {w.path(name + '.yaml')}")
            for name, program in w.programs.items()}
    good = all(code == 0 and text.count("no_such_field") >= count for code, text in said.values())
    score.ok(good, "dead letters of both are listed by both", said)


def complaints(w):
    """Lines of the logs that say that something stored cannot be read, and errors."""
    found = []
    for name in sorted(os.listdir(w.dir)):
        if not re.fullmatch(r"(old|new)-\d+\.log", name):
            continue
        for line in w.log(name[:-4]).splitlines():
            level = line.split()[1] if len(line.split()) > 1 else ""
            if level in ("error", "fatal") or re.search(r"cannot be read|not understood|WRONGTYPE|unknown (field|member)", line):
                if "no_such_field" not in line:
                    found.append(f"{name}: {line}")
    return found


def test(w, score):
    w.begin()
    w.await_leader(w.launch(OLD))
    producer = Producer(w)
    producer.start()
    waiting = {OLD: postpone(w, OLD)}
    dead_letter(w, OLD)
    replace(w, score, OLD, NEW, killed=False)
    w.launch(OLD)  # as a standby, which answers, too
    receipts_are_read_by_both(w, score, NEW)
    waiting[NEW] = postpone(w, NEW)
    dead_letter(w, NEW)
    both_read_the_dead_letters(w, score, 2)
    w.stop(next(each for each in w.children if each.startswith(OLD)))
    replace(w, score, NEW, OLD, killed=True)
    second = replace(w, score, OLD, NEW, killed=True)
    replace(w, score, NEW, OLD, killed=False)
    standby = w.launch(NEW)
    receipts_are_read_by_both(w, score, OLD)
    w.stop(w.leader())
    w.await_leader(standby)
    producer.close()
    score.ok(second != standby, "the release that stays has been replaced and started again")
    until("every job is purged", lambda: producer.note_bookings() and set(producer.jobs) <= set(w.purged()))
    score.ok(len(producer.jobs) > 100, f"each of {len(producer.jobs)} jobs is purged")
    until("all purges are booked", lambda: producer.note_bookings() >= len(w.requests()))
    score.ok(True, f"each of {len(w.requests())} purges is booked")
    most = most_in_a_window(producer.booked.values())
    score.ok(BUDGET / 2 < most <= BUDGET + w.reserved, f"at most {most} of {BUDGET} purges are booked in {WINDOW_S} s, and "
             f"{w.reserved} once more, later, because those who had reserved them were killed")
    said = {by: w.job(NEW, job) for by, job in waiting.items()}
    good = all(status == 200 and '"waiting"' in text for status, text in said.values()) and set_aside(w) == len(said)
    score.ok(good, "the jobs that each of them has set aside still wait for their time", said, set_aside(w))
    found = complaints(w)
    score.ok(not found, "no instance complains about what another one has stored", *found)


def main():
    skip_without("redis-server", "redis-cli", "nginx", "varnishd", "curl", "git", "cmake", "ninja")
    version, previous = build_previous()
    print(f"# the release before is {version}", flush=True)
    return play([test], World(previous), lambda w: [w.log(name)[-1500:] for name in w.children if name[:3] in (OLD, NEW)])


if __name__ == "__main__":
    sys.exit(main())
