#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Redis Cluster over TLS: three nodes without replicas, which ask for certificates of their clients, all signed by a
private CA. Each node has one account. Jobs are pushed by command, over HTTP, and by a program that is linked with the
shared library; between two pushes, the slot of the account moves to another node.
"""
import hashlib
import json
import os
import subprocess
import sys
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import SERVICE, Score, Stage, free_port, skip_without, until  # noqa: E402

PUSHER = os.environ.get("LIB_PUSHER") or os.path.join(HERE, "../../build/asan/tests/live_lib_pusher")
NAMES = ["news", "travel", "blog", "site", "docs", "auth", "shop", "help", "jobs", "sport", "video", "wiki"]
NODES = 3
TOKEN = "a-producer-of-this-test"
NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
LEADS = "leads the account"

CONFIG = """redis: {redis}
redis_tls: {{ca_file: {dir}/ca.pem, cert_file: {dir}/client.pem, key_file: {dir}/client.key}}
listen: 127.0.0.1:{listen}
senders: 1
producers:
  - {{name: all, token_sha256: "{digest}", accounts: [{names}]}}
accounts:
"""
ACCOUNT = """  - name: {name}
    token_env: FASTLY_API_TOKEN
    services: [{{id: {service}, name: main}}]
    default_service: main
    api: {api}
    ca_file: {ca}
"""


def service_of(n):
    return SERVICE[:-1] + "abc"[n]


class World(Stage):
    def __init__(self):
        super().__init__()
        self.fastly(*[word for n in range(NODES) for word in ("--service", service_of(n))])
        self.api = self.env.pop("PURGELINE_API")
        del self.env["PURGELINE_CA_FILE"]
        self.env.update(FASTLY_API_TOKEN="right-token", PURGELINE_CONFIG=self.path("purgeline.yaml"))
        for ca in ("ca", "theirs"):
            self.must(f"openssl req -x509 -days 2 -subj /CN={ca} {NEW_KEY} -keyout {ca}.key -out {ca}.pem")
        self.sign("server", "ca", "IP:127.0.0.1")
        self.sign("client", "ca", "DNS:client")
        self.sign("stranger", "theirs", "DNS:client")
        self.tls = f"--tls --cacert {self.path('ca.pem')} --cert {self.path('client.pem')} --key {self.path('client.key')}"
        self.ports = [free_port() for _ in range(NODES)]
        self.listen = free_port()
        for n in range(NODES):
            self.start_node(n)
        self.must(f"redis-cli {self.tls} --cluster create " + " ".join(f"127.0.0.1:{p}" for p in self.ports) +
                  " --cluster-replicas 0 --cluster-yes")
        until("the Cluster is whole", self.is_whole)
        self.ids = [self.cli(n, "CLUSTER", "MYID") for n in range(NODES)]
        self.accounts = [next(a for a in NAMES if self.owner(a) == n) for n in range(NODES)]
        self.configure()

    def sign(self, name, ca, names):
        self.must(f"openssl req -new -subj /CN={name} {NEW_KEY} -keyout {name}.key -out csr && "
                  f"echo subjectAltName={names} >names && openssl x509 -req -in csr -CA {ca}.pem -CAkey {ca}.key "
                  f"-CAcreateserial -extfile names -days 2 -out {name}.pem")

    # -- the Cluster --

    def start_node(self, n):
        os.makedirs(self.path(f"node{n}"))
        self.start(f"node{n}", "redis-server", "--port", "0", "--tls-port", str(self.ports[n]), "--bind", "127.0.0.1",
                   "--dir", self.path(f"node{n}"), "--cluster-enabled", "yes", "--cluster-port", str(free_port()),
                   "--tls-cluster", "yes", "--tls-replication", "yes", "--tls-auth-clients", "yes",
                   "--tls-cert-file", self.path("server.pem"), "--tls-key-file", self.path("server.key"),
                   "--tls-ca-cert-file", self.path("ca.pem"), "--save", "", "--appendonly", "yes",
                   "--maxmemory-policy", "noeviction")
        self.until_up(f"node{n}", lambda: self.cli(n, "PING") == "PONG")

    def cli(self, n, *words):
        done = subprocess.run(["redis-cli", *self.tls.split(), "-p", str(self.ports[n]), *map(str, words)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env,
                              timeout=60)
        return done.stdout.decode().strip()

    def is_whole(self):
        return all("cluster_state:ok" in self.cli(n, "CLUSTER", "INFO") for n in range(NODES))

    def slot(self, account):
        return int(self.cli(0, "CLUSTER", "KEYSLOT", f"purgeline:{{{account}}}:lease"))

    def owner(self, account):
        """The node that says that it has the account's slot."""
        for n in range(NODES):
            if not self.cli(n, "EXISTS", f"purgeline:{{{account}}}:lease").startswith("MOVED"):
                return n
        raise AssertionError(f"nobody has {account}")

    def move(self, account):
        """Moves the slot of the account to another node, as redis-cli --cluster reshard does."""
        slot, source = self.slot(account), self.owner(account)
        target = (source + 1) % NODES
        self.cli(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.ids[source])
        self.cli(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.ids[target])
        while keys := self.cli(source, "CLUSTER", "GETKEYSINSLOT", slot, 100).split():
            told = self.cli(source, "MIGRATE", "127.0.0.1", self.ports[target], "", 0, 60000, "KEYS", *keys)
            if told not in ("OK", "NOKEY"):
                raise AssertionError(told)
        for n in (target, source, *range(NODES)):
            self.cli(n, "CLUSTER", "SETSLOT", slot, "NODE", self.ids[target])
        if self.owner(account) != target:
            raise AssertionError(f"{account} has not moved")

    # -- purgeline --

    def url(self):
        return "rediss+cluster://" + ",".join(f"127.0.0.1:{p}" for p in self.ports)

    def configure(self):
        text = CONFIG.format(redis=self.url(), dir=self.dir, listen=self.listen,
                             digest=hashlib.sha256(TOKEN.encode()).hexdigest(), names=", ".join(self.accounts))
        for n, name in enumerate(self.accounts):
            text += ACCOUNT.format(name=name, service=service_of(n), api=self.api, ca=self.env["SANDBOX_CA"])
        self.write("purgeline.yaml", text)

    def post(self, account, key):
        body = json.dumps({"keys": [key]}).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.listen}/v1/purge?account={account}", body,
                                       {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60) as reply:
            return reply.status

    def purged(self, key):
        """How often the sandbox has purged the key."""
        with open(self.env["SANDBOX_LOG"]) as log:
            requests = [json.loads(line) for line in log if line.endswith("\n")]
        return sum(r["status"] == 200 and key in (r.get("keys") or []) for r in requests)

    def await_purged(self, *keys):
        for key in keys:
            until(f"{key} is purged", lambda: self.purged(key))


class Pusher:
    """A program that is linked with the shared library."""

    def __init__(self, w, account):
        self.child = subprocess.Popen(
            [PUSHER, w.url(), account], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            bufsize=1, env={**w.env, "PURGELINE_REDIS_TLS_CA_FILE": w.path("ca.pem"),
                            "PURGELINE_REDIS_TLS_CERT_FILE": w.path("client.pem"),
                            "PURGELINE_REDIS_TLS_KEY_FILE": w.path("client.key")})

    def push(self, line):
        self.child.stdin.write(line + "\n")
        return self.child.stdout.readline().strip()

    def close(self):
        self.child.stdin.close()
        return self.child.wait(60)


def accounts_of_all_nodes_are_purged(w, score):
    w.start("purgeline", "purgeline", "run")
    until("all accounts are led", lambda: w.log("purgeline").count(LEADS) == NODES)
    for a in w.accounts:
        code, told = w.run(f"purgeline push --account {a} --wait=60s command-{a}")
        score.ok(code == 0, f"{a}: a command pushes over TLS, and the daemon purges", code, told)
        until("the endpoint accepts", lambda: w.post(a, f"http-{a}") == 202)
    w.await_purged(*[f"http-{a}" for a in w.accounts])
    score.ok(True, "the endpoint pushes over TLS, and the daemon purges")
    code, told = w.run("purgeline check")
    score.ok("the Cluster is up: 3 masters have 16384 of 16384 slots" in told and "fail  redis" not in told,
             "check reaches all nodes over TLS", code, told)


def slots_move(w, score):
    away = w.log("purgeline").count("Redis is away")
    for a in w.accounts:
        w.move(a)
        code, told = w.run(f"purgeline push --account {a} --wait=60s moved-{a}")
        score.ok(code == 0, f"{a}: moved to another node, a job is pushed and purged", code, told)
        score.ok(w.post(a, f"moved-http-{a}") == 202, f"{a}: the endpoint follows, too")
    w.await_purged(*[f"moved-http-{a}" for a in w.accounts])
    score.ok(w.log("purgeline").count("Redis is away") == away, "no connection was reported as lost", w.log("purgeline"))


def the_library_follows(w, score):
    a = w.accounts[0]
    p = Pusher(w, a)
    first = p.push("library-1")
    w.move(a)
    second = p.push("library-2")
    many = p.push("/1000 library-3")
    w.move(a)
    more = p.push("/1000 library-4")
    score.ok(first.startswith("normal-") and second.startswith("normal-"),
             "the library pushes before and after the slot of its account has moved", first, second)
    score.ok(many == more == "1000 accepted", "so it does with many jobs at once", many, more)
    score.ok(p.close() == 0, "the library's program ends well")
    w.await_purged(*[f"library-{n}" for n in range(1, 5)])
    score.ok(True, "what the library has pushed is purged")


def strangers_are_kept_out(w, score):
    text = open(w.path("purgeline.yaml")).read()
    for what, old, new, words in (("a client certificate of another CA", "client.", "stranger.", "unknown ca"),
                                  ("another CA", "dir}/ca.pem", "dir}/theirs.pem", "certificate verify failed"),
                                  ("no TLS", "rediss+cluster", "redis+cluster", "TLS")):
        old, new = (word.replace("dir}", w.dir) for word in (old, new))
        if old not in text:
            raise AssertionError(old)
        w.write("strange.yaml", text.replace(old, new))
        code, told = w.run(f"purgeline status --config strange.yaml --account {w.accounts[0]}")
        score.ok(code in (2, 3) and words in told, f"{what}: refused, and said why", code, told)


def main():
    skip_without("redis-server", "redis-cli", "nginx", "varnishd", "curl", "openssl")
    score = Score()
    w = World()
    try:
        for story in (accounts_of_all_nodes_are_purged, slots_move, the_library_follows, strangers_are_kept_out):
            try:
                story(w, score)
            except (AssertionError, OSError, subprocess.SubprocessError) as wrong:
                score.ok(False, story.__name__, repr(wrong), w.log("purgeline") if w.children.get("purgeline") else "")
                break
    finally:
        w.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
