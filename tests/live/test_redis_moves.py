#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The moves of deploy/redis.md from one Redis to another lose no job. Each is done with servers on loopback, with the
commands of the document but other addresses and folders.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import ROOT, SERVICE, Score, Stage, free_port, skip_without, until  # noqa: E402

JOBS = 10
DOCUMENT = os.path.join(ROOT, "deploy/redis.md")


class World(Stage):
    def __init__(self):
        super().__init__()
        self.fastly()
        self.env.update(FASTLY_API_TOKEN="right-token", FASTLY_SERVICE_ID=SERVICE, PURGELINE_LISTEN="",
                        PURGELINE_SENDERS="1", PURGELINE_DATA_DIR=self.path("embedded"))
        self.old, self.new = free_port(), free_port()
        for name in ("redis-old", "redis-new"):
            os.mkdir(self.path(name))
        with open(DOCUMENT) as document:
            self.document = document.read()

    def start_redis(self, name, port):
        self.start(name, "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", self.path(name),
                   "--appendonly", "yes", "--appendfsync", "always", "--save", "", "--maxmemory-policy", "noeviction")
        until("Redis answers", lambda: "PONG" in self.run(f"redis-cli -p {port} PING")[1])

    def logs(self):
        return [self.log(name) for name in ("purgeline", "redis-old", "redis-new")
                if os.path.exists(self.path(f"{name}.log"))]

    def as_written(self, command, *places):
        """Runs a command of the document after it has replaced the places."""
        if command not in self.document:
            raise AssertionError(f"deploy/redis.md has no {command}")
        for place, here in places:
            command = command.replace(place, here)
        return self.must(command)

    def start_daemon(self):
        self.start("purgeline", "purgeline", "run")
        until("the daemon leads", lambda: "nobody leads" not in self.run("purgeline status")[1] and
              self.run("purgeline status")[0] != 3)

    def queue(self):
        until("the daemon is paused", lambda: self.run("purgeline pause test")[0] == 0)
        for n in range(JOBS):
            self.must(f"purgeline push --key k{n}")

    def purge_them(self, port):
        self.must("purgeline resume")
        until("all jobs are purged", lambda: self.must(f"redis-cli -p {port} XLEN 'purgeline:{{main}}:jobs:normal'")
              .strip() == "0")
        receipts = self.must(f"redis-cli -p {port} --scan --pattern 'purgeline:{{main}}:receipt:*'").split()
        return len(receipts)


def from_embedded_to_one(w, score):
    w.start_daemon()
    w.queue()
    w.stop("purgeline")
    w.as_written("cp -a /var/lib/purgeline/appendonlydir /var/lib/redis/",
                 ("/var/lib/purgeline", w.path("embedded")), ("/var/lib/redis", w.path("redis-old")))
    w.start_redis("redis-old", w.old)
    w.env["PURGELINE_REDIS"] = f"redis://127.0.0.1:{w.old}"
    w.start_daemon()
    score.ok(w.purge_them(w.old) == JOBS, "from embedded to a Redis of one's own: all jobs are purged")


def swap_roles(w, places):
    """Redis gives up when the time is over, and the document says to repeat the command then."""
    def is_master():
        return w.as_written("redis-cli -h new ROLE", *places).startswith("master")

    for _ in range(3):
        w.as_written("redis-cli -h old FAILOVER TO new 6379 TIMEOUT 10000", *places)
        try:
            until("the roles are swapped", is_master, 15)
            return
        except AssertionError as never:
            last = never
    raise last


def from_one_to_another(w, score):
    w.queue()
    w.start_redis("redis-new", w.new)
    places = (("-h new", f"-p {w.new}"), ("-h old", f"-p {w.old}"), ("old 6379", f"127.0.0.1 {w.old}"),
              ("new 6379", f"127.0.0.1 {w.new}"))
    w.as_written("redis-cli -h new REPLICAOF old 6379", *places)
    until("it is in sync",
          lambda: "master_link_status:up" in w.as_written("redis-cli -h new INFO replication", *places))
    swap_roles(w, places)
    code, told = w.run("purgeline push --key late")
    score.ok(code != 0 and "READONLY" in told, "from one server to another: the old one refuses jobs", code, told)
    w.stop("purgeline")
    w.env["PURGELINE_REDIS"] = f"redis://127.0.0.1:{w.new}"
    w.start_daemon()
    score.ok(w.purge_them(w.new) == 2 * JOBS, "from one server to another: all jobs are purged")


def main():
    skip_without("redis-server", "redis-cli", "nginx", "varnishd", "curl")
    score = Score()
    w = World()
    try:
        from_embedded_to_one(w, score)
        from_one_to_another(w, score)
    except (AssertionError, OSError, subprocess.SubprocessError) as wrong:
        score.ok(False, "a move", repr(wrong), *w.logs())
    finally:
        w.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
