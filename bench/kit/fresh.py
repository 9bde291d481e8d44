# SPDX-License-Identifier: MIT
"""Measures how soon the last of many keys is purged, for bench/fresh: the senders that are compared, each against a
sandbox (deploy/sandbox) of its own that has Fastly's budget and answers after 20 ms."""
import json
import os
import time
import urllib.request

from . import peers
from . import world as w
from .world import Server, run, until

UNITS, PER_S = 100000, 3600  # Fastly's budget
REPLY_MS = 20
SIZES = (1000, 20000, 100000, 150000)
SMOKE = (10, 60, 300, 600)
SCALE = 60  # of a scaled run: a budget, a window and a number of keys of a sixtieth
SCALE_QUEUE = 10  # the same where a second window begins while the first burst leaves Fastly's

MEASURED, SCALED, COMPUTED = "measured", "scaled", "computed"


class Stand(w.World):
    """A sandbox in the place of the sink, and a Redis."""

    def start_sink(self):
        folder = self.path("sandbox")
        self.sink = Server(self, "sandbox", 1, [
            os.path.join(w.root, "deploy/sandbox/sandbox"), "run", "--dir", folder, "--token", "token",
            "--service", w.SERVICE])
        until(lambda: os.path.exists(os.path.join(folder, "env")), "the sandbox", self.sink)
        with open(os.path.join(folder, "env")) as f:
            env = dict(line.strip().replace("'", "").split("=", 1) for line in f if "=" in line)
        self.url, self.ca = env["SANDBOX_API"], env["SANDBOX_CA"]
        self.service_url = f"{self.url}/service/{w.SERVICE}"
        self.control, self.log = env["SANDBOX_CONTROL"], env["SANDBOX_LOG"]

    def sandbox(self, settings):
        urllib.request.urlopen(f"{self.control}/fault", data=settings.encode(), timeout=10).read()


class Log:
    """The sandbox's log, read on from where it was left: how many keys were purged when, and how many refused."""

    def __init__(self, path):
        self.file = open(path)
        self.rest = ""
        self.forget()

    def forget(self):
        self.begin_s, self.purged = None, []  # when the first request began; (when, how many keys)
        self.keys = self.refused_keys = self.refused = 0

    def read(self):
        lines = (self.rest + self.file.read()).split("\n")
        self.rest = lines.pop()
        for line in lines:
            self.take(json.loads(line))

    def take(self, request):
        keys = len(request["keys"])
        self.begin_s = self.begin_s or request["begin"]
        if request["status"] == 200:
            self.purged.append((request["done"], keys))
            self.keys += keys
        else:
            self.refused_keys += keys
            self.refused += 1

    def when(self, keys):
        """The time at which so many keys had been purged."""
        for at, more in sorted(self.purged):
            keys -= more
            if keys <= 0:
                return at
        raise w.Failed("fewer keys were purged")


class Run:
    """One sender, pushed so many keys while nothing of the budget is spent. With a scale, budget, window and keys are
    divided by it, and the times multiplied."""

    def __init__(self, sender, keys, scale=1):
        self.sender, self.keys, self.scale = sender, keys, scale

    def begin(self, bin_dir):
        self.count = self.keys // self.scale
        self.units, self.per_s = UNITS // self.scale, PER_S // self.scale
        self.world = Stand(bin_dir)
        self.log = Log(self.world.log)
        self.world.sandbox(f"latency_ms={REPLY_MS}&effect=0")
        self.begun_s = self.sender.begin(self)

    def refill(self):
        """Begins with the whole budget. What was sent until now is forgotten."""
        self.log.read()
        self.log.forget()
        self.world.sandbox(f"budget={self.units}&per_s={self.per_s}")

    def await_warm_up(self):
        """The sender has purged one key, so it is ready and connected."""
        def purged():
            self.log.read()
            return self.log.keys
        until(purged, f"the first purge of {self.sender.name}", self.server)
        self.refill()

    def is_done(self):
        self.log.read()
        lost = self.log.refused_keys if self.sender.gives_up else 0
        if self.log.keys + lost < self.count and self.server.process.poll():
            raise w.Failed(f"{self.sender.name}: {self.server.words()}")
        return self.log.keys + lost >= self.count

    def result(self):
        begun_s = self.begun_s or self.log.begin_s
        return result(self.sender, self.keys, MEASURED if self.scale == 1 else SCALED,
                      (self.log.when((self.count + 1) // 2) - begun_s) * self.scale,
                      (self.log.when(self.log.keys) - begun_s) * self.scale,
                      self.log.refused * self.scale,
                      (self.count - self.log.keys) * self.scale)


def result(sender, keys, how, half_s, last_s, refused=0, never=0):
    return {"who": sender.name, "keys": keys, "how": how, "half_s": round(half_s, 3), "last_s": round(last_s, 3),
            "refused_requests": refused, "never": never}


# -- the senders ---------------------------------------------------------------------------------
# begin() starts a sender, pushes the keys and returns when it began to; None: with the first request.

class Purgeline:
    name, gives_up, needs = "purgeline", False, ()

    def begin(self, r):
        r.world.start_redis()
        r.server = r.world.start_purgeline(purges=r.units, per_s=r.per_s, burst=0)
        r.world.redis.ask("XADD", r.world.key("jobs:normal"), "*", "keys", "warm-up")
        r.await_warm_up()
        begun_s = time.time()
        r.world.load("--lane", "normal", "--kind", "key", "--count", r.count)
        return begun_s

    def plan(self, world, keys):
        """When the last of them would be purged, in the simulated time of purgeline plan."""
        text = "".join(f"article-{i:032d}\n" for i in range(keys))
        with open(world.path("keys"), "w") as f:
            f.write(text)
        command = world.configuration(purges=UNITS, per_s=PER_S, burst=0)
        config = command[command.index("--config") + 1]
        out = run(0, world.program, "plan", "--config", config, "--fresh", "--reply-ms", str(REPLY_MS), "--json",
                  "--file", world.path("keys"))
        return json.loads(out)["total"]["done_ms"] / 1000

    def compute(self, world, keys):
        return result(self, keys, COMPUTED, self.plan(world, keys // 2), self.plan(world, keys))


class Version010:
    """purgeline 0.1.0 had a token bucket of a twentieth of the budget, of which the normal lane left a tenth to urgent
    purges, and then sent at the pace of the budget."""
    name, needs = "purgeline 0.1.0", ()

    def done_s(self, keys):
        at_once = UNITS // 20 * 9 // 10
        return REPLY_MS / 1000 + max(0, keys - at_once) * PER_S / UNITS

    def compute(self, _, keys):
        return result(self, keys, COMPUTED, self.done_s(keys // 2), self.done_s(keys))


class BullMQ:
    """A worker of the same program as in bench/run, with the limiter of BullMQ."""
    name, gives_up, needs = "BullMQ, limiter", True, ("node", "npm")

    def push(self, r, count, prefix):
        return float(run(1, "node", "bullmq.js", "push", r.world.redis_path, str(count), prefix,
                         cwd=peers.node_folder))

    def begin(self, r):
        r.world.start_redis()
        r.server = Server(r.world, "bullmq", 0,
                          ["node", "bullmq.js", "work", r.world.redis_path, r.world.service_url, str(r.units),
                           str(r.per_s * 1000)], env=dict(peers.node_env(r), CONNECTIONS="64"), cwd=peers.node_folder)
        self.push(r, 1, "warm-up-")
        r.await_warm_up()
        r.world.redis.ask("DEL", "bull:purges:limiter")  # or its window would begin with the warm-up
        return self.push(r, r.count, "article-")


class Celery:
    """A worker of the same program as in bench/run, with Celery's rate_limit; of processes, which are faster here than
    threads. It has a pace and no burst, so its time for many keys follows from that for a few."""
    name, gives_up, needs = "Celery, rate_limit", True, ("celery",)
    folder = os.path.join(peers.folder, "python")

    def env(self, r):
        return dict(peers.celery_env(r), SINK=r.world.service_url, RATE=f"{r.units * 3600 // r.per_s}/h")

    def push(self, r, count, prefix):
        return float(run(1, peers.python, "purges.py", str(count), prefix, cwd=self.folder,
                         env=dict(os.environ, **self.env(r))))

    def begin(self, r):
        command = [word.replace("threads", "prefork") for word in peers.CELERY]
        r.world.start_redis()
        r.server = Server(r.world, "celery", 0, command + ["32"], env=self.env(r), cwd=self.folder)
        self.push(r, 1, "warm-up-")
        r.await_warm_up()
        return self.push(r, r.count, "article-")

    def extrapolate(self, measured, keys):
        times = keys / measured["keys"]
        return result(self, keys, COMPUTED, measured["half_s"] * times, measured["last_s"] * times)


class Script:
    """A loop: one request after the other, over one connection. What is refused is counted, and the loop goes on."""
    gives_up, needs = True, ()

    def __init__(self, name, per_request):
        self.name, self.per_request = name, per_request

    def begin(self, r):
        r.refill()
        env = {"SERVICE": r.world.service_url, "CA": r.world.ca, "REQUESTS_CA_BUNDLE": r.world.ca}
        r.server = Server(r.world, "loop", 0, [peers.python, os.path.join(peers.folder, "python/loop.py"),
                                               str(r.count), str(self.per_request)], env=env)


PURGELINE, BEFORE, BULLMQ, CELERY = Purgeline(), Version010(), BullMQ(), Celery()
ONE_BY_ONE, IN_BATCHES = Script("script, key by key", 1), Script("script, 256 a request", 256)
SENDERS = (PURGELINE, BEFORE, BULLMQ, CELERY, ONE_BY_ONE, IN_BATCHES)

# -- all of them -----------------------------------------------------------------------------------


def one_after_the_other(sizes):
    """Those that take seconds, one after the other, for they use the processor."""
    for keys in sizes[:2]:
        yield Run(PURGELINE, keys)
    for keys in sizes[:3]:
        yield Run(BULLMQ, keys)
    for keys in sizes:
        yield Run(IN_BATCHES, keys)


def at_the_same_time(sizes):
    """Those that take minutes, at the same time, for they mostly wait."""
    for keys in sizes[:2]:
        yield Run(ONE_BY_ONE, keys)
    for keys in sizes[2:]:
        yield Run(ONE_BY_ONE, keys, SCALE)
    for keys in sizes[3:]:
        yield Run(BULLMQ, keys, SCALE_QUEUE)
    yield Run(CELERY, sizes[0])


def computed(sizes, bin_dir, measured):
    world = w.World(bin_dir)
    try:
        for keys in sizes[2:]:
            yield PURGELINE.compute(world, keys)
        for keys in sizes:
            yield BEFORE.compute(world, keys)
    finally:
        world.close()
    for first in [r for r in measured if r["who"] == CELERY.name]:
        for keys in sizes[1:]:
            yield CELERY.extrapolate(first, keys)


def finish(runs, bin_dir, patience_s, tell):
    """Runs them at the same time and yields the results."""
    begun = []
    try:
        for r in runs:
            begun.append(r)
            tell(f"{r.sender.name}, {r.keys:,} keys")
            r.begin(bin_dir)
        until(lambda: all([r.is_done() for r in begun]), "the last purge", every_s=0.1, patience_s=patience_s)
        for r in begun:
            yield r.result()
    finally:
        for r in begun:
            if hasattr(r, "world"):
                r.world.close()


def possible(runs, tell):
    for r in runs:
        lacking = [program for program in r.sender.needs if not peers.have(program)]
        if lacking:
            tell(f"{r.sender.name} is left out: there is no {lacking[0]}")
        else:
            yield r


def measure(bin_dir, sizes, tell):
    results = []
    for r in possible(one_after_the_other(sizes), tell):
        results += finish([r], bin_dir, 300, tell)
    results += finish(possible(at_the_same_time(sizes), tell), bin_dir, 3600, tell)
    results += computed(sizes, bin_dir, results)
    order = [sender.name for sender in SENDERS]
    return sorted(results, key=lambda r: (r["keys"], order.index(r["who"])))
