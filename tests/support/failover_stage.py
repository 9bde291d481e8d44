# SPDX-License-Identifier: MIT
"""Redis with two replicas, three sentinels, two purgelines, producers and the sandbox, each on a host of its own.
`Peer` is a connection to a server from the server's own host, so that it works whatever is cut outside.
"""
import json
import os
import random
import signal
import socket

from hosts import Network
from stage import SERVICE, Stage, until

MASTER = "mymaster"
REDIS_PORT, SENTINEL_PORT, HTTP_PORT = 6379, 26379, 8126
BUDGET, WINDOW_S = 200, 10.0
TOKEN = "a-token-of-purgeline"
TOKEN_SHA256 = "2ff43ef6e2c2db9c344ff540f583af93e4d8a4f0f439d84de1360b19ffedb029"
POLL_S = 0.02

SENTINEL_CONF = """port {port}
bind 0.0.0.0
protected-mode no
dir {dir}
sentinel monitor {master} {redis} {redis_port} 2
sentinel down-after-milliseconds {master} 3000
sentinel failover-timeout {master} 6000
sentinel parallel-syncs {master} 2
"""

CONFIG = """redis: redis+sentinel://{sentinels}/{master}
redis_replicas: {replicas}
senders: 1
listen: {address}:{port}
producers:
  - name: cms
    token_sha256: "{token}"
accounts:
  - name: main
    api: {api}
    ca_file: {ca}
    services: [{{id: {service}, name: news}}]
    budget: {{purges: {budget}, per_s: {window:.0f}}}
    timeout_ms: 2000
    connect_timeout_ms: 1000
    attempts: 1000
"""


class Peer:
    """Asks a Redis server or a sentinel. Every answer is None while it does not answer."""

    def __init__(self, host, port):
        self.host, self.port, self.file, self.socket = host, port, None, None

    def connect(self, patience_s):
        with self.host.entered():
            self.socket = socket.create_connection((self.host.address, self.port), patience_s)
        self.file = self.socket.makefile("rb")

    def close(self):
        for one in (self.file, self.socket):
            if one:
                one.close()
        self.file = self.socket = None

    def send(self, *words):
        out = [b"*%d\r\n" % len(words)]
        for word in words:
            raw = str(word).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(raw), raw))
        self.socket.sendall(b"".join(out))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("closed")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"$":
            return None if text == "-1" else self.file.read(int(text) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return [self.read() for _ in range(int(text))]
        return int(text) if kind == b":" else text

    def ask(self, *words, patience_s=0.5):
        try:
            if not self.socket:
                self.connect(patience_s)
            self.socket.settimeout(patience_s)
            self.send(*words)
            return self.read()
        except (OSError, ValueError):
            self.close()
            return None

    def ask_many(self, commands, at_once=500):
        """The answers to many commands, in order."""
        self.close()
        self.connect(60)
        answers = []
        for begin in range(0, len(commands), at_once):
            part = commands[begin:begin + at_once]
            for words in part:
                self.send(*words)
            answers += [self.read() for _ in part]
        return answers


class FailoverStage(Stage):
    def __init__(self, replicas, seed):
        super().__init__()
        self.rng = random.Random(seed)
        self.replicas = replicas
        self.network = Network()
        host = self.network.host
        self.fastly_host = host("fastly")
        self.redis_hosts = [host(f"redis{n}") for n in range(3)]
        self.sentinel_hosts = [host(f"sentinel{n}") for n in range(3)]
        self.daemon_hosts = [host(f"purge{n}") for n in range(2)]
        self.producer_hosts = [host(f"producer{n}") for n in range(2)]
        self.redis = [Peer(h, REDIS_PORT) for h in self.redis_hosts]
        self.sentinels = [Peer(h, SENTINEL_PORT) for h in self.sentinel_hosts]
        self.requests = []  # of the sandbox's log, as far as it was read
        self.log_at = 0

    def open(self):
        self.on = self.fastly_host.space.prefix
        self.fastly("--api-address", self.fastly_host.address)
        self.env["FASTLY_API_TOKEN"] = "right-token"
        for n in range(3):
            self.start_redis(n, *(["--replicaof", self.redis_hosts[0].address, str(REDIS_PORT)] if n else []))
        until("the replicas are connected", lambda: self.connected_replicas(0) == 2)
        for n in range(3):
            self.start_sentinel(n)
        self.await_sync()
        for n in range(2):
            self.start_daemon(n)
        until("one of them leads", lambda: self.leader() is not None)

    # -- programs --

    def start_on(self, host, name, *command):
        with open(self.path(f"{name}.log"), "a") as log:
            self.children[name] = host.popen(command, stdout=log, stderr=log, cwd=self.dir, env=self.env)

    def start_redis(self, n, *more):
        os.makedirs(self.path(f"redis{n}"), exist_ok=True)
        self.start_on(self.redis_hosts[n], f"redis{n}", "redis-server", "--port", str(REDIS_PORT), "--bind", "0.0.0.0",
                      "--protected-mode", "no", "--dir", self.path(f"redis{n}"), "--appendonly", "yes", "--save", "",
                      "--repl-diskless-sync-delay", "0", "--maxmemory-policy", "noeviction", *more)
        until("Redis answers", lambda: self.redis[n].ask("PING") == "PONG")

    def start_sentinel(self, n):
        path = self.write(f"sentinel{n}/sentinel.conf", SENTINEL_CONF.format(
            port=SENTINEL_PORT, dir=self.path(f"sentinel{n}"), master=MASTER, redis=self.redis_hosts[0].address,
            redis_port=REDIS_PORT))
        self.start_on(self.sentinel_hosts[n], f"sentinel{n}", "redis-server", path, "--sentinel")
        until("the sentinel answers", lambda: self.sentinels[n].ask("PING") == "PONG")

    def redis_url(self):
        return "redis+sentinel://" + ",".join(f"{h.address}:{SENTINEL_PORT}" for h in self.sentinel_hosts) + \
            f"/{MASTER}"

    def start_daemon(self, n):
        path = self.write(f"purge{n}.yaml", CONFIG.format(
            sentinels=",".join(f"{h.address}:{SENTINEL_PORT}" for h in self.sentinel_hosts), master=MASTER,
            replicas=self.replicas, address=self.daemon_hosts[n].address, port=HTTP_PORT, token=TOKEN_SHA256,
            api=self.env["SANDBOX_API"], ca=self.env["SANDBOX_CA"], service=SERVICE, budget=BUDGET, window=WINDOW_S))
        self.start_on(self.daemon_hosts[n], f"purge{n}", "purgeline", "run", "--config", path)

    # -- what Redis and its sentinels say --

    def connected_replicas(self, n):
        """How many replicas follow Redis n; None if it is no master."""
        role = self.redis[n].ask("ROLE")
        return len(role[2]) if role and role[0] == "master" else None

    def named_masters(self):
        """For each sentinel, the number of the Redis that it names."""
        named = []
        for sentinel in self.sentinels:
            answer = sentinel.ask("SENTINEL", "get-master-addr-by-name", MASTER)
            named.append(next((n for n, h in enumerate(self.redis_hosts) if answer and answer[0] == h.address), None))
        return named

    def master(self):
        """The Redis that most sentinels name, if it says so itself."""
        named = self.named_masters()
        for n in range(3):
            if named.count(n) >= 2 and self.connected_replicas(n) is not None:
                return n
        return None

    def await_master(self):
        return until("there is a master", lambda: [n for n in (self.master(),) if n is not None])[0]

    def in_sync(self):
        named = self.named_masters()
        if named[0] is None or named.count(named[0]) != 3 or self.connected_replicas(named[0]) != 2:
            return False
        for sentinel in self.sentinels:
            told = sentinel.ask("SENTINEL", "MASTER", MASTER) or []
            values = dict(zip(told[::2], told[1::2]))
            if (values.get("flags"), values.get("num-slaves"), values.get("num-other-sentinels")) != \
                    ("master", "2", "2"):
                return False
            for replica in sentinel.ask("SENTINEL", "REPLICAS", MASTER) or [[]]:
                values = dict(zip(replica[::2], replica[1::2]))
                if (values.get("flags"), values.get("master-link-status")) != ("slave", "ok") or \
                        values.get("master-host") != self.redis_hosts[named[0]].address:
                    return False
        return True

    def await_sync(self):
        until("master, replicas and sentinels agree", self.in_sync, 180)

    def leader(self):
        """Which daemon holds the lease."""
        m = self.master()
        holder = self.redis[m].ask("GET", "purgeline:{main}:lease") if m is not None else None
        return int(holder[5]) if holder and holder.startswith("purge") else None

    # -- what the sandbox has received --

    def read_requests(self):
        with open(self.env["SANDBOX_LOG"], "rb") as log:
            log.seek(self.log_at)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self.log_at += len(line)
                self.requests.append(json.loads(line))
        return self.requests

    def await_request(self, since, patience_s=180):
        """The time of the first request that began after `since`."""
        def first():
            return min((r["begin"] for r in self.read_requests()[-1000:] if r["begin"] > since), default=None)
        return until("a request is sent", first, patience_s)

    def close(self):
        self.network.heal()
        for name in self.children:
            self.signal(name, signal.SIGCONT)
        super().close()
        for peer in self.redis + self.sentinels:
            peer.close()
        self.network.close()
