# SPDX-License-Identifier: MIT
"""Producers, and what became of what they pushed, judged from outside: by the answers that they got, the requests that
the sandbox received, and the receipts.
"""
import bisect
import collections
import http.client
import json
import random
import subprocess
import threading
import time

KEYS = 200
CLOCK_SLACK_S = 0.005  # times are rounded to milliseconds
PATIENCE_S = 10  # longer than an answer may take while Redis waits for its replicas

Job = collections.namedtuple("Job", "id key ref sent answered to")


class Ledger:
    """What was pushed, by all producers together."""

    def __init__(self, wanted):
        self.lock = threading.Lock()
        self.wanted = wanted
        self.pushed = 0
        self.accepted = []  # Jobs
        self.refused = collections.Counter()  # by HTTP status; 0: no answer
        self.stopped = False

    def take(self):
        """The name of the next push; None when enough was pushed."""
        with self.lock:
            if self.stopped or self.pushed >= self.wanted:
                return None
            self.pushed += 1
            return f"push-{id(self):x}-{self.pushed}"

    def accept(self, job, key, ref, sent, to):
        with self.lock:
            self.accepted.append(Job(job, key, ref, sent, time.time(), to))


def form_of(key, ref):
    return json.dumps({"keys": [key], "ref": ref})


class Producer(threading.Thread):
    """Posts to daemons in turn, at a constant rate unless answers take too long."""

    def __init__(self, ledger, host, addresses, port, token, per_s, seed):
        super().__init__(daemon=True)
        self.ledger, self.host, self.addresses, self.port, self.token = ledger, host, addresses, port, token
        self.per_s, self.rng = per_s, random.Random(seed)
        self.connections = {}

    def run(self):
        self.host.enter()
        due = time.monotonic()
        turn = 0
        while ref := self.ledger.take():
            self.post(self.addresses[turn % len(self.addresses)], ref)
            turn += 1
            now = time.monotonic()
            due = max(due + 1 / self.per_s, now - 1)
            if due > now:
                time.sleep(due - now)
        for connection in self.connections.values():
            connection.close()

    def post(self, address, ref):
        key = f"k{self.rng.randrange(KEYS)}"
        sent = time.time()
        try:
            status, body = self.ask(address, form_of(key, ref))
        except (OSError, http.client.HTTPException):
            self.connections.pop(address).close()
            status = 0
        if 200 <= status < 300:
            self.ledger.accept(json.loads(body)["job"], key, ref, sent, address)
            return
        with self.ledger.lock:
            self.ledger.refused[status] += 1

    def ask(self, address, body):
        if address not in self.connections:
            self.connections[address] = http.client.HTTPConnection(address, self.port, timeout=PATIENCE_S)
        self.connections[address].request("POST", "/v1/purge", body, {"Fastly-Key": self.token})
        reply = self.connections[address].getresponse()
        return reply.status, reply.read()


class Pusher(threading.Thread):
    """Pushes through `purgeline push -`: a line in, a line with the job's id out."""

    def __init__(self, ledger, child, per_s, seed):
        super().__init__(daemon=True)
        self.ledger, self.child, self.per_s, self.rng = ledger, child, per_s, random.Random(seed)
        self.odd = []  # lines that are no ids

    def run(self):
        due = time.monotonic()
        while ref := self.ledger.take():
            key = f"k{self.rng.randrange(KEYS)}"
            sent = time.time()
            self.child.stdin.write(f"{form_of(key, ref)}\n".encode())
            self.child.stdin.flush()
            line = self.child.stdout.readline().decode().strip()
            if line.startswith("normal-"):
                self.ledger.accept(line, key, ref, sent, "redis")
            else:
                self.odd.append(line)
            if not line:
                break
            now = time.monotonic()
            due = max(due + 1 / self.per_s, now - 1)
            if due > now:
                time.sleep(due - now)
        self.child.stdin.close()

    def end(self):
        """Its exit code; whoever calls this has set ledger.stopped or waited for the thread."""
        self.join(60)
        try:
            return self.child.wait(60)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return self.child.wait()


# -- judging --


def peak(requests, window_s):
    """The most that was spent in any window, which includes its begin but not its end."""
    spent = sorted((round(r["t"] * 1000), r["cost"]) for r in requests if r["cost"])
    most = total = first = 0
    for at, cost in spent:
        total += cost
        while at - spent[first][0] >= window_s * 1000:
            total -= spent[first][1]
            first += 1
        most = max(most, total)
    return most


def use(requests, intervals, window_s, budget, step_s=0.1):
    """How much of the budget is used on average, in all windows that lie within one of the intervals; None if no
    interval is that long."""
    spent = sorted((r["t"], r["cost"]) for r in requests if r["cost"])
    times = [at for at, _ in spent]
    sums = [0]
    for _, cost in spent:
        sums.append(sums[-1] + cost)
    shares = []
    for begin, end in intervals:
        at = begin
        while at + window_s <= end:
            shares.append((sums[bisect.bisect_left(times, at + window_s)] - sums[bisect.bisect_left(times, at)]) / budget)
            at += step_s
    return sum(shares) / len(shares) if shares else None


def purges_by_key(requests):
    purges = collections.defaultdict(list)
    for r in requests:
        if r["status"] == 200 and r["purged"]:
            for key in r.get("keys", []):
                purges[key].append(r["t"])  # "begin" may be too early when nginx was busy
    for times in purges.values():
        times.sort()
    return purges


def receipts_of(redis, jobs):
    """The receipt of each job, or None. Two masters at a time may give the same id to two jobs: the receipt is for the
    one that it names."""
    answers = redis.ask_many([("GET", "purgeline:{main}:receipt:" + job.id) for job in jobs])
    receipts = [json.loads(answer) if answer else None for answer in answers]
    return [receipt if receipt and receipt["ref"] == job.ref else None for job, receipt in zip(jobs, receipts)]


def is_purged(job, receipt, purges):
    """Whether the receipt is true: a request for the key arrived after the push and before the receipt."""
    times = purges[job.key]
    at = bisect.bisect_left(times, job.sent - CLOCK_SLACK_S)
    return receipt["state"] == "purged" and at < len(times) and times[at] <= receipt["at"] / 1000 + CLOCK_SLACK_S
