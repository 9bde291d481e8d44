#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A Redis Cluster of three masters and three replicas on loopback, and several accounts. Slots are moved and masters are
killed under traffic: every job that was accepted is purged after its last push, each has one receipt, and the budget is
never exceeded at Fastly.
"""
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import PATIENCE_S, ROOT, SERVICE, Score, Stage, ask, free_port, skip_without, until  # noqa: E402

# Two on each master, one in the lower half of its slots and one in the upper half.
ACCOUNTS = ["news", "travel", "blog", "site", "docs", "auth", "shop", "help", "jobs", "sport", "video", "wiki"]
NODES = 6
PASSWORD, TOKEN = "sesame", "a-producer-of-this-test"
BUDGET, PER_S = 200, 10
KEYS = 30  # per account; they are pushed again and again
LONG_S = 120

CONFIG = """redis: {redis}
redis_auth: {{password_env: CLUSTER_PASSWORD}}
redis_replicas: {replicas}
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
    receipt_ttl_s: 3600
    budget: {{purges: {purges}, per_s: {per_s}}}
"""


def service_of(account):
    return SERVICE[:-1] + "abcdefghijkl"[ACCOUNTS.index(account)]


class World(Stage):
    def __init__(self):
        super().__init__()
        services = [word for a in ACCOUNTS for word in ("--service", service_of(a))]
        self.fastly("--budget", "0", *services[2:], "--service", service_of(ACCOUNTS[0]))
        self.api = self.env.pop("PURGELINE_API")
        del self.env["PURGELINE_CA_FILE"]
        self.env.update(FASTLY_API_TOKEN="right-token", CLUSTER_PASSWORD=PASSWORD, REDISCLI_AUTH=PASSWORD,
                        PURGELINE_CONFIG=self.path("purgeline.yaml"))
        self.ports = [free_port() for _ in range(NODES)]
        self.buses = [free_port() for _ in range(NODES)]  # for what the nodes tell each other
        self.listen = free_port()
        for n in range(NODES):
            self.start_node(n)
        self.must("redis-cli --cluster create " + " ".join(f"127.0.0.1:{p}" for p in self.ports) +
                  " --cluster-replicas 1 --cluster-yes")
        until("the Cluster is whole", self.is_whole)
        self.configure(0)

    # -- the Cluster --

    def start_node(self, n):
        os.makedirs(self.path(f"node{n}"), exist_ok=True)
        self.start(f"node{n}", "redis-server", "--port", str(self.ports[n]), "--bind", "127.0.0.1", "--dir",
                   self.path(f"node{n}"), "--cluster-enabled", "yes", "--cluster-port", str(self.buses[n]),
                   "--cluster-node-timeout", "5000", "--cluster-replica-validity-factor", "0", "--appendonly", "yes",
                   "--save", "", "--repl-diskless-sync-delay", "0", "--maxmemory-policy", "noeviction",
                   "--requirepass", PASSWORD, "--masterauth", PASSWORD)
        self.until_up(f"node{n}", lambda: self.cli(n, "PING") == "PONG")

    def cli(self, n, *words):
        try:
            done = subprocess.run(["redis-cli", "-p", str(self.ports[n]), *map(str, words)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env, timeout=10)
        except subprocess.TimeoutExpired:
            return "(frozen)"
        return done.stdout.decode().strip()

    def alive(self):
        return [n for n in range(NODES) if f"node{n}" in self.children]

    def is_whole(self):
        return all("cluster_state:ok" in self.cli(n, "CLUSTER", "INFO") for n in self.alive())

    def list_of_nodes(self):
        for n in self.alive():
            words = [line.split() for line in self.cli(n, "CLUSTER", "NODES").splitlines()]
            if words and all(len(w) > 7 and ":" in w[1] for w in words):
                return words
        return None  # all of them are loading, for example

    def nodes(self):
        """Index, id, flags and state of each node, as a living one sees them."""
        words = until("a node lists the nodes", self.list_of_nodes)
        return [(self.ports.index(int(w[1].split("@")[0].split(":")[1])), w[0], w[2], w[7], w[8:]) for w in words]

    def slot(self, account):
        told = (self.cli(n, "CLUSTER", "KEYSLOT", f"purgeline:{{{account}}}:lease") for n in self.alive())
        return next((slot for slot in told if slot.isdigit()), None)

    def owner(self, account):
        slot = until("a node computes the slot", lambda: self.slot(account))
        for node, _, flags, _, slots in self.nodes():
            for s in slots:
                first, _, last = s.partition("-")
                if "master" in flags and "fail" not in flags and not s.startswith("[") and \
                        int(first) <= int(slot) <= int(last or first):
                    return node
        return None

    def masters(self):
        return [node for node, _, flags, _, slots in self.nodes() if "master" in flags and "fail" not in flags and slots]

    def is_in_sync(self):
        """Whether each master has a replica that has everything."""
        for n in self.masters():
            if "state=online" not in self.cli(n, "INFO", "replication"):
                return False
        return self.is_whole()

    def anywhere(self, account, *words):
        """A command on the node that has the account."""
        node = until("somebody has the account", lambda: self.owner(account) is not None and [self.owner(account)])
        return self.cli(node[0], *words)

    # -- purgeline --

    def configure(self, replicas):
        seeds = ",".join(f"127.0.0.1:{p}" for p in [free_port()] + self.ports)
        text = CONFIG.format(redis=f"redis+cluster://{seeds}", replicas=replicas, listen=self.listen,
                             digest=hashlib.sha256(TOKEN.encode()).hexdigest(), names=", ".join(ACCOUNTS))
        for a in ACCOUNTS:
            text += ACCOUNT.format(name=a, service=service_of(a), api=self.api, ca=self.env["SANDBOX_CA"],
                                   purges=BUDGET, per_s=PER_S)
        self.write("purgeline.yaml", text)

    def start_daemon(self):
        self.start("purgeline", "purgeline", "run")
        until("all accounts are led", lambda: self.log("purgeline").count("leads the account") >= len(ACCOUNTS))
        until("the endpoint is ready", lambda: self.ready()[0] == 200)

    def ready(self):
        return ask(f"http://127.0.0.1:{self.listen}/readyz")

    def said(self, text):
        return self.log("purgeline").count(text)

    def left(self, account):
        told = self.anywhere(account, "EVAL", "local n = 0; for i = 1, 3 do n = n + redis.call('XLEN', KEYS[i]) end; "
                             "return n", 3, *[f"purgeline:{{{account}}}:jobs:{lane}" for lane in
                                              ("urgent", "normal", "bulk")])
        return int(told) if told.isdigit() else None

    def requests(self):
        with open(self.env["SANDBOX_LOG"]) as log:
            return [json.loads(line) for line in log if line.endswith("\n")]


class Traffic:
    """Pushes the same keys of all accounts again and again, over HTTP and with a command that goes on."""

    def __init__(self, w):
        self.w = w
        self.lock = threading.Lock()
        self.last = {}  # (account, key): when the last push that was accepted began
        self.jobs = []  # (account, job)
        self.unknown = 0
        self.over = False
        self.threads = [threading.Thread(target=self.post, args=(a, n), daemon=True) for n, a in enumerate(ACCOUNTS)]
        self.threads += [threading.Thread(target=self.stream, args=(a,), daemon=True) for a in ACCOUNTS[:3]]
        for t in self.threads:
            t.start()

    def accepted(self, account, key, begun, job):
        with self.lock:
            self.last[account, key] = max(begun, self.last.get((account, key), 0))
            self.jobs.append((account, job))

    def count(self):
        with self.lock:
            return len(self.jobs)

    def post(self, account, seed):
        dice = random.Random(seed)
        while not self.over:
            key = f"{account}-{dice.randrange(KEYS)}"
            begun = time.time()
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.w.listen}/v1/purge", method="POST",
                data=json.dumps({"account": account, "keys": [key]}).encode(),
                headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=60) as reply:
                    job = json.loads(reply.read())["job"]
                self.accepted(account, key, begun, job)
            except urllib.error.HTTPError as refused:
                with self.lock:
                    self.unknown += 1
                    self.why = refused.code, refused.read()
            except OSError as away:
                with self.lock:
                    self.unknown += 1
                    self.why = away
            time.sleep(0.02)

    def stream(self, account):
        command = subprocess.Popen(["purgeline", "push", "--account", account, "-"], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self.w.env, text=True)
        dice = random.Random(account)
        while not self.over:
            pushed = [(f"{account}-{dice.randrange(KEYS)}", time.time()) for _ in range(dice.randrange(1, 30))]
            command.stdin.write("".join(f"{key}\n" for key, _ in pushed))
            command.stdin.flush()
            for key, begun in pushed:
                job = command.stdout.readline().strip()
                if job and not job.startswith("error"):
                    self.accepted(account, key, begun, job)
            time.sleep(0.05)
        command.stdin.close()
        command.wait()

    def stop(self):
        self.over = True
        for t in self.threads:
            t.join()


# -- what must be true after any traffic --


def never_above(requests, account):
    """The largest cost within any window of the budget."""
    spent = sorted((r["t"], r["cost"]) for r in requests if r.get("service") == service_of(account))
    most = first = total = 0
    for t, cost in spent:
        total += cost
        while spent[first][0] <= t - PER_S:
            total -= spent[first][1]
            first += 1
        most = max(most, total)
    return most


def check_all(w, score, traffic, what):
    traffic.stop()
    for a in ACCOUNTS:
        until(f"all jobs of {a} have ended", lambda a=a: w.left(a) == 0, LONG_S)
    requests = w.requests()
    purged = {}
    for r in requests:
        for key in r.get("keys") or []:
            if r["status"] == 200:
                purged[key] = max(r["t"], purged.get(key, 0))
    late = [key for (_, key), begun in traffic.last.items() if purged.get(key, 0) < begun]
    score.ok(not late, f"{what}: each of {len(traffic.last)} keys was purged after its last push", late)
    lost = []
    for a in ACCOUNTS:
        jobs = {job for account, job in traffic.jobs if account == a}
        receipts = w.must(f"redis-cli -p {w.ports[w.owner(a)]} --scan --pattern 'purgeline:{{{a}}}:receipt:*'").split()
        lost += sorted(jobs - {r.split(":receipt:")[1] for r in receipts})
    score.ok(not lost, f"{what}: each of {len(traffic.jobs)} accepted jobs has its receipt", len(lost), lost[:20])
    most = {a: never_above(requests, a) for a in ACCOUNTS}
    score.ok(max(most.values()) <= BUDGET, f"{what}: no window above the budget of {BUDGET}", most)


# -- the stories --


def accounts_are_on_several_nodes(w, score):
    w.start_daemon()
    owners = {w.owner(a) for a in ACCOUNTS}
    until("all jobs of the old server are purged", lambda: all(w.left(a) == 0 for a in ACCOUNTS))
    score.ok(len(owners) == 3, "the accounts are spread over all masters", owners)
    for a in ACCOUNTS:
        code, told = w.run(f"purgeline push --account {a} --wait=50s first-{a}")
        score.ok(code == 0, f"a job of {a} is purged", told)
    elsewhere = next(n for n in w.masters() if n != w.owner(ACCOUNTS[0]))
    code, told = w.run(f"purgeline push --redis redis://127.0.0.1:{w.ports[elsewhere]} --account {ACCOUNTS[0]} --key k")
    score.ok(code != 0 and "name it with redis+cluster://" in told, "an address of one node is explained", code, told)
    until("all is well", lambda: w.run("purgeline status --json")[0] == 0)
    score.ok(True, "status says that all accounts are well")
    code, told = w.run("purgeline check")
    score.ok("the Cluster is up: 3 masters have 16384 of 16384 slots" in told, "check counts masters and slots", told)
    score.ok(all(f"its keys are on 127.0.0.1:{w.ports[w.owner(a)]} (slot " in told for a in ACCOUNTS),
             "check says where each account is", told)
    score.ok("may lose what was accepted in the last moments" in told, "check says what can be lost", told)


def from_one_server_to_the_cluster(w, score):
    """With the commands of deploy/redis.md."""
    with open(os.path.join(ROOT, "deploy/redis.md")) as document:
        if "redis-cli --cluster import h1:6379 --cluster-from old:6379 " not in document.read():
            raise AssertionError("deploy/redis.md has another command for the move")
    port = free_port()
    os.mkdir(w.path("old"))
    w.start("old", "redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", w.path("old"), "--requirepass",
            PASSWORD, "--maxmemory-policy", "noeviction")
    until("the old server answers", lambda: "PONG" in w.run(f"redis-cli -p {port} PING")[1])
    for a in ACCOUNTS:
        for n in range(5):
            w.must(f"purgeline push --redis redis://127.0.0.1:{port} --account {a} --key old-{a}-{n}")
    w.must(f"redis-cli --cluster import 127.0.0.1:{w.ports[0]} --cluster-from 127.0.0.1:{port} -a {PASSWORD} "
           f"--cluster-from-pass {PASSWORD}")
    score.ok(w.must(f"redis-cli -p {port} DBSIZE").strip() == "0", "import: nothing is left on the old server")
    score.ok(all(w.left(a) == 5 for a in ACCOUNTS), "import: all jobs are in the Cluster")
    w.stop("old")


def half_of_the_slots_move(w, score):
    away = w.said("Redis is away")
    traffic = Traffic(w)
    until("there is traffic", lambda: traffic.count() > 100)
    begun = sorted(w.masters(), reverse=True)  # so that no slot moves twice
    before = {a: w.owner(a) for a in ACCOUNTS}
    ids = {node: name for node, name, *_ in w.nodes()}
    for n, source in enumerate(begun):
        target = begun[n - 1]
        until("the nodes agree", lambda s=source: w.run(f"redis-cli --cluster check 127.0.0.1:{w.ports[s]}")[0] == 0)
        w.must(f"redis-cli --cluster reshard 127.0.0.1:{w.ports[source]} --cluster-from {ids[source]} "
               f"--cluster-to {ids[target]} --cluster-slots 2730 --cluster-yes --cluster-pipeline 5 >/dev/null",
               10 * PATIENCE_S)
    moved = [a for a in ACCOUNTS if w.owner(a) != before[a]]
    count = traffic.count()
    until("traffic goes on", lambda: traffic.count() > count + 100)
    check_all(w, score, traffic, "slots move")
    score.ok(len(moved) == 5, "slots move: five of twelve accounts have moved", moved, before)
    score.ok(w.said("Redis is away") == away, "slots move: no connection was reported as lost", w.log("purgeline"))
    score.ok(traffic.unknown == 0, "slots move: no push was refused", traffic.unknown, getattr(traffic, "why", ""))


def masters_are_killed(w, score):
    w.stop("purgeline")
    w.configure(1)
    w.start_daemon()
    traffic = Traffic(w)
    until("there is traffic", lambda: traffic.count() > 100)
    for _ in range(2):
        until("each master has a replica in sync", w.is_in_sync)
        victim = w.owner(ACCOUNTS[0])
        lost = [a for a in ACCOUNTS if w.owner(a) == victim]
        w.stop(f"node{victim}", kill=True)
        for a in lost:
            until(f"another node has {a}", lambda a=a: w.owner(a) not in (None, victim))
        count = traffic.count()
        until("traffic goes on", lambda: traffic.count() > count + 200)
        w.start_node(victim)
    check_all(w, score, traffic, "masters die")


def without_a_quorum(w, score):
    """Two masters of three are frozen with their replicas, so that the third one says CLUSTERDOWN."""
    survivor = w.owner(ACCOUNTS[0])
    others = [n for n in range(NODES) if n != survivor]
    before = w.said("CLUSTERDOWN")
    for n in others:
        w.stop(f"node{n}")
    until("the survivor gives up", lambda: "cluster_state:fail" in w.cli(survivor, "CLUSTER", "INFO"))
    until("readiness shows it", lambda: w.ready()[0] == 503)
    until("the daemon says it of each account", lambda: w.said("CLUSTERDOWN") >= before + len(ACCOUNTS))
    code, told = w.run(f"purgeline push --account {ACCOUNTS[0]} --key never")
    score.ok(code != 0 and "CLUSTERDOWN" in told, "without a quorum a command says so", code, told)
    said = w.said("CLUSTERDOWN")
    code, told = w.run("purgeline check")
    score.ok(code != 0 and "the Cluster is down (CLUSTERDOWN)" in told, "check says that there is no quorum", told)
    score.ok(w.said("CLUSTERDOWN") == said, "the daemon does not repeat itself", w.log("purgeline"))
    for n in others:
        w.start_node(n)
    until("the Cluster is whole", w.is_whole)
    for a in ACCOUNTS:
        until("dispatch resumes", lambda a=a: w.run(f"purgeline push --account {a} --wait=5s again-{a}")[0] == 0)
    until("the endpoint is ready", lambda: w.ready()[0] == 200)
    score.ok(True, "with the quorum, dispatch resumes by itself")


def main():
    skip_without("redis-server", "redis-cli", "nginx", "varnishd")
    w, score = World(), Score()
    try:
        from_one_server_to_the_cluster(w, score)
        accounts_are_on_several_nodes(w, score)
        half_of_the_slots_move(w, score)
        masters_are_killed(w, score)
        without_a_quorum(w, score)
    except BaseException:
        if os.path.exists(w.path("purgeline.log")):
            print(w.log("purgeline")[-6000:])
        raise
    finally:
        w.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
