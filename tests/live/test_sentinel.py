#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Failovers of Redis with real sentinels: a master, a replica and three sentinels on loopback. After each failover the
daemon purges again soon after Redis has a master, and what the replica had at that time is purged.
"""
import os
import signal
import socket
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import ROOT, SERVICE, Score, Stage, free_port, skip_without, until  # noqa: E402

MASTER = "mymaster"
SOON_S = 20  # ten times as long as the daemon may need after Redis has a master
# A command gives a sentinel 0.3 s at first, and the master that it names 2 s. One that waits as long as for a slow command
# needs 30 s more.
COMMAND_S = 30
LEADS = "leads the account"
JOBS = "purgeline:{main}:jobs:normal"
SWITCHED = "Sentinel has made"

SENTINEL_CONF = """{options}
bind 127.0.0.1
dir {dir}
sentinel monitor {master} 127.0.0.1 {redis} 2
sentinel down-after-milliseconds {master} 500
sentinel failover-timeout {master} 3000
sentinel parallel-syncs {master} 1
"""


class FakeSentinel:
    """Names the server that `named` is set to, and publishes nothing."""

    def __init__(self, named):
        self.named = named
        self.asked = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.listening = []  # connections that have subscribed
        threading.Thread(target=self.accept, daemon=True).start()

    def publish(self, text):
        for peer in self.listening:
            peer.sendall(f"*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n${len(text)}\r\n{text}\r\n".encode())

    def accept(self):
        while True:
            try:
                peer = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with peer, peer.makefile("rb") as lines:
            try:
                for count in lines:
                    words = []
                    for _ in range(int(count[1:])):
                        lines.readline()
                        words.append(lines.readline().strip().decode().lower())
                    peer.sendall(self.answer(words).encode())
                    if words[0] == "subscribe":
                        self.listening.append(peer)
            except (OSError, ValueError):
                pass

    def answer(self, words):
        if words[0] == "role":
            return "*2\r\n$8\r\nsentinel\r\n*0\r\n"
        if words[0] == "sentinel":
            self.asked += 1
            port = str(self.named)
            return f"*2\r\n$9\r\n127.0.0.1\r\n${len(port)}\r\n{port}\r\n"
        if words[0] == "subscribe":
            return f"*3\r\n$9\r\nsubscribe\r\n${len(words[1])}\r\n{words[1]}\r\n:1\r\n"
        return "+PONG\r\n" if words[0] == "ping" else "+OK\r\n"


class FrozenSentinel:
    """Accepts connections and says nothing. Measures how long its clients wait for it."""

    def __init__(self):
        self.waited = []  # seconds
        self.asked = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            peer = self.listener.accept()[0]
            self.asked += 1
            threading.Thread(target=self.serve, args=(peer, time.monotonic()), daemon=True).start()

    def serve(self, peer, begun):
        with peer:
            try:
                while peer.recv(4096):
                    pass
            except OSError:
                pass
        self.waited.append(time.monotonic() - begun)


class World(Stage):
    scheme = "redis+sentinel"

    def __init__(self):
        super().__init__()
        self.tls = {}  # options of Redis and its sentinels that need TLS
        self.tls_of_cli = []
        self.prepare()
        self.fastly()
        self.env.update(FASTLY_API_TOKEN="right-token", FASTLY_SERVICE_ID=SERVICE, PURGELINE_LISTEN="",
                        PURGELINE_SENDERS="1")
        self.redis_ports = [free_port(), free_port()]
        self.sentinel_ports = [free_port() for _ in range(3)]
        self.dead_port = free_port()
        self.keys = 0
        self.start_redis(0)
        self.start_redis(1, "--replicaof", "127.0.0.1", str(self.redis_ports[0]))
        until("the replica is in sync", lambda: "master_link_status:up" in self.redis(1, "INFO", "replication"))
        for n in range(3):
            self.start_sentinel(n)
        until("the sentinels know each other and the replica", self.sentinels_are_ready)
        self.use(self.dead_port, *self.sentinel_ports)

    def prepare(self):
        """Called before anything is started."""

    def use(self, *ports):
        hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
        self.env["PURGELINE_REDIS"] = f"{self.scheme}://{hosts}/{MASTER}"

    # -- Redis and its sentinels --

    def start_redis(self, n, *more):
        os.makedirs(self.path(f"redis{n}"), exist_ok=True)
        options = [word for name, value in self.listening(self.redis_ports[n]).items() for word in (f"--{name}", value)]
        self.start(f"redis{n}", "redis-server", *options, "--bind", "127.0.0.1", "--dir",
                   self.path(f"redis{n}"), "--appendonly", "yes", "--save", "", "--repl-diskless-sync-delay", "0",
                   "--maxmemory-policy", "noeviction", *more)
        until("Redis answers", lambda: self.redis(n, "PING") == "PONG")

    def start_sentinel(self, n):
        port = self.sentinel_ports[n]
        path = self.write(f"sentinel{n}/sentinel.conf", SENTINEL_CONF.format(
            options="\n".join(f"{name} {value}" for name, value in self.listening(port).items()),
            dir=self.path(f"sentinel{n}"), master=MASTER, redis=self.redis_ports[0]))
        self.start(f"sentinel{n}", "redis-server", path, "--sentinel")
        until("the sentinel answers", lambda: self.cli(port, "PING") == "PONG")

    def listening(self, port):
        """Options of a server that listens on this port."""
        return {"port": "0", "tls-port": str(port), **self.tls} if self.tls else {"port": str(port)}

    def cli(self, port, *words):
        try:
            done = subprocess.run(["redis-cli", *self.tls_of_cli, "-p", str(port), *map(str, words)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env, timeout=3)
        except subprocess.TimeoutExpired:
            return "(frozen)"
        return done.stdout.decode().strip()

    def redis(self, n, *words):
        return self.cli(self.redis_ports[n], *words)

    def sentinels_are_ready(self):
        for port in self.sentinel_ports:
            told = self.cli(port, "SENTINEL", "MASTER", MASTER).split()
            values = dict(zip(told[::2], told[1::2]))
            if values.get("num-slaves") != "1" or values.get("num-other-sentinels") != "2" or \
                    values.get("flags") != "master" or self.cli(port, "SENTINEL", "CKQUORUM", MASTER)[:2] != "OK":
                return False
        replicas = self.cli(self.sentinel_ports[0], "SENTINEL", "REPLICAS", MASTER).split()
        return replicas[replicas.index("flags") + 1] == "slave" and "master-link-status" in replicas and \
            replicas[replicas.index("master-link-status") + 1] == "ok"

    def master(self):
        """Which of the two the living sentinels agree on, if it says so itself, too."""
        named = {self.cli(self.sentinel_ports[int(name[-1])], "SENTINEL", "get-master-addr-by-name", MASTER)
                 for name in self.children if name.startswith("sentinel") and self.is_awake(name)}
        if len(named) != 1:
            return None
        port = named.pop().split()[-1]
        for n in range(2):
            if port == str(self.redis_ports[n]) and self.redis(n, "ROLE").startswith("master"):
                return n
        return None

    def await_master(self, n):
        until(f"Redis {n} is the master", lambda: self.master() == n)
        return time.monotonic()

    def await_replication(self):
        m = self.master()
        until("the replica has everything", lambda: self.redis(m, "WAIT", 1, 1000) == "1")

    # -- purgeline --

    def start_daemon(self):
        leads = self.said(LEADS)
        self.start("purgeline", "purgeline", "run")
        self.await_said(LEADS, leads + 1)

    def await_said(self, text, times=1):
        until(f"the daemon says \"{text}\" {times} times", lambda: self.said(text) >= times)

    def said(self, text):
        return self.log("purgeline").count(text) if os.path.exists(self.path("purgeline.log")) else 0

    def connected_to(self, n):
        return self.redis(n, "CLIENT", "LIST").count("name=purgeline")

    def purge_one(self):
        """Pushes a job and waits until it is purged. The command may come too early: then it is run again."""
        self.keys += 1
        key = f"k{self.keys}"
        until("a key is purged", lambda: self.run(f"purgeline push --wait=5s {key}")[0] == 0)
        return key

    def queue(self, count):
        """Pushes jobs that wait, and returns when the replica has them."""
        code, told = self.run("purgeline pause test")
        if code:
            raise AssertionError(told)
        for _ in range(count):
            self.keys += 1
            code, told = self.run(f"purgeline push --key q{self.keys}")
            if code:
                raise AssertionError(told)
        self.await_replication()

    def left(self):
        m = self.master()
        return None if m is None else int(self.redis(m, "XLEN", JOBS))

    def resume(self):
        until("the pause ends", lambda: self.run("purgeline resume")[0] == 0)

    def sentinel_listened_to(self):
        for n, port in enumerate(self.sentinel_ports):
            if f"sentinel{n}" in self.children and self.is_awake(f"sentinel{n}") and any(
                    "cmd=subscribe" in line and "name=purgeline" in line
                    for line in self.cli(port, "CLIENT", "LIST").splitlines()):
                return n
        return None

    def living_sentinel(self):
        return next(port for n, port in enumerate(self.sentinel_ports) if f"sentinel{n}" in self.children)

    def is_awake(self, name):
        with open(f"/proc/{self.children[name].pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "T"


def after(w, score, what, n, soon_s=SOON_S):
    """Checks what must be true after each failover to Redis n."""
    begun = w.await_master(n)
    w.resume()
    w.purge_one()
    took = time.monotonic() - begun
    score.ok(took < soon_s, f"{what}: a key is purged {took:.1f} s after Redis has a master", w.log("purgeline"))
    until("all jobs are purged", lambda: w.left() == 0)
    score.ok(w.left() == 0, f"{what}: the jobs that were acknowledged and replicated are purged")
    score.ok(w.connected_to(n) >= 2, f"{what}: the daemon is connected to the new master")


def back_in_sync(w, n):
    """Waits until Redis n is a replica again."""
    until("it is a replica", lambda: w.redis(n, "ROLE").startswith("slave"))
    until("it is in sync", lambda: "master_link_status:up" in w.redis(n, "INFO", "replication"))
    until("the sentinels agree", w.sentinels_are_ready)


# -- the stories --


def sentinels_are_asked_in_turn(w, score):
    w.start_daemon()
    w.purge_one()
    score.ok(True, "a purge passes although the first sentinel in the list is dead")
    code, told = w.run("purgeline check")
    score.ok(f"3 of 4 sentinels answer; master of {MASTER} is 127.0.0.1:{w.redis_ports[0]}" in told,
             "check counts the sentinels and names the master", code, told)
    score.ok(f"sentinel 127.0.0.1:{w.dead_port}: " in told, "check names the dead sentinel", told)


def a_frozen_first_sentinel_costs_a_command_little(w, score):
    """It is asked with more patience only if no other sentinel can help."""
    frozen = FrozenSentinel()
    w.use(frozen.port, *w.sentinel_ports)
    codes = []
    until("a command gives a frozen sentinel up within a second",
          lambda: codes.append(w.run("purgeline dead list")[0]) or any(waited < 1 for waited in frozen.waited))
    score.ok(not any(codes), "a frozen first sentinel: commands find the master", codes)
    w.use(frozen.port)
    del frozen.waited[:]
    code, told = w.run("purgeline status")
    score.ok(code == 3 and f"127.0.0.1:{frozen.port}: " in told and "no answer within 2 s" in told and
             any(waited > 1.9 for waited in frozen.waited), "a sentinel that is alone gets more time", told, frozen.waited)
    w.use(w.dead_port, *w.sentinel_ports)


def a_process_remembers_which_sentinel_has_answered(w, score):
    frozen = FrozenSentinel()
    w.use(frozen.port, *w.sentinel_ports)
    child = subprocess.Popen(["purgeline", "push", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, env=w.env, text=True, bufsize=1)
    pushed = []

    def push_anew():
        """Pushes one more job over a new connection. Whether the frozen sentinel was left alone."""
        asked = frozen.asked
        if pushed:
            w.redis(w.master(), "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        child.stdin.write(f"remember{len(pushed)}\n")
        pushed.append(child.stdout.readline())
        return frozen.asked == asked and asked

    try:
        until("a new connection begins with the sentinel that answered", push_anew)
        score.ok(all(job.startswith("normal-") for job in pushed), "`push -` does not ask a frozen sentinel again", pushed)
        child.stdin.close()
        child.wait(60)
    finally:
        child.kill()
        child.wait()
    w.use(w.dead_port, *w.sentinel_ports)


def the_master_is_killed(w, score, what="killed"):
    w.queue(20)
    w.stop("redis0", kill=True)
    after(w, score, what, 1)
    w.start_redis(0)
    back_in_sync(w, 0)


def an_operator_fails_over(w, score):
    w.queue(20)
    w.cli(w.sentinel_ports[0], "SENTINEL", "FAILOVER", MASTER)
    after(w, score, "SENTINEL FAILOVER", 0)
    back_in_sync(w, 1)


def a_frozen_master_is_not_believed_when_it_wakes(w, score):
    w.queue(20)
    times = w.said(SWITCHED)
    w.signal("redis0", signal.SIGSTOP)
    after(w, score, "frozen", 1)
    score.ok(w.said(SWITCHED) > times, "frozen: the daemon has heard of the failover", w.log("purgeline"))
    # The sentinels are stopped, so that the old master stays a master after it has woken.
    for n in range(3):
        w.signal(f"sentinel{n}", signal.SIGSTOP)
    w.signal("redis0", signal.SIGCONT)
    until("the old master answers", lambda: w.redis(0, "ROLE").startswith("master"))
    kept = w.redis(0, "XADD", JOBS, "*", "keys", "of-the-old-master")
    w.redis(1, "XADD", JOBS, "*", "keys", "of-the-new-master")
    until("the new master's job is purged", lambda: w.redis(1, "XLEN", JOBS) == "0")
    score.ok(kept in w.redis(0, "XRANGE", JOBS, "-", "+") and w.redis(0, "ROLE").startswith("master"),
             "frozen: nobody listens to the old master, which still says that it is one", w.log("purgeline"))
    for n in range(3):
        w.signal(f"sentinel{n}", signal.SIGCONT)
    back_in_sync(w, 0)


def a_command_does_not_believe_a_late_answer(w, score):
    """`push -` has a connection to the master, which freezes and answers when another one has taken its place."""
    m = w.master()
    with open(w.path("late.log"), "w") as log:
        child = subprocess.Popen(["purgeline", "push", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                                 env=w.env, text=True, bufsize=1)
    try:
        child.stdin.write("early\n")
        score.ok(child.stdout.readline().startswith("normal-"), "a command pushes through a connection that stays open")
        w.await_replication()
        w.signal(f"redis{m}", signal.SIGSTOP)
        child.stdin.write("late\n")
        w.await_master(1 - m)
        until("all sentinels name the new master", lambda: w.master() == 1 - m)
        w.signal(f"redis{m}", signal.SIGCONT)
        job = child.stdout.readline().strip()
        receipt = f"purgeline:{{main}}:receipt:{job}"
        until("the job is purged", lambda: "purged" in w.redis(1 - m, "GET", receipt))
        score.ok(True, "late: the answer of the old master does not count, and the new one gets the job")
        child.stdin.close()
        score.ok(child.wait(60) == 0, "late: the command has pushed all lines", w.log("late"))
    finally:
        child.kill()
        child.wait()
    back_in_sync(w, m)
    w.cli(w.sentinel_ports[0], "SENTINEL", "FAILOVER", MASTER)
    w.await_master(m)
    back_in_sync(w, 1 - m)


def master_and_sentinel_freeze(w, score):
    """A sentinel freezes, and then the master: no connection breaks, and the news come from the other sentinels."""
    until("a sentinel is listened to", lambda: w.sentinel_listened_to() is not None)
    listened = w.sentinel_listened_to()
    w.queue(20)
    w.signal(f"sentinel{listened}", signal.SIGSTOP)
    w.signal("redis1", signal.SIGSTOP)
    after(w, score, "frozen together with a sentinel", 0, 2 * SOON_S)
    a_command_does_not_wait_for_what_is_frozen(w, score, listened)
    w.signal(f"sentinel{listened}", signal.SIGCONT)
    w.signal("redis1", signal.SIGCONT)
    back_in_sync(w, 1)


def a_command_does_not_wait_for_what_is_frozen(w, score, frozen_sentinel):
    """The first sentinels in the list: a frozen one, and one with old news, that names a frozen Redis."""
    before = w.env["PURGELINE_REDIS"]
    fake = FakeSentinel(w.redis_ports[1])
    w.use(w.sentinel_ports[frozen_sentinel], fake.port, *w.sentinel_ports)
    begun = time.monotonic()
    code, told = w.run("purgeline push --key first")
    took = time.monotonic() - begun
    score.ok(code == 0 and fake.asked and took < COMMAND_S,
             f"a command finds the master in {took:.1f} s although a sentinel and a Redis before it are frozen", told)
    w.env["PURGELINE_REDIS"] = before


def the_sentinel_that_is_listened_to_dies(w, score):
    listened = w.sentinel_listened_to()
    away = w.said("Redis is away")
    w.stop(f"sentinel{listened}", kill=True)
    until("another one is listened to", lambda: w.sentinel_listened_to() is not None)
    score.ok(w.said("Redis is away") == away, "a dead sentinel does not interrupt the connection to Redis",
             w.log("purgeline"))
    w.queue(20)
    w.stop("redis0", kill=True)
    after(w, score, "killed, with two sentinels left", 1)


def a_sentinel_that_names_a_replica_is_not_believed(w, score):
    m = w.master()
    w.stop(f"redis{1 - m}")
    w.start_redis(1 - m, "--replicaof", "127.0.0.1", str(w.redis_ports[m]))
    fake = FakeSentinel(w.redis_ports[1 - m])
    w.stop("purgeline")
    w.use(fake.port)
    code, told = w.run("purgeline status")
    score.ok(code != 0 and f"Sentinel names 127.0.0.1:{fake.named} as the master: it is no master" in told,
             "a command says that the named master is a replica", code, told)
    leads = w.said(LEADS)
    w.start("purgeline", "purgeline", "run")
    w.await_said(f"Sentinel names 127.0.0.1:{fake.named} as the master, but it is a replica")
    score.ok(w.said(LEADS) == leads, "the daemon does not use a replica", w.log("purgeline"))
    w.stop("purgeline")
    w.use(fake.port, *w.sentinel_ports)
    code, told = w.run("purgeline push --key k")
    w.start_daemon()
    w.purge_one()
    score.ok(code == 0, "with a better sentinel in the list, a command and the daemon find the master", told)
    code, told = w.run("purgeline check")
    score.ok("the sentinels disagree" in told, "check says that the sentinels disagree", told)
    w.stop("purgeline")


def news_end_the_connection(w, score):
    """A sentinel that still names the old master when it is asked: only its news make the daemon leave."""
    w.stop("purgeline")
    fake = FakeSentinel(w.redis_ports[w.master()])
    w.use(fake.port)
    w.start_daemon()
    until("the daemon listens", lambda: fake.listening)
    fake.publish(f"other 127.0.0.1 1 127.0.0.1 {w.dead_port}")
    fake.publish(f"{MASTER} 127.0.0.1 {fake.named} 127.0.0.1 {w.dead_port}")
    w.await_said(f"{SWITCHED} 127.0.0.1:{w.dead_port} the master")
    w.purge_one()
    score.ok(True, "news of a failover end the connection to the old master at once")
    w.stop("purgeline")


def all_sentinels_are_listened_to(w, score):
    """The first sentinel answers, but has no news. It names the old master also when it is asked again."""
    m = w.master()
    silent, other = FakeSentinel(w.redis_ports[m]), FakeSentinel(w.redis_ports[m])
    w.use(silent.port, other.port)
    w.start_daemon()
    until("the daemon listens to both", lambda: silent.listening and other.listening)
    asked = silent.asked
    other.publish(f"{MASTER} 127.0.0.1 {other.named} 127.0.0.1 {w.dead_port}")
    w.await_said(f"{SWITCHED} 127.0.0.1:{w.dead_port} the master")
    until("the other sentinel is asked", lambda: other.asked)
    score.ok(silent.asked == asked, "news of any sentinel are heard, and it is asked first then")
    w.purge_one()
    w.stop("purgeline")


def a_master_without_its_replica_refuses_jobs(w, score):
    """With the two settings of deploy/redis.md, jobs that a failover could lose are not accepted."""
    m = w.master()
    w.use(*w.sentinel_ports)
    until("the replica is in sync", lambda: "master_link_status:up" in w.redis(1 - m, "INFO", "replication"))
    for words in ("min-replicas-to-write 1", "min-replicas-max-lag 10"):
        with open(os.path.join(ROOT, "deploy/redis.md")) as document:
            if f"redis-cli CONFIG SET {words}" not in document.read():
                raise AssertionError(f"deploy/redis.md does not say {words}")
        w.redis(m, "CONFIG", "SET", *words.split())
    accepted = w.run("purgeline push --key with")[0]
    w.stop(f"redis{1 - m}")
    until("the master has noticed", lambda: "connected_slaves:0" in w.redis(m, "INFO", "replication"))
    code, told = w.run("purgeline push --key without")
    score.ok(accepted == 0 and code != 0 and "NOREPLICAS" in told,
             "a master without its replica refuses jobs", code, told)
    w.redis(m, "CONFIG", "SET", "min-replicas-to-write", 0)


def sentinels_may_want_a_password(w, score):
    port, m = free_port(), w.master()
    path = w.write("locked/sentinel.conf", f"port {port}\nbind 127.0.0.1\ndir {w.path('locked')}\n"
                   f"requirepass sesame\nsentinel monitor {MASTER} 127.0.0.1 {w.redis_ports[m]} 2\n")
    w.start("locked", "redis-server", path, "--sentinel")
    until("the sentinel answers", lambda: "NOAUTH" in w.cli(port, "PING"))
    w.use(port)
    code, told = w.run("purgeline status")
    score.ok(code != 0 and "redis_auth.sentinel_password_file" in told, "a sentinel without its password is explained",
             code, told)
    w.write("password", "wrong\n", 0o600)
    w.env["PURGELINE_REDIS_AUTH_SENTINEL_PASSWORD_FILE"] = w.path("password")
    code, told = w.run("purgeline status")
    score.ok(code != 0 and "redis_auth.sentinel_password_file" in told and "wrong" not in told,
             "so is a wrong password", code, told)
    w.start("purgeline", "purgeline", "run")
    w.await_said("none of the 1 sentinels can say")
    leads = w.said(LEADS)
    w.write("password", "sesame\n", 0o600)
    w.await_said(LEADS, leads + 1)
    w.purge_one()
    score.ok(True, "with the right password in the file, daemon and commands find the master")
    w.stop("purgeline")
    w.stop("locked")
    del w.env["PURGELINE_REDIS_AUTH_SENTINEL_PASSWORD_FILE"]
    code, told = w.run("purgeline status")
    score.ok(code != 0 and f"none of the 1 sentinels can say which server is {MASTER}: 127.0.0.1:{port}: " in told,
             "without sentinels the error names them", code, told)
    w.env["PURGELINE_REDIS"] = f"redis+sentinel://127.0.0.1:{w.living_sentinel()}/other"
    code, told = w.run("purgeline status")
    score.ok(code != 0 and "it knows no master of this name" in told, "an unknown master is explained", code, told)


def a_new_password_needs_no_restart(w, score):
    w.redis_ports.append(free_port())
    w.start_redis(2)
    w.redis(2, "CONFIG", "SET", "requirepass", "password-1")
    w.write("password", "password-1\n", 0o600)
    w.env.update(PURGELINE_REDIS=f"redis://127.0.0.1:{w.redis_ports[2]}",
                 PURGELINE_REDIS_AUTH_PASSWORD_FILE=w.path("password"))
    w.start_daemon()
    w.purge_one()
    w.write("password", "password-2\n", 0o600)
    w.cli(w.redis_ports[2], "-a", "password-1", "CONFIG", "SET", "requirepass", "password-2")
    killed = w.cli(w.redis_ports[2], "-a", "password-2", "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    w.await_said("Connected to Redis", w.said("Connected to Redis") + 1)
    w.purge_one()
    score.ok(True, "a changed password takes effect without a restart", killed)
    text = w.log("purgeline")
    score.ok("password-1" not in text and "password-2" not in text and "sesame" not in text,
             "no password is in the log", text)


def main():
    skip_without("redis-server", "redis-cli", "nginx", "varnishd", "curl")
    score = Score()
    w = World()
    try:
        for story in [story for story in STORIES if not sys.argv[1:] or story.__name__ in sys.argv[1:]]:
            try:
                story(w, score)
            except (AssertionError, OSError, subprocess.SubprocessError) as wrong:
                score.ok(False, story.__name__, repr(wrong), w.log("purgeline") if w.children.get("purgeline") else "")
                break
    finally:
        for name in w.children:
            if name.startswith(("redis", "sentinel")):
                w.signal(name, signal.SIGCONT)
        w.close()
    return score.close()


STORIES = [sentinels_are_asked_in_turn, a_frozen_first_sentinel_costs_a_command_little,
           a_process_remembers_which_sentinel_has_answered, the_master_is_killed, an_operator_fails_over,
           a_frozen_master_is_not_believed_when_it_wakes, a_command_does_not_believe_a_late_answer,
           master_and_sentinel_freeze, the_sentinel_that_is_listened_to_dies,
           a_sentinel_that_names_a_replica_is_not_believed,
           news_end_the_connection, all_sentinels_are_listened_to, a_master_without_its_replica_refuses_jobs,
           sentinels_may_want_a_password, a_new_password_needs_no_restart]

if __name__ == "__main__":
    sys.exit(main())
