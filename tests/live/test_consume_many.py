#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""100,000 messages from each source, while purgeline, Redis and the source's server are killed in turn. Each message
becomes a job, in order; at no time is one of them done at the source that Redis does not have as a job; those that became
two jobs are counted. A source whose plugin or server is not installed is left out.

    tests/live/test_consume_many.py [SOURCE ...]        those of SOURCES; default: all
"""
import importlib
import os
import re
import shutil
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import PURGELINE, Score, until  # noqa: E402
from test_consume import LANE, List, Stream, World  # noqa: E402

MESSAGES = int(os.environ.get("MESSAGES", "100000"))
PATIENCE_S = 300


class OfRedis:
    """A list or a stream of test_consume.py."""

    def __init__(self, score, kind):
        self.world = World(score, kind.source)
        self.source = kind(self.world)
        self.add, self.theirs = self.source.add, self.world.theirs

    def done(self):
        """The numbers of the messages that are done. Nothing may move meanwhile."""
        return set(range(MESSAGES)) - set(self.source.left())

    def restart_theirs(self):
        self.theirs.kill()
        self.theirs.start()

    @staticmethod
    def in_order(jobs):
        """Whether the first job of each message is in the order of the messages."""
        first = list(dict.fromkeys(jobs))
        return first == sorted(first)


class OfPostgres(OfRedis):
    def __init__(self, score):
        module = importlib.import_module("test_consume_postgres")
        self.world = module.PostgresWorld(score)
        self.source = module.Outbox(self.world)
        self.theirs = self.world.theirs

    def add(self, ids):
        self.theirs.sql("INSERT INTO purgeline_outbox (message) SELECT json_build_object('id', n) "
                        f"FROM generate_series({ids[0]}, {ids[-1]}) n ORDER BY n")


class OfAmqp(OfRedis):
    """Messages leave the queue at its front only, so those that are done are the first ones."""

    def __init__(self, score):
        self.world = importlib.import_module("test_consume_amqp").RabbitWorld(score)
        self.add, self.theirs = self.world.add, self.world.theirs

    def done(self):
        return set(range(MESSAGES - self.theirs.count()))


class OfNats(OfRedis):
    """They are acknowledged in their order."""

    def __init__(self, score):
        self.world = importlib.import_module("test_consume_nats").NatsWorld(score)
        self.add, self.theirs = self.world.add, self.world.theirs

    def done(self):
        return set(range(self.world.consumer()["ack_floor"]["stream_seq"]))


class OfKafka(OfRedis):
    """The order is that of each partition. The mock broker has no disk: it is not killed, but closes all connections and
    accepts none until purgeline has noticed; to purgeline this is a broker that was killed and has kept everything."""

    def __init__(self, score):
        self.module = importlib.import_module("test_consume_kafka")
        self.world = self.module.KafkaWorld(score)
        self.theirs, self.in_order = self.world.theirs, self.module.in_order

    def add(self, ids):
        self.world.add(len(ids))

    def done(self):
        step = self.module.PARTITIONS
        return {partition + nth * step for partition, count in enumerate(self.theirs.committed()) for nth in range(count)}

    def restart_theirs(self):
        before = self.world.log().count("The source of messages cannot be read")
        self.theirs.tell("down")
        self.world.said("The source of messages cannot be read", before + 1)
        self.theirs.tell("up")
        self.world.said("The source of messages can be read again", before + 1)


# Name, how it is opened, the plugin and the program that it needs.
SOURCES = (
    ("redis-list", lambda score: OfRedis(score, List), None, "redis-server"),
    ("redis-stream", lambda score: OfRedis(score, Stream), None, "redis-server"),
    ("postgres", OfPostgres, "source-postgres.so", None),
    ("amqp", OfAmqp, "source-amqp.so", "rabbitmq-server"),
    ("nats", OfNats, "source-nats.so", "nats-server"),
    ("kafka", OfKafka, "source-kafka.so", "kcat"),
)


def is_missing(plugin, program):
    """What of it, or None."""
    if plugin and not os.path.exists(os.path.join(os.path.dirname(os.path.realpath(PURGELINE)), plugin)):
        return plugin
    return program if program and not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin") else None


def jobs_of(world):
    """The numbers of all jobs, in their order. Quicker than World.jobs() with many of them."""
    numbers, last = [], "-"
    while True:
        entries = world.ours.ask("XRANGE", LANE, last, "+", "COUNT", 20000)
        if not entries:
            return numbers
        numbers += [int(re.search(r"article-(\d+)", " ".join(fields))[1]) for _, fields in entries]
        last = "(" + entries[-1][0]


def reached(world, share):
    until(f"{share} of the jobs", lambda: world.ours.ask("XLEN", LANE) >= MESSAGES * share, PATIENCE_S)


def nothing_lost(one):
    """Whether each message that is done has its job. purgeline must be dead."""
    return one.done() <= set(jobs_of(one.world))


def kill_in_turn(one):
    """How often nothing was lost, of three times."""
    world, held = one.world, 0
    reached(world, 1 / 6)
    world.kill()
    held += nothing_lost(one)
    world.start()
    reached(world, 2 / 6)
    world.ours.kill()
    world.ours.start()
    reached(world, 3 / 6)
    world.kill()
    held += nothing_lost(one)
    world.start()
    reached(world, 4 / 6)
    one.restart_theirs()
    reached(world, 5 / 6)
    world.kill()
    held += nothing_lost(one)
    world.start()
    return held


def drive(score, name, opening):
    begun = time.monotonic()
    one = opening(score)
    try:
        one.add(range(MESSAGES))
        one.world.start()
        held = kill_in_turn(one)
        until("all are done", lambda: len(one.done()) == MESSAGES, PATIENCE_S)
        jobs = jobs_of(one.world)
        score.ok(held == 3, f"{name}: whenever purgeline was dead, each message was with the source or a job", held)
        score.ok(set(jobs) == set(range(MESSAGES)), f"{name}: all {MESSAGES} messages became jobs",
                 MESSAGES - len(set(jobs)))
        score.ok(one.in_order(jobs), f"{name}: in order")
        print(f"# {name}: {len(jobs) - len(set(jobs))} jobs more than messages, "
              f"{time.monotonic() - begun:.0f} s", flush=True)
    except AssertionError:
        print("\n".join("#   " + line for line in one.world.log().splitlines()[-20:]))
        raise
    finally:
        one.world.close()


def main():
    score, wanted = Score(), sys.argv[1:]
    unknown = set(wanted) - {name for name, *_ in SOURCES}
    if unknown:
        sys.exit(f"no source {', '.join(sorted(unknown))}; there are {', '.join(name for name, *_ in SOURCES)}")
    for name, opening, plugin, program in SOURCES:
        if wanted and name not in wanted:
            continue
        missing = is_missing(plugin, program)
        if missing:
            print(f"# {name}: left out, there is no {missing}")
            continue
        drive(score, name, opening)
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
