#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`purgeline consume` with a queue of a real RabbitMQ, over TLS: the same promises as in test_consume.py; and what it says
when something is wrong.
"""
import json
import os
import re
import socket
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from resp import Server  # noqa: E402
from stage import PURGELINE, Score, Stage, free_port, skip_without, until  # noqa: E402
from test_consume import LANE, World, killed_while_it_takes, settings, users  # noqa: E402

PLUGIN = os.path.join(os.path.dirname(os.path.realpath(PURGELINE)), "source-amqp.so")
RABBIT = "/usr/lib/rabbitmq/bin/"  # the programs in PATH insist on running as root or rabbitmq
QUEUE = "changes"
MESSAGES = 4000


class Rabbit:
    def __init__(self, stage):
        self.stage, self.plain, self.port, self.epmd = stage, free_port(), free_port(), free_port()
        self.url = f"amqp://127.0.0.1:{self.plain}"
        self.ca = stage.path("ca.pem")
        stage.must(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test "
                   f"-addext subjectAltName=DNS:localhost -keyout server.key -out {self.ca}")
        stage.env.update(
            RABBITMQ_MNESIA_BASE=stage.path("mnesia"), RABBITMQ_LOG_BASE=stage.path("log"),
            RABBITMQ_NODENAME="purgeline@localhost", RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.plain), RABBITMQ_DIST_PORT=str(free_port()),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}",
            RABBITMQ_CONFIG_FILE=stage.write("rabbitmq.conf", f"""
listeners.ssl.default = 127.0.0.1:{self.port}
ssl_options.cacertfile = {self.ca}
ssl_options.certfile = {self.ca}
ssl_options.keyfile = {stage.path("server.key")}
"""),
            RABBITMQ_ADVANCED_CONFIG_FILE=stage.write("advanced.config", "[].\n"),
            RABBITMQ_ENABLED_PLUGINS_FILE=stage.write("plugins", "[].\n"),
            RABBITMQ_CONF_ENV_FILE=stage.write("rabbitmq-env.conf", ""), RABBITMQ_PID_FILE=stage.path("rabbitmq.pid"),
            ERL_EPMD_PORT=str(self.epmd), ERL_EPMD_ADDRESS="127.0.0.1")
        stage.start("epmd", "epmd", "-port", str(self.epmd), "-address", "127.0.0.1")
        until("epmd answers", lambda: stage.run(f"epmd -port {self.epmd} -names")[0] == 0)
        self.start()

    def start(self):
        self.stage.start("rabbitmq", f"{RABBIT}rabbitmq-server")
        try:
            until("RabbitMQ answers", lambda: self.amqp("amqp-declare-queue", "-d", "-q", QUEUE).returncode == 0, 180)
        except AssertionError as never:
            raise AssertionError(self.stage.log("rabbitmq")) from never

    def kill(self):
        """The server is a child of a shell script, and writes its process id into a file."""
        with open(self.stage.path("rabbitmq.pid")) as pid:
            os.kill(int(pid.read()), 9)
        self.stage.stop("rabbitmq")

    def amqp(self, program, *words, text=""):
        return subprocess.run([program, "--url", self.url, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              input=text, text=True, env=self.stage.env)

    def publish(self, bodies, *words):
        done = self.amqp("amqp-publish", "-p", "-l", "-r", QUEUE, *words, text="".join(body + "\n" for body in bodies))
        assert done.returncode == 0, done.stdout

    def ctl(self, command):
        return self.stage.must(f"{RABBIT}rabbitmqctl -q {command}", 120)

    def count(self):
        """How many messages are in the queue, whether a consumer has them or not."""
        return int(re.search(rf"^{QUEUE}\t(\d+)$", self.ctl("list_queues name messages"), re.M)[1])


class RabbitWorld(World):
    def __init__(self, score):
        self.score, self.source, self.stage = score, "amqp", Stage()
        self.ours = Server(self.stage, "ours")
        self.ours.allow("purgeline-consumer", "on", ">secret",
                        *dict(users("deploy/redis-acl.conf"))["purgeline-consumer"])
        self.theirs = Rabbit(self.stage)
        self.password = self.stage.write("password", "secret\n", 0o600)
        self.theirs.ctl("add_user purgeline secret")
        self.theirs.ctl(f"set_permissions purgeline '^$' '^$' '^{QUEUE}$'")
        self.configure()

    def configure(self, backlog_max=0, topic=QUEUE, ca=None, more=""):
        text = settings(self.ours, "amqp", backlog_max) % (self.theirs.port, self.password)
        text = text.replace(f"url: redis://127.0.0.1:{self.theirs.port}", f"url: amqps://localhost:{self.theirs.port}")
        text = text.replace(f"topic: {QUEUE}", f"topic: {topic}") + f"    tls: {{ca_file: {ca or self.theirs.ca}}}\n"
        self.config = self.stage.write("purgeline.yaml", text + more)

    def denied(self):
        return self.ours.ask("ACL", "LOG")

    def add(self, ids):
        self.theirs.publish([json.dumps({"id": n}) for n in ids])

    def until_empty(self):
        until("the queue is empty", lambda: self.theirs.count() == 0)


def publish_with(world, body, table):
    """With headers of any type, which amqp-publish does not have. https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf"""
    def short(text):
        return struct.pack(">B", len(text)) + text

    def long(data):
        return struct.pack(">I", len(data)) + data

    with socket.create_connection(("127.0.0.1", world.theirs.plain), 60) as s, s.makefile("rb") as answers:
        def frame(kind, channel, payload):
            s.sendall(struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce")

        def expect(*method):
            _, _, size = struct.unpack(">BHI", answers.read(7))
            told = answers.read(size + 1)
            assert struct.unpack(">HH", told[:4]) == method, told

        def call(channel, method, payload, answer):
            frame(1, channel, struct.pack(">HH", *method) + payload)
            if answer:
                expect(*answer)

        s.sendall(b"AMQP\0\0\x09\x01")
        expect(10, 10)
        call(0, (10, 11), long(b"") + short(b"PLAIN") + long(b"\0guest\0guest") + short(b"en_US"), (10, 30))
        call(0, (10, 31), struct.pack(">HIH", 1, 131072, 0), None)
        call(0, (10, 40), short(b"/") + short(b"") + b"\0", (10, 41))
        call(1, (20, 10), short(b""), (20, 11))
        call(1, (60, 40), struct.pack(">H", 0) + short(b"") + short(QUEUE.encode()) + b"\0", None)
        fields = b"".join(short(name.encode()) + value for name, value in table.items())
        frame(2, 1, struct.pack(">HHQH", 60, 0, len(body), 1 << 13) + long(fields))
        if body:
            frame(3, 1, body)
        call(1, (20, 40), struct.pack(">H", 200) + short(b"") + struct.pack(">HH", 0, 0), (20, 41))


def killed_again_and_again(world):
    """Messages leave the queue at its front only, so those that are left are the last ones."""
    killed_while_it_takes(world, MESSAGES, 5, lambda: MESSAGES - world.theirs.count())
    world.score.ok(world.stop(), "amqp: SIGTERM ends it with exit code 0", world.log())
    world.score.ok(not world.denied(), "amqp: the user of Redis is allowed to do all of it", world.denied())


def without_redis(world):
    world.ours.ask("CONFIG", "SET", "maxmemory", "1")
    before = world.ours.ask("XLEN", LANE)
    world.start()
    world.add(range(MESSAGES, MESSAGES + 100))
    world.said("Redis does not accept jobs")
    world.score.ok(world.theirs.count() == 100 and world.ours.ask("XLEN", LANE) == before,
                   "amqp: while Redis refuses jobs, nothing is acknowledged")
    world.ours.ask("CONFIG", "SET", "maxmemory", "0")
    world.until_empty()
    world.score.ok(set(range(MESSAGES, MESSAGES + 100)) <= set(world.jobs()), "amqp: then all become jobs")


def poison(world):
    world.theirs.publish(["<xml/>", '{"id": 77777}'])
    until("the next message becomes a job", lambda: 77777 in world.jobs())
    letters = json.loads("[" + world.stage.must(
        f"{PURGELINE} dead list --json --config {world.config} --redis {world.ours.url}") + "]")
    world.score.ok(len(letters) == 1 and letters[0]["message"].strip() == "<xml/>" and
                   letters[0]["target"] == "consumer articles, amqp changes",
                   "amqp: a message that makes no sense becomes a dead letter", letters)
    world.until_empty()


def broker_away(world):
    world.theirs.kill()
    world.said("The source of messages cannot be read")
    world.theirs.start()
    world.add([88888])
    until("a job", lambda: 88888 in world.jobs())
    world.score.ok(True, "amqp: a broker that was away is read again")
    world.kill()


def headers(world):
    """As CloudEvents has them: https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/amqp-protocol-binding.md"""
    world.configure(more='    when: ["header:cloudEvents_type=changed"]\n')
    world.start()
    world.theirs.publish(['{"id": 66661}'], "-H", "cloudEvents_type: seen")
    world.theirs.publish(['{"id": 66662}'], "-H", "cloudEvents_type: changed")
    until("a job", lambda: 66662 in world.jobs())
    world.until_empty()
    world.score.ok(66661 not in world.jobs(), "amqp: headers of the message decide")
    world.kill()
    # Numbers and flags are texts, too; tables, times and arrays are nothing. An event without data is in its headers.
    world.configure(more='    when: ["header:l=-5", "header:d=9000000000", "header:t=true", "header:s=-2", "header:f!=*"]\n')
    with open(world.config) as config:
        text = config.read().replace('["article-{id}"]', '["article-{header:b}"]')
    world.stage.write("purgeline.yaml", text)
    world.start()
    publish_with(world, b"", {
        "cloudEvents:specversion": b"S" + struct.pack(">I", 3) + b"1.0", "b": b"b" + struct.pack(">b", 66),
        "s": b"s" + struct.pack(">h", -2), "l": b"I" + struct.pack(">i", -5), "d": b"l" + struct.pack(">q", 9000000000),
        "t": b"t\x01", "v": b"V", "f": b"F" + struct.pack(">I", 4) + b"\x01xt\x01", "a": b"A" + struct.pack(">I", 2) + b"t\x01"})
    until("a job", lambda: 66 in world.jobs())
    world.score.ok(True, "amqp: headers of other types are texts, or nothing")
    world.kill()


def declare(world, name, kind, more=""):
    told = world.theirs.ctl(
        f"eval 'element(1, rabbit_amqqueue:declare(rabbit_misc:r(<<\"/\">>, queue, <<\"{name}\">>), true, false, "
        f"[{{<<\"x-queue-type\">>, longstr, <<\"{kind}\">>}}{more}], none, <<\"test\">>)).'")
    assert told.strip() == "new", told


def deleted(world):
    """https://www.rabbitmq.com/docs/consumer-cancel"""
    world.configure()
    world.start()
    world.add([44441])
    until("a job", lambda: 44441 in world.jobs())
    world.theirs.ctl(f"delete_queue {QUEUE}")  # made again at once, so that only the broker's word tells of it
    assert world.theirs.amqp("amqp-declare-queue", "-d", "-q", QUEUE).returncode == 0
    world.add([44442])
    until("a job", lambda: 44442 in world.jobs())
    world.theirs.ctl(f"delete_queue {QUEUE}")
    until("the log says so", lambda: "no queue 'changes'" in world.log())
    assert world.theirs.amqp("amqp-declare-queue", "-d", "-q", QUEUE).returncode == 0
    world.add([44443])
    until("a job", lambda: 44443 in world.jobs())
    world.score.ok(True, "amqp: a queue that was deleted, and is there again, is read again")
    world.kill()


def stream(world):
    """What is written while nobody reads would be lost."""
    declare(world, "log", "stream")
    assert world.theirs.amqp("amqp-publish", "-p", "-r", "log", "-b", '{"id": 33331}').returncode == 0
    world.theirs.ctl("set_permissions purgeline '^$' '^$' '.*'")
    world.configure(topic="log")
    told = world.stage.run(f"{PURGELINE} check --config {world.config}")[1]
    world.score.ok("articles cannot read amqp log: log is a stream, which does not remember what was read" in told,
                   "amqp: check: a stream is no queue", told)
    world.stage.write("consume.log", "")
    world.start()
    world.said("log is a stream, which does not remember what was read")
    world.score.ok(33331 not in world.jobs(), "amqp: and it is not read")
    world.kill()
    crashes = [line for line in world.stage.must("cat log/*.log").splitlines() if re.search("INTERNAL_ERROR|crash", line)]
    world.score.ok(not crashes, "amqp: and asking what it is does the broker no harm", "\n".join(crashes))


def looked_at(world):
    """check takes no message away from those who read. From this queue, RabbitMQ drops a message that is delivered and
    not acknowledged: https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling"""
    declare(world, "touchy", "quorum", ", {<<\"x-delivery-limit\">>, signedint, 0}")
    world.theirs.ctl("set_permissions purgeline '^$' '^$' '^touchy$'")
    assert world.theirs.amqp("amqp-publish", "-p", "-r", "touchy", "-b", '{"id": 55551}').returncode == 0
    world.configure(topic="touchy")
    for _ in range(2):
        told = world.stage.run(f"{PURGELINE} check --config {world.config}")[1]
        world.score.ok("articles can read amqp touchy" in told, "amqp: check: the queue can be read", told)
    world.theirs.ctl("set_permissions purgeline '^$' '^$' '^$'")
    told = world.stage.run(f"{PURGELINE} check --config {world.config}")[1]
    world.score.ok("articles cannot read amqp touchy: ACCESS_REFUSED" in told, "amqp: check: the user may not read", told)
    world.theirs.ctl(f"set_permissions purgeline '^$' '^$' '^({QUEUE}|touchy)$'")
    world.start()
    until("a job", lambda: 55551 in world.jobs())
    world.score.ok(True, "amqp: check has left the message in the queue")
    world.kill()


def what_is_wrong(world):
    world.stage.must("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x "
                     "-keyout other.key -out other.pem")
    world.theirs.ctl("set_permissions purgeline '^$' '^$' '.*'")
    for why, change, pattern in (("no queue", {"topic": "other"}, "NOT_FOUND - no queue 'other'"),
                                 ("another CA", {"ca": world.stage.path("other.pem")}, "SSL"),
                                 ("another password", {}, "ACCESS_REFUSED|403")):
        if why == "another password":
            world.stage.write("password", "wrong-word\n", 0o600)
        world.configure(**change)
        world.stage.write("consume.log", "")
        told = world.stage.run(f"{PURGELINE} check --config {world.config}")[1]
        world.score.ok(re.search(f"articles cannot read amqp .*({pattern})", told) and "wrong-word" not in told,
                       f"amqp: {why}: check says so", told)
        world.start()
        until(why, lambda: re.search(f"cannot be read.*({pattern})", world.log()))
        world.score.ok("wrong-word" not in world.log(), f"amqp: {why}: the log says so", world.log())
        world.kill()


def main():
    skip_without("redis-server", "openssl", "rabbitmq-server", "epmd", "amqp-publish")
    if not os.path.exists(PLUGIN):
        print("skip - purgeline was built without librabbitmq")
        sys.exit(77)
    score = Score()
    world = RabbitWorld(score)
    try:
        for part in (killed_again_and_again, without_redis, poison, broker_away, headers, deleted, stream, looked_at, what_is_wrong):
            part(world)
    finally:
        world.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
