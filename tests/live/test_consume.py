#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`purgeline consume` with lists and streams of another application in a real Redis: purgeline is killed again and
again, Redis refuses jobs or is away, messages make no sense. At any time, each message is either still with the
application or has become a job.
"""
import json
import os
import re
import signal
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from resp import Server  # noqa: E402
from stage import PURGELINE, ROOT, SERVICE, Score, Stage, free_port, skip_without, until  # noqa: E402

MESSAGES = 4000
LANE = "purgeline:{main}:jobs:normal"
DEAD = "purgeline:{main}:dead"


def users(document):
    """The rules of each user in a document, without its name and password. Two may have the same name."""
    with open(os.path.join(ROOT, document)) as page:
        return [(m[1], m[2].split()) for m in re.finditer(r"^user (\S+) on >\S+ (.*)$", page.read(), re.M)]


def settings(redis, source, backlog_max=0):
    return f"""
redis: redis://purgeline-consumer:secret@127.0.0.1:{redis.port}
listen: ""
http: {{backlog_max: {backlog_max}}}
accounts:
  - name: main
    services: [{{id: {SERVICE}, name: news}}]
consumers:
  - name: articles
    source: {source}
    topic: changes
    url: redis://127.0.0.1:%d
    user: purgeline
    password_file: %s
    keys: ["article-{{id}}"]
    claim_after_s: 1
"""


def handles(pid, number):
    """Whether a process blocks the signal, to read it from a file descriptor, or catches it."""
    with open(f"/proc/{pid}/status") as status:
        masks = re.findall(r"^Sig(?:Blk|Cgt):\t([0-9a-f]+)$", status.read(), re.M)
    return any(int(mask, 16) >> (number - 1) & 1 for mask in masks)


class World:
    """Two Redis servers, purgeline's and the application's, and one consumer."""

    def __init__(self, score, source, more=""):
        self.score, self.source, self.stage, self.more = score, source, Stage(), more
        self.ours, self.theirs = Server(self.stage, "ours"), Server(self.stage, "theirs")
        for server, name, rules in ((self.ours, "purgeline-consumer", dict(users("deploy/redis-acl.conf"))),
                                    (self.theirs, "purgeline", None)):
            rules = rules or {name: [r for _, r in users("deploy/consumers.md")][source == "redis-stream"]}
            server.allow(name, "on", ">secret", *rules[name])
        self.password = self.stage.write("password", "secret\n", 0o600)
        self.configure()

    def configure(self, backlog_max=0):
        text = settings(self.ours, self.source, backlog_max) % (self.theirs.port, self.password) + self.more
        self.config = self.stage.write("purgeline.yaml", text)

    def start(self, *options):
        self.stage.start("consume", PURGELINE, "consume", "--config", self.config, "articles", *options)

    def kill(self):
        self.stage.stop("consume", kill=True)

    def log(self):
        return self.stage.log("consume")

    def said(self, sentence, times=1):
        return until(sentence, lambda: self.log().count(sentence) >= times)

    def stop(self):
        """Stops it as systemd does. Whether it ended well. While it is still starting, the signal just ends it."""
        child = self.stage.children.pop("consume")
        until("it handles SIGTERM", lambda: handles(child.pid, signal.SIGTERM))
        child.terminate()
        return child.wait(60) == 0

    def jobs(self):
        """The numbers of all articles that have a job, in the order of the jobs."""
        entries = self.ours.ask("XRANGE", LANE, "-", "+")
        return [int(re.search(r"article-(\d+)", " ".join(fields))[1]) for _, fields in entries]

    def denied(self):
        """What the users were not allowed to do, says Redis."""
        return [entry for server in (self.ours, self.theirs) for entry in server.ask("ACL", "LOG")]

    def rest(self):
        """Three seconds in which nothing happens."""
        self.theirs.ask("BLPOP", "no-such-list", 3)

    def close(self):
        self.stage.close()


def numbers(texts):
    return [json.loads(text)["id"] for text in texts]


class Source:
    """What the application does with its queue, and what of it is not done."""

    @classmethod
    def open(cls, score):
        return World(score, cls.source)


class List(Source):
    source = "redis-list"
    ours = "{changes}:purgeline:articles"

    def __init__(self, world):
        self.world = world

    def add(self, ids):
        self.world.theirs.ask_many([("RPUSH", "changes", json.dumps({"id": n})) for n in ids])

    def add_text(self, text):
        self.world.theirs.ask("RPUSH", "changes", text)

    def left(self):
        """Those with the application, in one step: a message may move from one list to the other meanwhile."""
        answers = self.world.theirs.ask("EVAL", "return {redis.call('LRANGE', KEYS[1], 0, -1), "
                                        "redis.call('LRANGE', KEYS[2], 0, -1)}", "2", self.ours, "changes")
        return numbers(answers[0] + answers[1])


class Stream(Source):
    source = "redis-stream"

    def __init__(self, world):
        self.world = world

    def add(self, ids):
        self.world.theirs.ask_many([("XADD", "changes", "*", "id", n, "kind", "article") for n in ids])

    def add_text(self, text):
        self.world.theirs.ask("XADD", "changes", "*", "id", text)

    def left(self):
        """Those not acknowledged: pending, or not yet read."""
        groups, entries, pending = self.world.theirs.ask_many([
            ("XINFO", "GROUPS", "changes"), ("XRANGE", "changes", "-", "+"),
            ("XPENDING", "changes", "purgeline", "-", "+", "1000000")])
        group = dict(zip(groups[0][::2], groups[0][1::2]))
        last = tuple(int(part) for part in group["last-delivered-id"].split("-"))
        owed = {one[0] for one in pending}
        return [int(dict(zip(fields[::2], fields[1::2]))["id"]) for key, fields in entries
                if key in owed or tuple(int(part) for part in key.split("-")) > last]


def killed_again_and_again(score, kind):
    """The invariant is checked while purgeline is dead, when nothing moves."""
    world = kind.open(score)
    source = kind(world)
    rounds = 0
    try:
        world.start()
        source.add(range(MESSAGES))
        # Killed when 1/6, 2/6 ... of the jobs are there, and while more arrive.
        for nth in range(1, 6):
            until("more jobs", lambda: world.ours.ask("XLEN", LANE) >= MESSAGES * nth // 6)
            world.kill()
            lost = set(range(MESSAGES)) - set(world.jobs()) - set(source.left())
            rounds += not lost
            world.start()
        score.ok(rounds == 5, f"{kind.source}: killed five times: each message is with the application or a job",
                 rounds)
        until("all done", lambda: not source.left())
        jobs = world.jobs()
        score.ok(set(jobs) == set(range(MESSAGES)), f"{kind.source}: every message became a job")
        score.ok(len(jobs) < 2 * MESSAGES, f"{kind.source}: few became two", len(jobs))
        first = list(dict.fromkeys(jobs))
        score.ok(first == sorted(first), f"{kind.source}: in order")
        score.ok(world.stop(), f"{kind.source}: SIGTERM ends it with exit code 0", world.log())
        score.ok("Stopped as asked" in world.log(), f"{kind.source}: and it says so")
        score.ok(not world.denied(), f"{kind.source}: the users in the documents are allowed to do all of it", world.denied())
    finally:
        world.close()


def killed_while_it_takes(world, messages, times, gone):
    """For a queue that messages leave in their order: gone() is how many have left it. Whoever is killed leaves none of
    them without a job. Returns the numbers of all messages that became a job, in order."""
    rounds = 0
    world.start()
    world.add(range(messages))
    for nth in range(1, times + 1):
        until("more jobs", lambda: world.ours.ask("XLEN", LANE) >= messages * nth // (times + 1))
        world.kill()
        left = gone()
        rounds += set(range(left)) <= set(world.jobs())
        world.start()
    world.score.ok(rounds == times, f"{world.source}: killed {times} times: each message is in the queue or a job", rounds)
    world.until_empty()
    jobs = world.jobs()
    world.score.ok(set(jobs) == set(range(messages)), f"{world.source}: every message became a job")
    first = list(dict.fromkeys(jobs))
    world.score.ok(first == sorted(first), f"{world.source}: in order")
    return jobs


def refused_by_redis(score, kind):
    world = kind.open(score)
    source = kind(world)
    try:
        world.ours.ask("CONFIG", "SET", "maxmemory", "1")
        world.start()
        source.add(range(100))
        world.said("Redis does not accept jobs")
        score.ok(len(source.left()) == 100 and world.ours.ask("XLEN", LANE) == 0,
                 f"{kind.source}: while Redis refuses jobs, nothing is committed")
        world.rest()  # meanwhile the messages are given back, and fetched again
        world.ours.ask("CONFIG", "SET", "maxmemory", "0")
        until("all done", lambda: not source.left())
        score.ok(sorted(set(world.jobs())) == list(range(100)), f"{kind.source}: then all become jobs")
        world.said("Redis accepts jobs again")
        score.ok(world.log().count("Redis does not accept jobs") == 1, f"{kind.source}: one line in the log",
                 world.log())

        world.ours.kill()
        source.add([100])
        world.said("Redis does not accept jobs", 2)
        score.ok(source.left() == [100], f"{kind.source}: while Redis is away, nothing is committed")
        world.ours.start()
        until("all done", lambda: not source.left())
        score.ok(100 in world.jobs(), f"{kind.source}: when Redis is back, the message becomes a job")

        world.theirs.kill()
        world.said("The source of messages cannot be read")
        world.theirs.start()
        source.add([101])
        until("all done", lambda: not source.left())
        score.ok(101 in world.jobs(), f"{kind.source}: an application that was away is read again")
        world.said("The source of messages can be read again")
    finally:
        world.close()


def poison(score, kind):
    world = kind.open(score)
    source = kind(world)
    bad = "<xml/>" if kind is List else "a b"
    try:
        world.start()
        source.add([1])
        source.add_text(bad)
        source.add([2])
        until("jobs", lambda: world.jobs() == [1, 2])
        letters = json.loads("[" + world.stage.must(f"{PURGELINE} dead list --json --config {world.config} --redis {world.ours.url}") + "]")
        score.ok(len(letters) == 1, f"{kind.source}: a message that makes no sense becomes a dead letter", letters)
        score.ok(letters[0]["target"].startswith(f"consumer articles, {kind.source} changes"),
                 f"{kind.source}: it names the consumer and the place", letters)
        score.ok(letters[0]["by"] == "consumer articles", f"{kind.source}: and the consumer is who pushed it", letters)
        score.ok(kind is List or re.search(r", offset \d+(-\d+)?$", letters[0]["target"]),
                 f"{kind.source}: and the offset, where there is one", letters)
        score.ok(bad in letters[0]["message"], f"{kind.source}: and has the message", letters)
        score.ok(world.stage.must(f"{PURGELINE} dead drop --all --config {world.config} --redis {world.ours.url}") == "1 dropped\n",
                 f"{kind.source}: it can be dropped")
        world.stop()
        score.ok("jobs=2 ignored=0 dead_letters=1" in world.log(), f"{kind.source}: the log counts them", world.log())
    finally:
        world.close()


def backlog(score):
    world = World(score, "redis-list")
    source = List(world)
    try:
        world.configure(backlog_max=50)
        world.start()
        source.add(range(120))
        world.said("The backlog has reached backlog_max")
        score.ok(world.jobs() == list(range(50)), "no more is fetched than backlog_max allows", world.jobs())
        world.ours.ask("XTRIM", LANE, "MAXLEN", 0)
        until("more", lambda: world.ours.ask("XLEN", LANE) == 50)
        world.ours.ask("XTRIM", LANE, "MAXLEN", 0)
        until("the rest", lambda: not source.left())
        score.ok(world.jobs() == list(range(100, 120)), "when there is room again, the rest follows", world.jobs())
    finally:
        world.close()


def paused(score, kind):
    """With while_paused: stop, messages stay with the application while an operator has paused the account."""
    world = World(score, kind.source, "    while_paused: stop\n")
    source = kind(world)

    def operate(command):
        world.stage.must(f"{PURGELINE} {command} --config {world.config} --redis {world.ours.url}")
    try:
        world.start()
        source.add([0])
        until("it runs", lambda: world.jobs() == [0] and not source.left())
        operate("pause maintenance")
        # It has waited inside Redis since before the pause, and what it knows is more than a second old.
        world.theirs.ask("BLPOP", "no-such-list", 1.1)
        source.add(range(1, 6))
        world.said("The account is paused; fetching no messages until it is resumed")
        score.ok("command=\"purgeline resume -a main\"" in world.log(), f"{kind.source}: the log says how to resume", world.log())
        until("its state is told", lambda: consumer_status(world)["state"] == "paused")
        told = world.stage.run(f"{PURGELINE} status --config {world.config} --redis {world.ours.url}")[1]
        score.ok("articles: waits: the account is paused" in told, f"{kind.source}: status shows it", told)
        score.ok(world.jobs() == [0] and source.left() == list(range(1, 6)),
                 f"{kind.source}: while the account is paused, the application keeps its messages", world.jobs(), source.left())
        operate("resume")
        until("all done", lambda: not source.left())
        score.ok(world.jobs() == list(range(6)), f"{kind.source}: it goes on by itself", world.jobs())
        score.ok(world.log().count("The account is paused") == 1 and "The account is no longer paused" in world.log(),
                 f"{kind.source}: one line in the log for each", world.log())
        score.ok(not world.denied(), f"{kind.source}: the users in the documents are allowed to do all of it", world.denied())
    finally:
        world.close()


def over_tls(score, kind):
    """The application's Redis over TLS, with a user and password."""
    world = World(score, kind.source)
    source = kind(world)
    server, folder = world.theirs, world.theirs.folder
    port = free_port()
    try:
        for name in "theirs", "other":
            world.stage.must("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test "
                             f"-addext subjectAltName=IP:127.0.0.1 -keyout {folder}/{name}.key -out {folder}/{name}.pem")
        server.ask("CONFIG", "SET", "tls-cert-file", f"{folder}/theirs.pem", "tls-key-file", f"{folder}/theirs.key",
                   "tls-ca-cert-file", f"{folder}/theirs.pem", "tls-auth-clients", "no", "tls-port", port)
        with open(world.config) as config:
            text = config.read().replace(f"url: {server.url}", f"url: rediss://127.0.0.1:{port}")

        def trusting(ca):
            world.stage.write("purgeline.yaml", f"{text}    tls: {{ca_file: {folder}/{ca}.pem}}\n")
        trusting("other")
        told = findings(world)[0]
        score.ok(f"articles cannot read {kind.source} changes" in told and "certificate" in told,
                 f"check: the CA of {kind.source} is another one", told)
        world.start()
        world.said("The source of messages cannot be read")
        world.kill()
        trusting("theirs")
        world.stage.write("password", "wrong-word\n", 0o600)
        told = findings(world)[0]
        score.ok(f"articles cannot read {kind.source} changes" in told and "WRONGPASS" in told and "wrong-word" not in told,
                 f"check: the password of {kind.source} is another one", told)
        world.stage.write("password", "secret\n", 0o600)
        score.ok(f"articles can read {kind.source} changes" in findings(world)[0], f"check: {kind.source} over TLS")
        source.add([1])
        world.start()
        until("a job", lambda: world.jobs() == [1] and not source.left())
        score.ok(True, f"{kind.source}: messages come over TLS")
    finally:
        world.close()


def switches(pid):
    with open(f"/proc/{pid}/status") as status:
        return sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)


def at_rest(score, kind):
    """A program that polls would be scheduled all the time. This one waits inside Redis for ten seconds at a time."""
    world = kind.open(score)
    source = kind(world)
    try:
        world.start()
        source.add([1])
        until("jobs", lambda: world.jobs() == [1] and not source.left())
        pid = world.stage.children["consume"].pid
        until("it is asleep", lambda: open(f"/proc/{pid}/stat").read().split()[2] == "S")
        before = switches(pid)
        world.rest()
        more = switches(pid) - before
        score.ok(more <= 10, f"{kind.source}: a consumer at rest does nothing", more)
    finally:
        world.close()


def left_by_others(score):
    world = World(score, "redis-stream")
    source = Stream(world)
    try:
        world.theirs.ask("XGROUP", "CREATE", "changes", "purgeline", "0", "MKSTREAM")
        source.add([1, 2, 3])
        world.theirs.ask("XREADGROUP", "GROUP", "purgeline", "other", "COUNT", 2, "STREAMS", "changes", ">")
        first = world.theirs.ask("XRANGE", "changes", "-", "+")[0][0]
        world.theirs.ask("XDEL", "changes", first)
        world.start()
        until("all", lambda: set(world.jobs()) == {2, 3} and
              world.theirs.ask("XPENDING", "changes", "purgeline")[0] == 0)
        score.ok(True, "what another reader has left is taken over, and a deleted entry is passed over")
    finally:
        world.close()


def large_entries(score):
    """Redis limits an answer by the number of entries only, and an entry may have hundreds of megabytes."""
    world = World(score, "redis-stream")
    source = Stream(world)

    def counts():
        return [int(words[words.index("COUNT") + 1]) for _, _, _, words, *_ in world.theirs.ask("SLOWLOG", "GET", 100000)
                if words[0] == "XREADGROUP"]
    try:
        world.theirs.ask("CONFIG", "SET", "slowlog-max-len", "100000")
        world.theirs.ask("CONFIG", "SET", "slowlog-log-slower-than", "0")
        source.add(range(2000))
        world.start()
        until("all done", lambda: len(world.jobs()) == 2000 and not source.left())
        score.ok(max(counts()) == 512, "redis-stream: small entries are read by the hundred", counts())
        world.kill()
        world.theirs.ask("SLOWLOG", "RESET")
        for nth in range(2000, 2024):
            world.theirs.ask("XADD", "changes", "*", "id", nth, "more", "x" * 2000000)
        world.start()
        until("all done", lambda: len(world.jobs()) == 2024 and not source.left())
        score.ok(world.jobs() == list(range(2024)) and 2 in counts() and max(counts()) == 8,
                 "redis-stream: large ones by twos and threes", counts())
    finally:
        world.close()


def stops_without_answer(score):
    """A Redis that takes connections and says nothing, as behind a network that is cut."""
    world = World(score, "redis-list")
    source = List(world)
    try:
        world.start()
        source.add([1])
        until("it runs", lambda: world.jobs() == [1] and not source.left())
        world.stage.signal("ours", signal.SIGSTOP)
        source.add([2])
        until("it has the message", lambda: world.theirs.ask("LLEN", "changes") == 0)
        score.ok(world.stop() and "Stopped without an answer of Redis or the queue" in world.log(),
                 "redis-list: SIGTERM ends it within seconds, also while Redis does not answer", world.log())
        world.stage.signal("ours", signal.SIGCONT)
        world.start()
        until("all done", lambda: 2 in world.jobs() and not source.left())
        score.ok(True, "redis-list: and the message is there when it starts again")
    finally:
        world.stage.signal("ours", signal.SIGCONT)
        world.close()


def findings(world):
    """What `purgeline check` says about the consumer, and how much it changed in the application's Redis."""
    def changes():
        return int(re.search(r"rdb_changes_since_last_save:(\d+)", world.theirs.ask("INFO", "persistence"))[1])
    before = changes()
    told = world.stage.run(f"{PURGELINE} check --config {world.config}")[1]
    return " ".join(line for line in told.splitlines() if "articles" in line), changes() - before


def looked_at(score, kind):
    """check changes nothing, and finds out all the same what the consumer will not be able to do."""
    world = kind.open(score)
    can = f"articles can read {kind.source} changes"
    try:
        world.theirs.ask("CONFIG", "SET", "save", "")
        if kind is Stream:
            told = findings(world)
            score.ok(told[1] == 0 and f"{can}: the stream does not exist; it and the group purgeline will be created"
                     in told[0], "check: there is no stream", told)
            world.theirs.ask("XADD", "changes", "*", "id", "1")
            told = findings(world)
            score.ok(told[1] == 0 and f"{can}: the group purgeline will be created at the first start" in told[0],
                     "check: there is no group", told)
            world.theirs.ask("XGROUP", "CREATE", "changes", "purgeline", "0")
        else:
            told = findings(world)
            score.ok(told[1] == 0 and can in told[0], "check: a list that does not exist is an empty one", told)
            kind(world).add([1])
        told = findings(world)
        score.ok(told[1] == 0 and can in told[0] and "created" not in told[0],
                 f"check: the {kind.source} can be read", told)
        score.ok(not world.theirs.ask("ACL", "LOG"), f"{kind.source}: the user in the document may do what check does")
        commands = ("llen", "lrange", "lmove", "blmove", "lrem") if kind is List else ("xreadgroup", "xack", "xautoclaim")
        for command in commands:
            world.theirs.ask("ACL", "SETUSER", "purgeline", f"-{command}")
            told = findings(world)
            score.ok(told[1] == 0 and f"articles cannot read {kind.source} changes" in told[0] and f"'{command}'" in told[0],
                     f"check: the user may not use {command}", told)
            world.theirs.ask("ACL", "SETUSER", "purgeline", f"+{command}")
        if kind is Stream:
            world.theirs.ask("XGROUP", "DESTROY", "changes", "purgeline")
            world.theirs.ask("ACL", "SETUSER", "purgeline", "-xgroup")
            told = findings(world)
            score.ok(told[1] == 0 and "articles cannot read" in told[0] and "'xgroup|create'" in told[0],
                     "check: the user may not create the group", told)
            world.theirs.ask("ACL", "SETUSER", "purgeline", "+xgroup")
        world.theirs.ask("SET", "changes", "text")
        told = findings(world)
        score.ok(told[1] == 0 and f"articles cannot read {kind.source} changes" in told[0] and "WRONGTYPE" in told[0],
                 f"check: there is no {kind.source} but a string", told)
    finally:
        world.close()


def consumer_status(world):
    """What status says about the consumer, or None."""
    told = world.stage.run(f"{PURGELINE} status --json --config {world.config} --redis {world.ours.url}")[1]
    return json.loads(told)["accounts"][0]["consumers"][0]


def visible(score, kind):
    """status shows what the consumer does, what waits for it, and what it is in trouble with."""
    world = kind.open(score)
    source = kind(world)
    words = f"{PURGELINE} status --config {world.config} --redis {world.ours.url}"
    try:
        score.ok("articles: not running; start 'purgeline consume articles'" in world.stage.run(words)[1],
                 f"{kind.source}: status shows a consumer that was never started")
        world.configure(backlog_max=5)
        source.add(range(3))
        world.start()
        told = until("three jobs are told", lambda: (lambda s: s["jobs"] == 3 and s)(consumer_status(world)))
        score.ok(told["state"] == "running" and told["source"] == kind.source and told["topic"] == "changes" and
                 told["processes"] == 1 and told["fetched"] == 3 and told["committed_ms"] is not None and
                 told["last_error"] is None and told["per_s"] is not None, f"{kind.source}: status shows a running consumer", told)
        until("what waits is told", lambda: consumer_status(world)["lag"] == 0)
        score.ok(re.search(r"consumer +articles: running, 0 waiting; 3 jobs, 0 ignored, 0 dead; last commit .* ago",
                           " ".join(world.stage.run(words)[1].split())), f"{kind.source}: for people, too",
                 world.stage.run(words)[1])
        world.theirs.kill()
        until("its trouble is told", lambda: consumer_status(world)["state"] == "source_away")
        score.ok(consumer_status(world)["last_error"], f"{kind.source}: status shows a consumer without its source")
        world.theirs.start()
        source.add(range(3, 10))
        until("it is full", lambda: consumer_status(world)["state"] == "full")
        score.ok(consumer_status(world)["jobs"] == 5, f"{kind.source}: status shows a consumer that has to wait",
                 consumer_status(world))
        score.ok(world.ours.ask("TTL", "purgeline:{main}:consumers") > 3000, f"{kind.source}: its state expires")
        world.stop()
        told = consumer_status(world)
        score.ok(told["state"] == "absent" and told["heard_ms"] is None, f"{kind.source}: status shows that it has ended", told)
        score.ok(not world.denied(), f"{kind.source}: the users in the documents are allowed to do all of it", world.denied())
    finally:
        world.close()


def rehearsal(score):
    world = World(score, "redis-list")
    try:
        world.stage.write("messages", '{"id": 1}\n\n{"id": "a b"}\n{"other": 1}\n{"id": "\\u001b[31m"}\n')
        code, told = world.stage.run(f"{PURGELINE} consume --config {world.config} --dry-run --from messages articles")
        lines = told.splitlines()
        score.ok(code == 1 and lines[0] == "line 1: normal keys=article-1", "--dry-run shows a job", told)
        score.ok(lines[1].startswith("line 3: dead letter: keys[0] article-{id}: "), "and a dead letter", told)
        score.ok(lines[2].startswith("line 4: ignored: "), "and what is ignored", told)
        score.ok(len(lines) == 4 and "\x1b" not in told, "and no control characters", told)
        code, told = world.stage.run(f"echo '{{\"id\": 1}}' | {PURGELINE} consume --config {world.config} "
                                     "--dry-run --json --from - articles")
        score.ok(code == 0 and json.loads(told) == {"line": 1, "lane": "normal", "job": [["keys", "article-1"]]},
                 "as JSON, too", told)
        for words, why in (("articles --dry-run", "--dry-run and --from belong together"), ("", "which consumer?"),
                           ("other", "no consumer 'other'"), ("articles --json", "--json belongs to --dry-run")):
            code, told = world.stage.run(f"{PURGELINE} consume --config {world.config} {words}")
            score.ok(code == 2 and why in told, f"consume {words}: {why}", code, told)
    finally:
        world.close()


# As Debezium writes them, with fewer of the fields that nobody reads here.
CHANGES = """
{"schema":{},"payload":{"op":"c","before":null,"after":{"id":1,"section":"news"},"source":{"table":"articles"}}}
{"schema":{},"payload":{"op":"u","before":{"id":1,"section":"news"},"after":{"id":1,"section":"sport"}}}
{"schema":{},"payload":{"op":"d","before":{"id":1,"section":"sport"},"after":null}}
{"schema":{},"payload":{"op":"r","before":null,"after":{"id":2,"section":"news"}}}
{"schema":{},"payload":{"op":"t","before":null,"after":null}}
"""


def debezium(score):
    """The example in the document, with changes of an article."""
    world = World(score, "redis-list")
    try:
        with open(os.path.join(ROOT, "deploy/consumers.md")) as page:
            example = re.search(r"```yaml\n(consumers:\n  - name: debezium\n.*?)```", page.read(), re.S)[1]
        config = world.stage.write("debezium.yaml", f"accounts:\n  - name: main\n    services: [{{id: {SERVICE}, name: news}}]\n" +
                                   example)
        world.stage.write("changes", CHANGES.lstrip())
        told = world.stage.run(f"{PURGELINE} consume --config {config} --dry-run --from changes debezium")[1]
        lines = told.splitlines()
        score.ok(lines[:3] == ["line 1: normal keys=article-1 section-news",
                               "line 2: normal keys=article-1 section-sport section-news",
                               "line 3: normal keys=article-1 section-sport"],
                 "Debezium: created, changed and deleted rows are purged, in the old section, too", told)
        score.ok(len(lines) == 5 and all(": ignored: " in line for line in lines[3:]),
                 "Debezium: rows that were there before, and a truncated table, are ignored", told)
    finally:
        world.close()


def main():
    skip_without("redis-server")
    score = Score()
    for kind in (List, Stream):
        killed_again_and_again(score, kind)
        refused_by_redis(score, kind)
        poison(score, kind)
        at_rest(score, kind)
        looked_at(score, kind)
        visible(score, kind)
        over_tls(score, kind)
    paused(score, List)
    left_by_others(score)
    large_entries(score)
    stops_without_answer(score)
    backlog(score)
    rehearsal(score)
    debezium(score)
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
