#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`purgeline consume` with a topic of Kafka: the same promises as in test_consume.py, and what a consumer group adds to them.

The broker is librdkafka's mock cluster, in a process of its own; kcat produces the messages. It has neither users,
permissions nor TLS, so of these only the refusals are tested: a broker that names them as the reason, and a TLS server
whose certificate is not trusted.
"""
import ctypes
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from resp import Server  # noqa: E402
from stage import PURGELINE, ROOT, Score, Stage, free_port, skip_without, until  # noqa: E402
from test_consume import LANE, World, consumer_status, settings, switches, users  # noqa: E402

PLUGIN = os.path.join(os.path.dirname(os.path.realpath(PURGELINE)), "source-kafka.so")
CLUSTER = os.path.join(ROOT, "tests/support/kafka_cluster.py")
TOPIC = "changes"
FIND_COORDINATOR = 10  # https://kafka.apache.org/protocol.html#protocol_api_keys
PARTITIONS = 3
MESSAGES = 6000
POISON = "<xml/>"
UNKNOWN_TOPIC, NO_COORDINATOR, NOT_AUTHORIZED = 3, 15, 29  # https://kafka.apache.org/protocol.html#protocol_error_codes


class Kafka:
    """The message with the number n is in partition n % 3, in the order of the numbers."""

    def __init__(self, stage):
        self.stage = stage
        self.process = stage.children["kafka"] = subprocess.Popen(
            [sys.executable, CLUSTER, TOPIC, str(PARTITIONS)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, env=stage.env)
        self.address = self.process.stdout.readline().strip()
        assert self.address, "no Kafka"
        self.sent = [[] for _ in range(PARTITIONS)]

    def tell(self, *words):
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def send(self, partition, bodies, *options):
        done = subprocess.run(["kcat", "-b", self.address, "-P", "-t", TOPIC, "-p", str(partition), *options],
                              input="".join(body + "\n" for body in bodies), text=True, env=self.stage.env,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert done.returncode == 0, done.stdout
        self.sent[partition] += bodies

    def committed(self, group="purgeline"):
        """For each partition, the number of messages that are committed."""
        return [max(offset, 0) for offset in self.tell("committed", group)]

    def is_done(self):
        return self.committed() == [len(sent) for sent in self.sent]


class KafkaWorld(World):
    def __init__(self, score):
        self.score, self.source, self.stage = score, "kafka", Stage()
        self.ours = Server(self.stage, "ours")
        self.ours.allow("purgeline-consumer", "on", ">secret",
                        *dict(users("deploy/redis-acl.conf"))["purgeline-consumer"])
        self.theirs = Kafka(self.stage)
        self.added = 0
        self.configure()

    def configure(self, backlog_max=0, url=None, more=""):
        text = settings(self.ours, "kafka", backlog_max) % (0, "")
        text = re.sub(r"    (url|user|password_file|claim_after_s): .*\n", "", text)
        self.config = self.stage.write("purgeline.yaml", f"{text}    url: {url or 'kafka://' + self.theirs.address}\n"
                                       f"    session_timeout_s: 4\n{more}")

    def add(self, count):
        """Returns the numbers of the new messages."""
        ids = range(self.added, self.added + count)
        for partition in range(PARTITIONS):
            self.theirs.send(partition, [json.dumps({"id": n}) for n in ids if n % PARTITIONS == partition])
        self.added += count
        return set(ids)

    def until_done(self):
        until("all is committed", self.theirs.is_done)

    def early(self):
        """Messages that are committed without a job."""
        committed = self.theirs.committed()
        jobs = {json.dumps({"id": n}) for n in self.jobs()}
        return [body for sent, done in zip(self.theirs.sent, committed) for body in sent[:done]
                if body not in jobs and body != POISON]

    def denied(self):
        return self.ours.ask("ACL", "LOG")


def in_order(jobs):
    """Whether the messages of each partition came in their order; those that came again do not count."""
    first = list(dict.fromkeys(jobs))
    parts = [[n for n in first if n % PARTITIONS == p] for p in range(PARTITIONS)]
    return all(part == sorted(part) for part in parts)


def killed_again_and_again(world):
    rounds = 0
    world.add(MESSAGES)
    world.start()
    for nth in range(1, 4):
        until("more jobs", lambda: world.ours.ask("XLEN", LANE) >= MESSAGES * nth // 4)
        world.kill()
        rounds += not world.early()
        world.start()
    world.score.ok(rounds == 3, "kafka: killed three times: nothing is committed before Redis has its job", rounds)
    world.until_done()
    jobs = world.jobs()
    world.score.ok(set(jobs) == set(range(MESSAGES)), "kafka: every message became a job")
    world.score.ok(in_order(jobs), "kafka: in the order of each partition")
    world.score.ok(world.stop(), "kafka: SIGTERM ends it with exit code 0", world.log())
    world.score.ok(not world.denied(), "kafka: the user of Redis is allowed to do all of it", world.denied())


def without_redis(world):
    world.start()
    new = world.add(300)
    world.until_done()
    world.ours.ask("CONFIG", "SET", "maxmemory", "1")
    before = world.theirs.committed()
    new = world.add(300)
    world.said("Redis does not accept jobs")
    world.score.ok(world.theirs.committed() == before, "kafka: while Redis refuses jobs, nothing is committed")
    world.ours.ask("CONFIG", "SET", "maxmemory", "0")
    world.until_done()
    world.score.ok(new <= set(world.jobs()) and in_order(world.jobs()), "kafka: then all become jobs, in order")
    world.said("Redis accepts jobs again")
    world.ours.kill()
    new = world.add(30)
    world.said("Redis does not accept jobs", 2)
    world.ours.start()
    world.until_done()
    world.score.ok(new <= set(world.jobs()), "kafka: when Redis was away and is back, all become jobs")


def poison(world):
    at = len(world.theirs.sent[1])
    world.theirs.send(1, [POISON, '{"id": 77777}'])
    world.until_done()
    letters = json.loads("[" + world.stage.must(
        f"{PURGELINE} dead list --json --config {world.config} --redis {world.ours.url}") + "]")
    world.score.ok(len(letters) == 1 and letters[0]["message"] == POISON and
                   letters[0]["target"] == f"consumer articles, kafka changes, partition 1, offset {at}",
                   "kafka: a message that makes no sense becomes a dead letter with its place", letters)
    world.score.ok(77777 in world.jobs(), "kafka: the next message becomes a job, and both are committed")


def at_rest(world):
    pid = world.stage.children["consume"].pid
    until("what waits is told", lambda: consumer_status(world)["lag"] == 0)
    before = switches(pid)
    world.ours.ask("BLPOP", "no-such-list", 3)
    more = switches(pid) - before
    world.score.ok(more <= 10, "kafka: a consumer at rest does nothing", more)


def broker_away(world):
    world.stage.write("consume.log", "")
    world.theirs.tell("down")
    world.said("The source of messages cannot be read")
    world.score.ok(re.search("why=\"Connect to .* failed: Connection refused|why=\"Disconnected", world.log()),
                   "kafka: the log says why the broker cannot be reached", world.log())
    until("its trouble is told", lambda: consumer_status(world)["state"] == "source_away")
    world.theirs.tell("up")
    until("its trouble is over", lambda: consumer_status(world)["state"] == "running")
    new = world.add(30)
    world.until_done()
    world.score.ok(new <= set(world.jobs()), "kafka: a broker that was away is read again")
    world.score.ok(len(world.log().splitlines()) == 2, "kafka: one line in the log when it goes, one when it is back",
                   world.log())


def fetched(world):
    """How many messages each of the two consumers has fetched."""
    told = world.stage.run(f"{PURGELINE} status --json --config {world.config} --redis {world.ours.url}")[1]
    return [consumer["fetched"] or 0 for consumer in json.loads(told)["accounts"][0]["consumers"]]


def no_group(world):
    world.theirs.tell("refuse", FIND_COORDINATOR, NO_COORDINATOR, 10000)
    world.start()
    world.said('cannot be read" consumer=articles source=kafka topic=changes why="the group has given it no partitions for 12 seconds')
    world.theirs.tell("accept", FIND_COORDINATOR)
    world.said("The source of messages can be read again")
    world.add(30)
    world.until_done()
    world.score.ok(len(world.log().splitlines()) == 3, "kafka: a group that does not begin is in the log, once", world.log())
    world.stop()


def share(world):
    """A second process joins, and the first is killed while messages come. The mock refuses commits while the group waits
    for its members to join, which a real broker does not, so some messages come twice."""
    with open(world.config) as config:
        text = config.read()
    world.stage.write("purgeline.yaml", text + text.split("consumers:\n")[1].replace("articles", "second", 1))
    before, begun = len(world.jobs()), fetched(world)[0]
    world.stage.start("second", PURGELINE, "consume", "--config", world.config, "second")
    new = set()

    def both_work():
        new.update(world.add(30))
        first, second = fetched(world)
        return first > begun and second > 0
    until("both have partitions", both_work)
    new |= world.add(6000)
    until("some jobs", lambda: len(world.jobs()) > before + 1000)
    world.kill()
    world.score.ok(not world.early(), "kafka: two processes, one is killed: nothing is committed before Redis has its job")
    world.until_done()
    jobs = world.jobs()[before:]
    world.score.ok(set(jobs) == new and in_order(jobs), "kafka: the other one takes over, in order", len(set(jobs)), len(new))
    world.stage.stop("second")


def full(world):
    """Nothing is fetched while the backlog is full, and what waits is known all the same."""
    world.ours.ask("XTRIM", LANE, "MAXLEN", 0)
    world.configure(backlog_max=50)
    world.start()
    new = world.add(120)
    world.said("The backlog has reached backlog_max")
    world.score.ok(len(world.jobs()) == 50, "kafka: no more is fetched than backlog_max allows", len(world.jobs()))
    until("what waits is told", lambda: consumer_status(world)["lag"] == 70)
    world.score.ok(consumer_status(world)["state"] == "full", "kafka: status shows a consumer that has to wait")
    seen = set()
    while not world.theirs.is_done():
        seen |= set(world.jobs())
        world.ours.ask("XTRIM", LANE, "MAXLEN", 0)
        until("more", lambda: world.jobs() or world.theirs.is_done())
    world.score.ok(seen | set(world.jobs()) == new, "kafka: when there is room again, the rest follows")
    world.stop()


def headers(world):
    """CloudEvents: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md"""
    def event(number):
        return json.dumps({"specversion": "1.0", "type": "changed", "id": "e", "source": "/s", "data": {"id": number}})
    world.configure(more='    when: ["header:ce_type=changed", "header:key!=draft"]\n')
    world.start()
    changed = ("-H", "ce_type=changed", "-H", "content-type=application/json")
    world.theirs.send(0, ['{"id": 66661}'], "-H", "ce_type=seen")
    world.theirs.send(0, ['draft:{"id": 66662}'], *changed, "-K:")
    world.theirs.send(0, ['gone:'], *changed, "-K:", "-Z")
    world.theirs.send(0, ['article:{"id": 66663}'], *changed, "-K:")
    until("a job", lambda: 66663 in world.jobs())
    world.until_done()
    world.score.ok(world.jobs()[-1:] == [66663] and not {66661, 66662} & set(world.jobs()),
                   "kafka: the headers of an event in the binary mode and the key decide", world.jobs()[-3:])
    world.stop()
    world.score.ok("ignored=3 dead_letters=0" in world.log(), "kafka: a message without a value is ignored", world.log())
    with open(world.config) as config:
        text = config.read().replace('"article-{id}"', '"article-{data.id}"')
    world.stage.write("purgeline.yaml", re.sub("when: .*", "when: [type=changed]", text))
    world.start()
    world.theirs.send(0, [event(66664)], "-H", "content-type=application/cloudevents+json; charset=UTF-8")
    until("a job", lambda: 66664 in world.jobs())
    world.score.ok(True, "kafka: an event in the structured mode is read, too")
    world.stop()


def document(world):
    """The configuration in deploy/consumers.md: as it is, without a connection; and with this broker, which has no login."""
    with open(os.path.join(ROOT, "deploy/consumers.md")) as page:
        shown = re.search(r"^```yaml\n(consumers:\n  - name: articles\n    source: kafka\n.*?)^```$", page.read(), re.M | re.S)[1]
    base = settings(world.ours, "kafka").split("consumers:")[0]
    world.config = world.stage.write("purgeline.yaml", base + shown)
    told = world.stage.run(f"echo '{{\"id\": 1}}' | {PURGELINE} consume --config {world.config} --dry-run --from - articles")
    world.score.ok(told[0] == 0 and told[1].startswith("line 1: ignored: "), "kafka: the document's consumer is valid", told)
    here = re.sub(r"    (user|password_file|sasl): .*\n", "", shown)
    here = re.sub(r"    url: .*", f"    url: kafka://{world.theirs.address}\n    session_timeout_s: 4", here)
    world.config = world.stage.write("purgeline.yaml", base + here)
    world.start()
    world.theirs.send(2, ['{"id": 66665}'], "-H", "ce_type=article.deleted")
    world.theirs.send(2, ['{"id": 66666}'], "-H", "ce_type=article.changed")
    until("a job", lambda: 66666 in world.jobs())
    world.until_done()
    world.score.ok(66665 not in world.jobs(), "kafka: and does what it says")
    world.stop()


def check(world):
    told = world.stage.run(f"{PURGELINE} check --config {world.config}")[1]
    return "".join(line + "\n" for line in told.splitlines() if "articles" in line)


def looked_at(world):
    world.configure()
    told = check(world)
    world.score.ok(told.endswith("articles can read kafka changes\n"), "kafka: check: the topic can be read", told)
    world.configure(more="    group: other\n")
    told = check(world)
    world.score.ok("the group other has read nothing; it begins at the oldest message" in told and
                   world.theirs.committed("other") == [0] * PARTITIONS, "kafka: check: the group is new, and stays so", told)
    faults = {UNKNOWN_TOPIC: "Unknown topic or partition", NOT_AUTHORIZED: "Topic authorization failed"}
    # The mock cluster lists the partitions of a topic that one may not read, which no broker does, and on which these
    # versions of the library crash: https://github.com/confluentinc/librdkafka/issues/4907
    if ctypes.CDLL("librdkafka.so.1").rd_kafka_version() >= 0x02060000:
        del faults[NOT_AUTHORIZED]
    for code, why in faults.items():
        world.configure()
        world.theirs.tell("error", code)
        told = check(world)
        world.score.ok(f"articles cannot read kafka changes: Broker: {why}" in told, f"kafka: check: {why}", told)
        world.stage.write("consume.log", "")
        world.start()
        world.said(f'why="Broker: {why}"')
        world.theirs.tell("error", 0)
        world.said("The source of messages can be read again")
        world.kill()


def what_is_wrong(world):
    for name, host in (("server", "localhost"), ("other", "x")):
        world.stage.must(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test "
                         f"-addext subjectAltName=DNS:{host} -keyout {name}.key -out {name}.pem")
    world.stage.write("password", "secret-word\n", 0o600)
    port, nobody = free_port(), free_port()
    world.stage.start("tls", "openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-quiet", "-cert", world.stage.path("server.pem"),
                      "-key", world.stage.path("server.key"))
    until("the TLS server listens", lambda: world.stage.run(
        f"openssl s_client -connect 127.0.0.1:{port} -verify_quiet")[0] == 0)
    login = f"    user: purgeline\n    password_file: {world.stage.path('password')}\n    sasl: scram-sha-512\n"
    for why, url, more, pattern in (
            ("no broker", f"kafka://127.0.0.1:{nobody}", "", "Connection refused"),
            ("another CA", f"kafkas://localhost:{port}", f"    tls: {{ca_file: {world.stage.path('other.pem')}}}\n",
             "certificate verify failed"),
            ("another name", f"kafkas://127.0.0.1:{port}", f"    tls: {{ca_file: {world.stage.path('server.pem')}}}\n",
             "certificate verify failed|IP address mismatch"),
            ("no CA", f"kafkas://localhost:{port}", f"    tls: {{ca_file: {world.stage.path('none.pem')}}}\n",
             "tls.ca_file: .*No such file"),
            ("no certificate", f"kafkas://localhost:{port}", f"    tls: {{cert_file: {world.stage.path('password')}}}\n",
             "tls.cert_file: "),
            ("no login", f"kafka://{world.theirs.address}", "", "SASL|SaslHandshake")):
        world.configure(url=url, more=login + more)
        world.stage.write("consume.log", "")
        told = check(world)
        world.score.ok(re.search(f"articles cannot read kafka .*({pattern})", told), f"kafka: {why}: check says so", told)
        world.start()
        until(why, lambda: re.search(f"cannot be read.*({pattern})", world.log()))
        world.score.ok("secret-word" not in world.log() + told, f"kafka: {why}: the log says so, without the password", world.log())
        world.kill()


# Each line in a world of its own, at the same time: most of the time they wait for the group, which begins 3 seconds after
# the first member has joined.
STORIES = ((killed_again_and_again,), (no_group,), (without_redis, poison, at_rest, broker_away, share),
           (full, headers, document, looked_at, what_is_wrong))


def play(score, parts):
    world = KafkaWorld(score)
    try:
        for part in parts:
            part(world)
    except AssertionError as never:
        raise AssertionError(f"{never}\n{world.log()}") from never
    finally:
        world.close()


def main():
    skip_without("redis-server", "openssl", "kcat")
    if not os.path.exists(PLUGIN):
        print("skip - purgeline was built without librdkafka")
        sys.exit(77)
    score = Score()
    with ThreadPoolExecutor(len(STORIES)) as stage:
        for played in [stage.submit(play, score, parts) for parts in STORIES]:
            played.result()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
