# SPDX-License-Identifier: MIT
"""The message queues of bench/consumers: each is started on loopback, filled, and read by consumers."""
import json
import os
import re
import shutil
import subprocess
import sys
import time

from . import world as w
from .produce import Producer

for folder in "support", "live":
    sys.path.insert(0, os.path.join(w.root, "tests", folder))
import test_consume_amqp  # noqa: E402
import test_consume_postgres  # noqa: E402
from nats import NatsServer  # noqa: E402
from stage import Stage, until  # noqa: E402

PARTITIONS = 8
TOPIC = "changes"
PATIENCE_S = 600


def job(n):
    return '{"keys": "article-%d"}' % n


class Queue:
    """A queue with its server. `begin` starts it; `fill` makes sure that exactly `count` messages wait for a group that
    was not there before."""
    topic = TOPIC

    def __init__(self, bin_dir):
        self.bin, self.stage, self.runs = bin_dir, Stage(), 0

    def group(self):
        return f"g{self.runs}"

    def fill(self, count):
        self.runs += 1
        self.refill(count)

    def peer(self, redis):
        """The consumer on Node."""
        return ["node", os.path.join(w.here, "peers/node/consume.js"), self.name, self.address, self.topic, redis,
                self.group()]

    def program_for_wire(self, program):
        """The program that takes messages that are sent one by one."""
        return program

    def tool(self, *words):
        """What a program of this folder prints: messages per second."""
        done = subprocess.run([os.path.join(self.bin, "bench", words[0]), *map(str, words[1:])], stdout=subprocess.PIPE,
                              check=True, text=True, timeout=PATIENCE_S)
        return float(done.stdout)

    def pipe(self, *command):
        """Sends each line that is written to the program's standard input."""
        self.sender = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=self.stage.env, text=True)

    def send(self, text):
        self.sender.stdin.write(text + "\n")
        self.sender.stdin.flush()

    def end_sending(self):
        self.sender.stdin.close()
        self.sender.wait(w.PATIENCE_S)

    def close(self):
        self.stage.close()


class Kafka(Queue):
    """librdkafka's mock cluster, which keeps messages, so that it is filled only once. The limit is kcat, which throws
    them away, and joins no group."""
    name, goal, needs, plugin = "kafka", 150000, ("kcat",), "kafka"
    limit = "kcat"

    def begin(self, partitions=PARTITIONS):
        self.filled, self.partitions = 0, partitions
        self.stage.start("kafka", sys.executable, os.path.join(w.root, "tests/support/kafka_cluster.py"), TOPIC, str(partitions))
        self.address = until("Kafka's address", lambda: re.search(r"^127\.0\.0\.1:\d+$", self.stage.log("kafka"), re.M)).group()

    def settings(self):
        return f"url: kafka://{self.address}, group: {self.group()}"

    def refill(self, count):
        if self.filled == count:
            return
        for nth in range(self.partitions):
            self.stage.write("messages", "".join(job(n) + "\n" for n in range(nth, count, self.partitions)))
            self.stage.must(f"kcat -b {self.address} -P -t {TOPIC} -p {nth} -X linger.ms=50 <messages", PATIENCE_S)
        self.filled = count

    def bare(self, count):
        begun = time.monotonic()
        told = self.stage.must(f"kcat -b {self.address} -C -t {TOPIC} -o beginning -e -q | wc -l", PATIENCE_S)
        assert int(told) == count, told
        return count / (time.monotonic() - begun)

    def begin_sending(self):
        self.producer = Producer(self.address, TOPIC)

    def send(self, text):
        self.producer.send(text)

    def end_sending(self):
        self.producer.close()

    def program_for_wire(self, program):
        """It asks the broker again and again, because this broker answers only at the end of the time that it may wait."""
        return shutil.copy(program, os.path.join(self.bin, "bench/impatient/purgeline"))

    def empty(self):
        """A new cluster: in this one, a new group would begin with the messages that are there."""
        other = Kafka(self.bin)
        other.begin(1)
        return other


class Amqp(Queue):
    """RabbitMQ, with a durable queue and persistent messages."""
    name, goal, needs, plugin = "amqp", 40000, ("rabbitmq-server", "amqp-publish"), "amqp"
    limit = "bare_amqp"

    def begin(self):
        self.server = test_consume_amqp.Rabbit(self.stage)
        self.address = self.server.url

    def settings(self):
        return f"url: {self.address}, user: guest, password_env: GUEST"

    def refill(self, count):
        for program in (["amqp-delete-queue"], ["amqp-declare-queue", "-d"]):
            done = self.server.amqp(*program, "-q", TOPIC)
            assert done.returncode == 0, done.stdout
        self.server.publish([job(n) for n in range(count)])
        until("all are in the queue", lambda: self.server.count() == count, PATIENCE_S)

    def bare(self, count):
        return self.tool("bare_amqp", "127.0.0.1", self.server.plain, TOPIC, count)

    def begin_sending(self):
        self.pipe("amqp-publish", "--url", self.address, "-p", "-l", "-r", TOPIC)

    def empty(self):
        self.refill(0)
        return self


class Nats(Queue):
    """nats-server, with a stream in files."""
    name, goal, needs, plugin = "nats", 80000, ("nats-server",), "nats"
    limit = "bare_nats"

    def begin(self):
        self.server = NatsServer(self.stage)
        self.address = f"nats://127.0.0.1:{self.server.port}"
        self.stream = False

    def settings(self):
        return f"url: {self.address}, group: {self.group()}"

    def refill(self, count):
        if self.stream:
            self.server.ask(f"STREAM.DELETE.{TOPIC}")
        self.server.ask(f"STREAM.CREATE.{TOPIC}", name=TOPIC, subjects=["articles.>"], storage="file")
        self.stream = True
        self.server.ask(f"CONSUMER.DURABLE.CREATE.{TOPIC}.{self.group()}", stream_name=TOPIC, config=dict(
            durable_name=self.group(), ack_policy="explicit", deliver_policy="all", max_ack_pending=10000))
        connection = self.server.connect()
        connection.publish("articles.changed", [job(n) for n in range(count)], at_once=5000)
        connection.close()

    def bare(self, count):
        return self.tool("bare_nats", self.address, TOPIC, self.group(), count)

    def begin_sending(self):
        self.connection = self.server.connect()

    def send(self, text):
        self.connection.socket.sendall(self.connection.message("articles.changed", text))

    def end_sending(self):
        self.connection.close()

    def empty(self):
        self.runs += 1
        self.refill(0)
        return self


class Postgres(Queue):
    """The outbox of deploy/outbox.sql. The limit is a loop of pgbench that deletes 512 rows at a time."""
    name, goal, needs, plugin = "postgres", 20000, (), "postgres"
    limit, topic = "pgbench", "purgeline_outbox"

    def begin(self):
        self.server = test_consume_postgres.Postgres(self.stage)
        with open(os.path.join(w.root, "deploy/outbox.sql")) as outbox:
            self.server.sql(outbox.read())
        self.address = f"postgresql://boss@/postgres?host={self.server.folder}&port={self.server.port}"

    def settings(self):
        return f'url: "{self.address}"'

    def refill(self, count):
        self.server.sql("TRUNCATE purgeline_outbox")
        self.server.sql("INSERT INTO purgeline_outbox (message) SELECT json_build_object('keys', 'article-' || n) "
                        f"FROM generate_series(1, {count}) n ORDER BY n; ANALYZE purgeline_outbox")

    def bare(self, count):
        self.stage.write("take.sql", "DELETE FROM purgeline_outbox WHERE id IN (SELECT id FROM purgeline_outbox ORDER BY id "
                         "LIMIT 512 FOR UPDATE SKIP LOCKED) RETURNING message;\n")
        begun = time.monotonic()
        self.server.must("pgbench", "-h", self.server.folder, "-p", str(self.server.port), "-U", "boss", "-n", "-c", "1",
                         "-t", str(-(-count // 512)), "-f", self.stage.path("take.sql"), "postgres")
        seconds = time.monotonic() - begun
        assert self.server.sql("SELECT count(*) FROM purgeline_outbox").strip() == "0"
        return count / seconds

    def begin_sending(self):
        self.pipe(*self.server.prefix, f"{self.server.bin}/psql", "-h", self.server.folder, "-p", str(self.server.port),
                  "-U", "boss", "-d", "postgres", "-qAt")

    def send(self, text):
        """The application does not wait for the disk, which may not be able to keep up with 500 commits a second."""
        super().send(f"SET synchronous_commit = off; INSERT INTO purgeline_outbox (message) VALUES ('{text}');")

    def empty(self):
        self.refill(0)
        return self


KINDS = (Kafka, Amqp, Nats, Postgres)


def message_for(url):
    return json.dumps({"urls": [url], "lane": "urgent"})
