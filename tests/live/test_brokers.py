#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs every command of deploy/examples/README.md about message queues, unchanged, with a real broker.

RabbitMQ is Debian's; Kafka is the mock cluster that tests/support/kafka_cluster.py starts. For each command: published
messages are purged; nothing is lost while Redis is down, or when the consumer is killed in that time; and messages that
are not valid jobs end where the document says.
"""
import json
import os
import re
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import PURGELINE, ROOT, SERVICE, Score, Stage, ask, free_port, skip_without, until  # noqa: E402
from test_documents import blocks, commands  # noqa: E402

DOCUMENT = "deploy/examples/README.md"
POISON = '{"keyz": "a misspelt field"}'
RABBIT = "/usr/lib/rabbitmq/bin/"  # the programs in PATH insist on running as root or rabbitmq
CLUSTER = os.path.join(ROOT, "tests/support/kafka_cluster.py")


class Lines:
    """The commands of the document. The test finds them by their beginnings, and must run each of them."""

    def __init__(self):
        self.all = [c for block in blocks(DOCUMENT) for c in commands(block)]
        self.unused = set(self.all)

    def starting(self, *words):
        found = [c for word in words for c in self.all if c.startswith(word)]
        assert len(found) == len(words), f"{DOCUMENT}: {words} are {len(found)} lines"
        self.unused -= set(found)
        return "\n".join(found)


class World(Stage):
    def __init__(self):
        super().__init__()
        self.places = {}
        self.sessions = {}

    def begin(self):
        self.fastly()
        self.redis_url = "unix://" + self.path("redis.sock")
        port = free_port()
        self.env.update(PURGELINE_REDIS=self.redis_url, PURGELINE_LISTEN=f"127.0.0.1:{port}",
                        FASTLY_SERVICE_ID=SERVICE, FASTLY_API_TOKEN="right-token")
        self.redis_starts()
        self.start("purgeline", PURGELINE, "run")
        until("purgeline is ready", lambda: ask(f"http://127.0.0.1:{port}/readyz")[0] == 200)

    def redis_starts(self):
        self.start("redis", "redis-server", "--port", "0", "--unixsocket", self.path("redis.sock"), "--dir", self.dir,
                   "--save", "", "--appendonly", "yes", "--appendfsync", "always")
        until("Redis answers", lambda: "PONG" in self.run(f"redis-cli -s {self.path('redis.sock')} PING")[1])

    def redis_goes_away(self):
        self.stop("redis", kill=True)

    # -- commands that consist of many processes --

    def session(self, name, line):
        """Runs a shell command with the brokers' addresses filled in. All its processes are in one session."""
        for place, what in self.places.items():
            line = line.replace(place, what)
        self.write(f"{name}.log", "")
        self.sessions[name] = leader = self.start(name, "setsid", "bash", "-c", line).pid
        until("it has a session", lambda: self.ended(name) or os.getsid(leader) == leader)

    def kill_session(self, name):
        """Kills all processes of the session at once."""
        subprocess.run(["pkill", "-KILL", "-s", str(self.sessions.pop(name))])
        self.stop(name)

    def ended(self, name):
        return self.children[name].poll() is not None

    def members(self, name, *program):
        """The ids of the processes in the session, or of those among them that run one program."""
        words = ["pgrep", "-s", str(self.sessions[name]), *(("-x", *program) if program else ())]
        return [int(pid) for pid in subprocess.run(words, stdout=subprocess.PIPE, text=True).stdout.split()]

    def says(self, name, text):
        self.until(f"{name} says {text}", lambda: text in self.log(name))

    def until(self, what, condition):
        try:
            return until(what, condition)
        except AssertionError as never:
            raise AssertionError(f"{never}; {self.purges()}; {self.log('consumer')}") from never

    def close(self):
        for name in list(self.sessions)[::-1]:
            self.kill_session(name)
        super().close()

    # -- Fastly --

    def purges(self):
        """How often Fastly purged each key and URL."""
        seen = {}
        with open(self.env["SANDBOX_LOG"]) as log:
            requests = [json.loads(line) for line in log if line.endswith("\n")]
        for r in requests:
            for target in r.get("keys") or [r.get("url")]:
                seen[target] = seen.get(target, 0) + (r["status"] == 200)
        return seen

    def await_purges(self, *targets):
        self.until(f"{targets} are purged", lambda: all(self.purges().get(t) for t in targets))


# -- Kafka --

class Kafka(World):
    def begin(self):
        super().begin()
        self.start("kafka", sys.executable, CLUSTER, "changes")
        self.broker = until("Kafka's address", lambda: re.search(r"^127\.0\.0\.1:\d+$", self.log("kafka"), re.M)).group()
        self.places["-b broker"] = f"-b {self.broker}"

    def kcat(self, options, text=""):
        done = subprocess.run(["kcat", "-b", self.broker, *options.split()], input=text, stdout=subprocess.PIPE, text=True,
                              check=True, env=self.env, cwd=self.dir)
        return done.stdout

    def publish(self, *messages):
        self.kcat("-P -t changes -p 0", "".join(m + "\n" for m in messages))

    def publish_empty(self):
        self.kcat("-P -t changes -p 0 " + self.write("empty", ""))

    def end(self):
        return int(self.kcat("-Q -t changes:0:-1").split()[-1])

    def oldest(self):
        return int(self.kcat("-Q -t changes:0:-2").split()[-1])

    def offset(self):
        if not os.path.exists(self.path("offset")):
            return None
        with open(self.path("offset")) as offset:
            return int(offset.read())

    def await_offset(self, wanted):
        self.until(f"the offset is {wanted}", lambda: self.offset() == wanted)

    def ends_well(self, name):
        """Stops kcat with SIGTERM, and waits until the whole pipe has ended. Returns the exit code."""
        os.kill(until("kcat runs", lambda: self.members(name, "kcat"))[0], signal.SIGTERM)
        return self.children[name].wait(60)


def group_line(w, score, title, line):
    w.publish(f"{title}-before", POISON, f"https://www.example.com/{title}", '{"keys": ["%s-b", "c"]}' % title)
    w.session("consumer", line)
    w.await_purges(f"{title}-before", f"https://www.example.com/{title}", f"{title}-b")
    score.ok(True, f"{title}: what was published before it started, is purged")
    score.ok("line 2" in w.log("consumer") or '"line":2,"error"' in w.log("consumer"),
             f"{title}: an invalid job is answered with an error", w.log("consumer"))
    w.redis_goes_away()
    w.publish(f"{title}-meanwhile")
    w.says("consumer", "Redis refuses jobs")
    w.redis_starts()
    w.await_purges(f"{title}-meanwhile")
    score.ok(True, f"{title}: what came while Redis was away, is purged")
    code = w.ends_well("consumer")
    score.ok(code in (0, 1), f"{title}: ends when kcat does", code, w.log("consumer"))
    before = w.purges()
    w.session("consumer", line)
    w.publish(f"{title}-after")
    w.await_purges(f"{title}-after")
    again = [t for t, count in w.purges().items() if count > before.get(t, 0)]
    score.ok(again == [f"{title}-after"], f"{title}: what was committed does not come again", again)
    w.ends_well("consumer")


def offset_line(w, score, line):
    w.publish("one", POISON)
    w.publish_empty()
    w.publish("two")
    w.session("consumer", line)
    w.await_purges("one", "two")
    w.await_offset(w.end())
    score.ok(True, "offset: is after all answered messages, including invalid and empty ones")
    known = w.offset()
    w.redis_goes_away()
    w.publish("three", "four")
    w.says("consumer", "Redis refuses jobs")
    w.kill_session("consumer")
    score.ok(w.offset() == known, "offset: does not change while Redis is down", w.offset())
    w.redis_starts()
    w.session("consumer", line)
    w.await_purges("three", "four")
    w.await_offset(w.end())
    score.ok(True, "offset: messages in flight when the consumer was killed are delivered again")
    w.kill_session("consumer")


def offset_gone(w, score, line):
    """The broker deletes old messages, even if no consumer has read them."""
    known = w.offset()
    while w.oldest() <= known:
        w.publish(*["x" * 400000] * 5)
    w.publish("young")
    w.session("consumer", line)
    w.until("the consumer gives up", lambda: w.ended("consumer"))
    score.ok(w.offset() == known and "out of range" in w.log("consumer") and "young" not in w.purges(),
             "offset: when it is gone, kcat says so and ends", w.offset(), w.log("consumer"))
    os.unlink(w.path("offset"))
    w.session("consumer", line)
    w.await_purges("young")
    w.await_offset(w.end())
    score.ok(True, "offset: without the file it begins with the oldest")
    w.kill_session("consumer")


def python_consumer(w, score):
    """kcat feeds consumer.py, which reads messages from standard input."""
    line = f"kcat -b broker -C -t changes -p 0 -o {w.end()} -q -u | {ROOT}/deploy/examples/consumer.py '{w.redis_url}' main"
    w.publish("py-one", "{oops", "py-two")
    w.session("consumer", line)
    w.await_purges("py-one", "py-two")
    w.says("consumer", "committed 3")
    score.ok("message 2: " in w.log("consumer"), "consumer.py: reports an invalid job and continues", w.log("consumer"))
    w.redis_goes_away()
    w.publish("py-three")
    w.says("consumer", "Redis: ")
    score.ok("committed 4" not in w.log("consumer"), "consumer.py: commits nothing while Redis is away", w.log("consumer"))
    w.redis_starts()
    w.await_purges("py-three")
    w.says("consumer", "committed 4")
    score.ok(True, "consumer.py: what came while Redis was away, is purged and then committed")
    w.kill_session("consumer")


def kafka(score, lines):
    w = Kafka()
    try:
        w.begin()
        group_line(w, score, "group", lines.starting("kcat -b broker -G"))
        shown = subprocess.run([PURGELINE, "push", "--help"], stdout=subprocess.PIPE, text=True).stdout
        group_line(w, score, "help", re.search(r"^  (kcat .*)$", shown, re.M).group(1).replace("-G purges", "-G helped"))
        line = lines.starting("from=", "kcat -b broker -C")
        offset_line(w, score, line)
        offset_gone(w, score, line)
        python_consumer(w, score)
    finally:
        w.close()


# -- RabbitMQ --

class Rabbit(World):
    def begin(self):
        super().begin()
        self.port, epmd = free_port(), free_port()
        self.env.update(
            RABBITMQ_MNESIA_BASE=self.path("mnesia"), RABBITMQ_LOG_BASE=self.path("log"),
            RABBITMQ_NODENAME="purgeline@localhost", RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port), RABBITMQ_DIST_PORT=str(free_port()),
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1}",
            RABBITMQ_CONFIG_FILE=self.write("rabbitmq.conf", ""),
            RABBITMQ_ADVANCED_CONFIG_FILE=self.write("advanced.config", "[].\n"),
            RABBITMQ_ENABLED_PLUGINS_FILE=self.write("plugins", "[].\n"),
            RABBITMQ_CONF_ENV_FILE=self.write("rabbitmq-env.conf", ""), RABBITMQ_PID_FILE=self.path("rabbitmq.pid"),
            ERL_EPMD_PORT=str(epmd), ERL_EPMD_ADDRESS="127.0.0.1")
        self.places["amqp://broker"] = self.url = f"amqp://127.0.0.1:{self.port}"
        self.program("rabbitmqctl", f'exec {RABBIT}rabbitmqctl "$@"\n')
        self.start("epmd", "epmd", "-port", str(epmd), "-address", "127.0.0.1")
        until("epmd answers", lambda: self.run(f"epmd -port {epmd} -names")[0] == 0)
        self.start("rabbitmq", f"{RABBIT}rabbitmq-server")
        try:
            until("RabbitMQ answers", lambda: self.amqp("amqp-declare-queue", "-d", "-q", "purges").returncode == 0)
        except AssertionError as never:
            raise AssertionError(self.log("rabbitmq")) from never

    def amqp(self, program, *words):
        return subprocess.run([program, "--url", self.url, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              stdin=subprocess.DEVNULL, text=True, env=self.env)

    def publish(self, *messages):
        for message in messages:
            done = self.amqp("amqp-publish", "-p", "-r", "purges", "-b", message)
            assert done.returncode == 0, done.stdout

    def ctl(self, command):
        code, output = self.run(f"rabbitmqctl -q {command}", 180)
        assert code == 0, f"{command}: {output}"
        return output

    def count(self, queue):
        """The number of waiting messages, and the number of messages that a consumer has not acknowledged."""
        line = re.search(rf"^{queue}\t(\d*)\t(\d*)$", self.ctl("list_queues name messages_ready messages_unacknowledged"), re.M)
        return tuple(int(n or 0) for n in line.groups())

    def await_count(self, queue, ready, unacknowledged):
        self.until(f"{ready} wait in {queue}, {unacknowledged} are under way",
                   lambda: self.count(queue) == (ready, unacknowledged))

    def dead(self):
        done = self.until("something is in purges-dead", lambda: self.taken_from("purges-dead"))
        return done.stdout

    def taken_from(self, queue):
        done = self.amqp("amqp-get", "-q", queue)
        return done if done.returncode == 0 else None


def rabbit_delivers(w, score, line):
    w.publish("a-1", "https://www.example.com/r?x=1", '{"keys": ["b-1", "c"]}', "many-1\nmany-2\n")
    w.session("consumer", line)
    w.await_purges("a-1", "https://www.example.com/r?x=1", "b-1", "many-1", "many-2")
    w.await_count("purges", 0, 0)
    score.ok(True, "RabbitMQ: what is published is purged, and then gone")
    w.publish(f"good-1\n{POISON}\ngood-2", "after-poison")
    w.await_purges("good-1", "good-2", "after-poison")
    dead = w.dead()
    score.ok(dead.rstrip("\n") == f"good-1\n{POISON}\ngood-2",
             "RabbitMQ: a message with an invalid line goes to purges-dead", dead)
    w.await_count("purges", 0, 0)
    score.ok("line 2" in w.log("consumer"), "RabbitMQ: the reason is printed", w.log("consumer"))


def rabbit_loses_nothing(w, score, line):
    w.redis_goes_away()
    w.publish("waits-1", "waits-2")
    w.says("consumer", "Redis refuses jobs")
    w.await_count("purges", 1, 1)
    w.redis_starts()
    w.await_purges("waits-1", "waits-2")
    w.await_count("purges", 0, 0)
    score.ok(True, "RabbitMQ: what came while Redis was away, is purged when it is back")
    w.redis_goes_away()
    w.publish("killed-1", "killed-2")
    w.await_count("purges", 1, 1)
    w.kill_session("consumer")
    w.await_count("purges", 2, 0)
    score.ok(True, "RabbitMQ: messages in flight when the consumer was killed are in the queue again")
    w.redis_starts()
    w.session("consumer", line)
    w.await_purges("killed-1", "killed-2")
    w.await_count("purges", 0, 0)
    score.ok(True, "RabbitMQ: and is purged by the next consumer")
    w.kill_session("consumer")


def rabbit_gives_back(w, score, line, title):
    """The consumer exits, and the message that it held is in the queue again."""
    w.session("consumer", line)
    w.until("amqp-consume ends", lambda: w.ended("consumer"))
    w.await_count("purges", 1, 0)
    score.ok(w.count("purges-dead") == (0, 0), f"RabbitMQ: {title}, comes back at once", w.log("consumer"))
    w.kill_session("consumer")


def rabbit_taken_again(w, score, line, title, job):
    w.session("consumer", line)
    w.await_purges(job)
    w.await_count("purges", 0, 0)
    score.ok(True, f"RabbitMQ: {title}, is purged later")
    w.kill_session("consumer")


def rabbit_fails(w, score, line):
    """A valid message that cannot be pushed must not go to the queue for invalid messages."""
    title, acl = "what Redis refuses", f"redis-cli -s {w.path('redis.sock')} ACL SETUSER default"
    w.stop("purgeline")
    w.run(f"{acl} -xadd")
    w.publish("refused-1")
    rabbit_gives_back(w, score, line, title)
    w.run(f"{acl} +xadd")
    w.start("purgeline", PURGELINE, "run")
    rabbit_taken_again(w, score, line, title, "refused-1")
    title = "what waits for longer than the time limit"
    w.redis_goes_away()
    w.publish("late-1")
    rabbit_gives_back(w, score, line.replace("timeout 20m", "timeout 1s"), title)
    w.redis_starts()
    rabbit_taken_again(w, score, line, title, "late-1")


def rabbit_delivery_limit(w, score, line, policy):
    assert w.amqp("amqp-delete-queue", "-q", "purges").returncode == 0
    queue = {"name": "purges", "vhost": "/", "durable": True, "auto_delete": False,
             "arguments": {"x-queue-type": "quorum", "x-delivery-limit": 2}}
    w.ctl("import_definitions " + w.write("quorum.json", json.dumps({"queues": [queue]})))
    code, output = w.run(policy)
    score.ok(code == 0, "RabbitMQ: the policy is set", output)
    w.redis_goes_away()
    w.publish("limit-1")
    for n in range(3):
        w.session("consumer", line)
        w.says("consumer", "Redis refuses jobs")
        w.kill_session("consumer")
    dead = w.dead()
    score.ok(dead == "limit-1", "RabbitMQ: what came back too often is in purges-dead", dead)
    w.redis_starts()
    w.publish("quorum-1")
    w.session("consumer", line)
    w.await_purges("quorum-1")
    w.await_count("purges", 0, 0)
    score.ok(True, "RabbitMQ: a quorum queue is emptied as well")
    w.kill_session("consumer")


def rabbit(score, lines):
    declare = lines.starting("amqp-declare-queue")
    line = lines.starting("amqp-consume")
    policy = lines.starting("rabbitmqctl")
    w = Rabbit()
    try:
        w.begin()
        w.session("declare", declare)
        score.ok(w.children["declare"].wait(60) == 0, "RabbitMQ: the queue purges-dead is declared", w.log("declare"))
        rabbit_delivers(w, score, line)
        rabbit_loses_nothing(w, score, line)
        rabbit_fails(w, score, line)
        rabbit_delivery_limit(w, score, line, policy)
    finally:
        w.close()


def main():
    skip_without("redis-server", "redis-cli", "nginx", "varnishd", "kcat", "amqp-consume", "rabbitmq-server", "epmd", "pgrep")
    score = Score()
    lines = Lines()
    for name, part in {"kafka": kafka, "rabbit": rabbit}.items():
        if name in (sys.argv[1:] or ("kafka", "rabbit")):
            try:
                part(score, lines)
            except (AssertionError, OSError, subprocess.SubprocessError) as wrong:
                score.ok(False, name, repr(wrong))
    if not sys.argv[1:]:
        score.ok(not lines.unused, f"{DOCUMENT}: every line was run", *lines.unused)
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
