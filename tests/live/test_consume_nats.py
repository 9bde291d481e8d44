#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`purgeline consume` with a stream of a real nats-server, over TLS: the same promises as in test_consume.py; and what it
says when something is wrong.
"""
import json
import os
import re
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from nats import NatsServer, Refused, new_nkey  # noqa: E402
from resp import Server  # noqa: E402
from stage import PURGELINE, ROOT, Score, Stage, skip_without, until  # noqa: E402
from test_consume import LANE, World, killed_while_it_takes, settings, switches, users  # noqa: E402

PLUGIN = os.path.join(os.path.dirname(os.path.realpath(PURGELINE)), "source-nats.so")
STREAM = "changes"
MESSAGES = 3000


def permissions():
    """What the document says that the user needs, as in the configuration of nats-server."""
    with open(os.path.join(ROOT, "deploy/consumers.md")) as page:
        return re.search(r"^permissions: (\{.*?^\})$", page.read(), re.M | re.S)[1]


class NatsWorld(World):
    def __init__(self, score):
        self.score, self.source, self.stage = score, "nats", Stage()
        self.ours = Server(self.stage, "ours")
        self.ours.allow("purgeline-consumer", "on", ">secret",
                        *dict(users("deploy/redis-acl.conf"))["purgeline-consumer"])
        self.ca = self.stage.path("ca.pem")
        self.stage.must(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test "
                        f"-addext subjectAltName=DNS:localhost -keyout server.key -out {self.ca}")
        self.theirs = NatsServer(self.stage, self.server_settings(), ca=self.ca)
        self.theirs.ask(f"STREAM.CREATE.{STREAM}", name=STREAM, subjects=["articles.>"], storage="file")
        self.password = self.stage.write("password", "secret\n", 0o600)
        self.configure()

    def server_settings(self, allowed=None, login='user: purgeline, password: secret'):
        return f"""
max_payload: 8MB
tls {{ cert_file: "{self.ca}", key_file: "{self.stage.path('server.key')}" }}
authorization {{ users: [
  {{ user: admin, password: admin }}
  {{ {login}, permissions: {allowed or permissions()} }}
] }}
"""

    def configure(self, backlog_max=0, topic=STREAM, ca=None, host="localhost", more=""):
        text = settings(self.ours, "nats", backlog_max) % (self.theirs.port, self.password)
        text = text.replace(f"url: redis://127.0.0.1:{self.theirs.port}", f"url: tls://{host}:{self.theirs.port}")
        text = text.replace(f"topic: {STREAM}", f"topic: {topic}") + f"    tls: {{ca_file: {ca or self.ca}}}\n"
        self.config = self.stage.write("purgeline.yaml", text + more)

    def denied(self):
        return self.ours.ask("ACL", "LOG") or re.findall(r".*Violation.*", self.stage.log("nats"))

    def publish(self, bodies, headers=None):
        connection = self.theirs.connect()
        connection.publish("articles.changed", bodies, headers)
        connection.close()

    def add(self, ids):
        self.publish([json.dumps({"id": n}) for n in ids])

    def consumer(self):
        return self.theirs.ask(f"CONSUMER.INFO.{STREAM}.purgeline")

    def left(self):
        """How many messages are not acknowledged."""
        told = self.consumer()
        return told["num_pending"] + told["num_ack_pending"]

    def until_empty(self):
        until("nothing is left", lambda: self.left() == 0)

    def check(self):
        told = self.stage.run(f"{PURGELINE} check --config {self.config}")[1]
        return " ".join(line for line in told.splitlines() if "articles" in line)


def looked_at(world):
    """check creates nothing, and takes no message."""
    told = world.check()
    world.score.ok("articles can read nats changes: the consumer purgeline will be created at the first start" in told,
                   "nats: check: there is no consumer", told)
    try:
        world.consumer()
        world.score.ok(False, "nats: check creates no consumer")
    except Refused:
        world.score.ok(True, "nats: check creates no consumer")
    world.ours.ask("ACL", "LOG", "RESET")


def killed_again_and_again(world):
    """Those that are acknowledged are the first ones."""
    jobs = killed_while_it_takes(world, MESSAGES, 4, lambda: world.consumer()["ack_floor"]["stream_seq"])
    world.score.ok(len(jobs) < 2 * MESSAGES, "nats: few became two", len(jobs))
    world.score.ok(not world.denied(), "nats: the users in the documents are allowed to do all of it", world.denied())
    told = world.check()
    world.score.ok("articles can read nats changes" in told and "created" not in told, "nats: check: all is well", told)
    world.score.ok(world.stop(), "nats: SIGTERM ends it with exit code 0", world.log())


def server_killed(world):
    """While messages are on their way."""
    first = 10 * MESSAGES
    world.start()
    world.add(range(first, first + MESSAGES))
    for nth in range(1, 3):
        until("more jobs", lambda: len(set(world.jobs())) >= MESSAGES + MESSAGES * nth // 3)
        world.theirs.kill()
        world.said("The source of messages cannot be read", nth)
        world.theirs.start()
        world.said("The source of messages can be read again", nth)
    world.until_empty()
    world.score.ok(set(range(first, first + MESSAGES)) <= set(world.jobs()),
                   "nats: the server is killed twice: every message became a job")
    world.score.ok(world.log().count("cannot be read") == 2, "nats: one line in the log for each", world.log())


def without_redis(world):
    world.ours.ask("CONFIG", "SET", "maxmemory", "1")
    before = world.ours.ask("XLEN", LANE)
    world.add(range(MESSAGES, MESSAGES + 100))
    world.said("Redis does not accept jobs")
    world.score.ok(world.left() == 100 and world.ours.ask("XLEN", LANE) == before,
                   "nats: while Redis refuses jobs, nothing is acknowledged")
    world.ours.ask("CONFIG", "SET", "maxmemory", "0")
    world.until_empty()
    jobs = list(dict.fromkeys(n for n in world.jobs() if MESSAGES <= n < MESSAGES + 100))
    world.score.ok(jobs == list(range(MESSAGES, MESSAGES + 100)), "nats: then all become jobs, in order", jobs)


def poison(world):
    world.publish(["<xml/>", '{"id": 77777}'])
    until("the next message becomes a job", lambda: 77777 in world.jobs())
    letters = json.loads("[" + world.stage.must(
        f"{PURGELINE} dead list --json --config {world.config} --redis {world.ours.url}") + "]")
    last = world.theirs.ask(f"STREAM.INFO.{STREAM}")["state"]["last_seq"]
    world.score.ok(len(letters) == 1 and letters[0]["message"].strip() == "<xml/>" and letters[0]["target"] ==
                   f"consumer articles, nats changes, offset {last - 1}, durable consumer purgeline",
                   "nats: a message that makes no sense becomes a dead letter, with its place", letters)
    world.until_empty()


def large(world):
    """Together, or alone, longer than what is usually asked for at once."""
    sizes = (900_000, 900_000, 900_000, 900_000, 900_000, 5_000_000, 900_000)
    world.publish([json.dumps({"id": 44440 + n, "text": "x" * size}) for n, size in enumerate(sizes)])
    until("jobs", lambda: 44446 in world.jobs())
    world.until_empty()
    world.score.ok(set(range(44440, 44447)) <= set(world.jobs()), "nats: large messages become jobs")


def at_rest(world):
    pid = world.stage.children["consume"].pid
    before = switches(pid)
    world.ours.ask("BLPOP", "no-such-list", 3)
    more = switches(pid) - before
    world.score.ok(more <= 30, "nats: a consumer at rest does nothing", more)
    world.kill()


def headers(world):
    """As https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md has them."""
    world.configure(more='    when: ["header:ce-type=article.changed"]\n')
    with open(world.config) as config:
        text = config.read().replace('["article-{id}"]', '["article-{header:ce-subject}"]')
    world.stage.write("purgeline.yaml", text)
    world.start()
    world.publish(['{}'], {"ce-specversion": "1.0", "ce-type": "article.read", "ce-subject": "66661"})
    world.publish(['{}'], {"ce-specversion": "1.0", "ce-type": "article.changed", "ce-subject": "66662"})
    until("a job", lambda: 66662 in world.jobs())
    world.until_empty()
    world.score.ok(66661 not in world.jobs(), "nats: headers of the message decide, and are parts of keys")
    world.kill()
    world.configure()


def seed(world):
    """The server knows the public key only."""
    user, secret = new_nkey(world.stage)
    world.theirs.reload(world.server_settings(login=f"nkey: {user}"))
    path = world.stage.write("seed.nk", secret + "\n", 0o600)
    world.configure()
    with open(world.config) as text:
        changed = text.read().replace("user: purgeline", f"user: {user}").replace(
            f"password_file: {world.password}", f"credentials_file: {path}")
    world.config = world.stage.write("purgeline.yaml", changed)
    told = world.check()
    world.score.ok("articles can read nats changes" in told, "nats: an NKey is a login, too", told)
    world.theirs.reload(world.server_settings())


def far_behind(world):
    """Between what was acknowledged and what was not are more messages of other subjects than are asked for again."""
    first, count, noise = 20 * MESSAGES, 50, 70_000
    world.theirs.ask("STREAM.CREATE.mixed", name="mixed", subjects=["mixed.>"], storage="file")
    world.theirs.ask("CONSUMER.DURABLE.CREATE.mixed.purgeline", stream_name="mixed", config={
        "durable_name": "purgeline", "ack_policy": "explicit", "deliver_policy": "all", "filter_subject": "mixed.changed"})
    world.configure(topic="mixed")
    world.theirs.reload(world.server_settings(allowed=permissions().replace(STREAM, "mixed")))
    connection = world.theirs.connect()

    def add(ids):
        connection.publish("mixed.changed", [json.dumps({"id": n}) for n in ids])

    def jobs():
        return list(dict.fromkeys(n for n in world.jobs() if first <= n < first + 3 * count))

    world.start()
    add(range(first, first + count))
    until("jobs", lambda: len(jobs()) == count)
    connection.publish("mixed.noise", ["x"] * noise)
    world.ours.ask("CONFIG", "SET", "maxmemory", "1")
    refused = world.log().count("Redis does not accept jobs")
    add(range(first + count, first + 2 * count))
    world.said("Redis does not accept jobs", refused + 1)
    world.kill()
    world.ours.ask("CONFIG", "SET", "maxmemory", "0")
    add(range(first + 2 * count, first + 3 * count))
    told = world.theirs.ask("CONSUMER.INFO.mixed.purgeline")
    world.score.ok(told["num_ack_pending"] and told["delivered"]["stream_seq"] - told["ack_floor"]["stream_seq"] > noise,
                   "nats: the last acknowledged message is far behind", told)
    world.start()
    until("all have jobs", lambda: len(jobs()) == 3 * count)
    world.score.ok(jobs() == list(range(first, first + 3 * count)), "nats: even so, they are in order", jobs())
    world.kill()
    connection.close()
    world.configure()
    world.theirs.reload(world.server_settings())


def what_is_wrong(world):
    world.stage.must("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x "
                     "-keyout other.key -out other.pem")
    allowed = permissions()
    for why, change, pattern in (
            ("no stream", {"topic": "other"}, "there is no stream other"),
            ("another CA", {"ca": world.stage.path("other.pem")}, "SSL|certificate"),
            ("another host's certificate", {"host": "127.0.0.1"}, "SSL|certificate|hostname"),
            ("no permission to read", {}, "Permissions Violation.*MSG.NEXT"),
            ("no permission to acknowledge", {}, "Permissions Violation.*JS.ACK"),
            ("another password", {}, "Authorization Violation")):
        if why == "no stream":
            world.theirs.reload(world.server_settings(allowed=allowed.replace("changes.purgeline", "*.purgeline")))
        elif why == "no permission to read":
            world.theirs.reload(world.server_settings(allowed=allowed.replace("MSG.NEXT", "MSG.OTHER")))
        elif why == "no permission to acknowledge":
            world.theirs.reload(world.server_settings(allowed=allowed.replace("JS.ACK", "JS.OTHER")))
        elif why == "another password":
            world.stage.write("password", "wrong-word\n", 0o600)
        world.configure(**change)
        told = world.check()
        world.score.ok(re.search(f"articles cannot read nats .*({pattern})", told) and "wrong-word" not in told,
                       f"nats: {why}: check says so", told)
    world.stage.write("consume.log", "")
    world.start()
    until("the log says so", lambda: "Authorization Violation" in world.log())
    world.score.ok("wrong-word" not in world.log() and world.log().count("cannot be read") == 1,
                   "nats: another password: the log says so once", world.log())
    world.kill()


def main():
    skip_without("redis-server", "openssl", "nats-server")
    if not os.path.exists(PLUGIN):
        print("skip - purgeline was built without libnats")
        sys.exit(77)
    score = Score()
    world = NatsWorld(score)
    try:
        for part in (looked_at, killed_again_and_again, server_killed, without_redis, poison, large, at_rest, headers,
                     far_behind, seed, what_is_wrong):
            part(world)
    finally:
        world.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
