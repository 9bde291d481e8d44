#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Jobs that wait for their origin: with the origin of the sandbox, which publishes a version after a set time, and with
origins that are not what they should be."""
import hashlib
import http.server
import json
import os
import sys
import threading
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from sandbox_world import NEVER_MS, SandboxWorld, play  # noqa: E402
from stage import SERVICE, free_port, until  # noqa: E402



class Origin(http.server.BaseHTTPRequestHandler):
    """An origin whose pages are traps."""
    protocol_version = "HTTP/1.1"
    seen = []  # headers of each request

    def do_GET(self):
        Origin.seen.append((self.path, dict(self.headers)))
        getattr(self, self.path.strip("/").split("?")[0])()

    def say(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def redirect(self):
        self.say(302, Location="/good")

    def good(self):
        self.say(200, b"version 17", X_Version="17")

    def early(self):
        """The text is at the end of the first 64 KiB of a body that does not end."""
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.wfile.write(b"x" * (65536 - 10) + b"version 17")
            for _ in range(10000):
                self.wfile.write(b"x" * 65536)
        except OSError:
            pass
        self.close_connection = True

    def late(self):
        self.say(200, b"x" * (65536 - 9) + b"version 17")

    def twice(self):
        self.send_response(200)
        self.send_header("X-Tag", "blue")
        self.send_header("X-Tag", "green")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class World(SandboxWorld):
    def __init__(self):
        super().__init__()
        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
        self.web.daemon_threads = True
        threading.Thread(target=self.web.serve_forever, daemon=True).start()
        self.origin_port = self.web.server_address[1]
        self.trap = f"http://127.0.0.1:{self.origin_port}"
        self.origin = self.stage.env["SANDBOX_ORIGIN"]
        self.api = self.stage.env["SANDBOX_API"]
        self.configure()
        self.start_daemon()

    def configure(self, more="", top=""):
        self.stage.write("purgeline.yaml", f"""
data_dir: {self.stage.path("data")}
listen: 127.0.0.1:{self.port}
accounts:
  - api: {self.api}
    ca_file: {self.stage.env["SANDBOX_CA"]}
    services: [{{id: {SERVICE}}}]
    origins: ["{self.origin}", "{self.trap}", "http://localhost:{self.origin_port}", "{self.api}"]
    origin_asks_per_s: 100
{more}
{top}
""")
        self.stage.env["PURGELINE_CONFIG"] = self.stage.path("purgeline.yaml")

    def http(self, method, path, body=None, **headers):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", method=method,
                                         data=json.dumps(body).encode() if body else None,
                                         headers={name.replace("_", "-"): value for name, value in headers.items()})
        try:
            with urllib.request.urlopen(request, timeout=60) as reply:
                return reply.status, json.loads(reply.read() or "{}")
        except urllib.error.HTTPError as refused:
            text = refused.read()
            return refused.code, json.loads(text) if text.startswith(b"{") else {"detail": text.decode()}
        except OSError as away:
            return 0, {"detail": str(away)}

    def push(self, when, **job):
        status, told = self.http("POST", "/v1/purge", {"keys": ["article-17"], "when": when, **job})
        assert status == 202, told
        return told["job"]

    def state(self, job):
        return self.http("GET", f"/v1/jobs/{job}")[1]

    def purges(self):
        with open(self.stage.env["SANDBOX_LOG"]) as log:
            return [line for line in map(json.loads, log) if line["kind"] == "keys"]

    def asked(self, path):
        return [headers for asked, headers in Origin.seen if asked == path]


def test_a_purge_waits_for_its_origin(w):
    w.fault(publish_ms=NEVER_MS)
    when = {"url": w.origin + "/article/17", "header": "X-Version", "at_least": 2}
    job, other = w.push(when), w.http("POST", "/v1/purge", {"keys": ["home"]})[1]["job"]
    w.equal(w.ended(other)["state"], "purged", "another job does not wait")
    w.equal(w.state(job)["state"], "waiting", "the job waits while its origin has the old version")
    w.equal(until("GET names the origin", lambda: w.state(job).get("origin")), w.origin + "/article/17",
            "GET says whom it waits for")
    step = until("the timeline says what was seen", lambda: next(
        (s for s in w.state(job)["timeline"] if s["step"] == "origin" and "seen" in s), None))
    w.ok("still answers X-Version: 1 (wanted at least 2)" in step["seen"], "the leader says what the origin shows", step)
    w.ok(step["until"] > time.time() * 1000, "and until when the job waits for it", step)
    told = until("the status says what was seen", lambda: (lambda s: s if "wanted" in s else None)(
        w.stage.run("purgeline status")[1]))
    w.ok("jobs that wait for it: 1: " + w.origin + "/article/17 still answers X-Version: 1 (wanted at least 2)" in
         " ".join(told.split()),
         "status says what the origin shows", told)
    w.fault(publish_ms=0)
    w.equal(w.ended(job)["state"], "purged", "and goes when the origin has the new one")
    w.equal([p["keys"] for p in w.purges()], [["home"], ["article-17"]], "each was purged once, in this order")


def test_too_late(w):
    job = w.push({"url": w.origin + "/article/17?secret", "header": "X-Version", "at_least": 99, "within": 1500})
    told = w.ended(job)
    w.equal((told["state"], told["reason"]), (
        "dead", f"origin: {w.origin}/article/17 still answers X-Version: 2 (wanted at least 99) after 1500 ms"),
        "what was seen last is said, without the query")


def test_a_restart(w):
    job = w.push({"url": w.origin + "/article/17", "header": "X-Version", "at_least": 3})
    w.stage.stop("daemon", kill=True)
    w.fault(publish_ms=0)
    w.start_daemon()
    w.equal(w.ended(job)["state"], "purged", "a job that waited when the daemon was killed goes after its restart")


def test_deleting(w):
    job = w.push({"url": w.origin + "/article/17", "header": "X-Version", "at_least": 99})
    before = len(w.purges())
    w.equal(w.http("DELETE", f"/v1/jobs/{job}")[1]["state"], "cancelled", "a waiting job can be cancelled")
    w.equal(w.state(job)["state"], "cancelled", "and has a receipt")
    w.equal(len(w.purges()), before, "nothing was sent for it")


def end_of(w, when, **job):
    told = w.ended(w.push({"within": 1500, **when}, **job))
    return told["state"], told.get("reason", "")


def test_what_the_origin_answers(w):
    w.equal(end_of(w, {"url": w.trap + "/early", "contains": "version 17"})[0], "purged",
            "a text at the end of the first 64 KiB is found, and no more is read")
    state, why = end_of(w, {"url": w.trap + "/late", "contains": "version 17"})
    w.ok(state == "dead" and "lacks the text" in why, "a text that ends beyond 64 KiB is not", state, why)
    state, why = end_of(w, {"url": w.trap + "/redirect", "header": "x-version", "equals": "17"})
    w.ok(state == "dead" and "status 302" in why, "a redirect is not followed", state, why)
    w.equal(len(w.asked("/good")), 0, "nobody asked for where it leads")
    w.equal(end_of(w, {"url": w.trap + "/redirect", "status": 302})[0], "purged", "but it can be what is wanted")
    w.equal(end_of(w, {"url": w.trap + "/twice", "header": "x-tag", "equals": "blue, green"})[0], "purged",
            "a header that comes twice has both values")
    w.equal(end_of(w, {"url": w.trap + "/good?a=%2F&b=..", "header": "x-version", "at_least": 17})[0], "purged",
            "a version that is there already lets the job go")
    w.equal(len(w.asked("/good?a=%2F&b=..")), 1, "after one question, byte for byte")


def test_who_may_be_asked(w):
    status, told = w.http("POST", "/v1/purge", {"keys": ["a"], "when": {"url": "https://origin.example/"}})
    w.equal((status, told.get("detail")), (400, "when: url: its host is not among the account's origins"),
            "a host that is not listed is refused")
    status, told = w.http("POST", "/v1/purge", {"keys": ["a"], "when": {"url": w.trap + "/good", "stats": 1}})
    w.equal((status, told.get("detail")), (400, "when: stats: unknown field; did you mean status?"),
            "a misspelt field is refused")
    state, why = end_of(w, {"url": f"http://localhost:{w.origin_port}/good"})
    w.ok(state == "dead" and "private and not allowed" in why,
         "a name that resolves to a private address is refused, though it is listed", state, why)
    state, why = end_of(w, {"url": w.api + "/", "status": 401})
    w.ok(state == "dead" and "certificate" in why.lower(), "certificates are verified, not by the API's ca_file", state,
         why)


def test_the_token_stays_here(w):
    w.ok(Origin.seen, "the origin was asked")
    names = {name.lower() for _, headers in Origin.seen for name in headers}
    w.equal(names, {"host", "user-agent", "accept", "cache-control"}, "an origin gets these headers and no token")


def test_push(w):
    before = len(w.purges())
    when = json.dumps({"url": w.trap + "/good", "header": "X-Version", "at_least": 17})
    told = w.stage.must(f"purgeline push --wait=30s --when '{when}' article-17")
    w.ok("purged" in told, "push --when waits for the origin", told)
    w.equal(len(w.purges()), before + 1, "and one purge was sent")
    code, told = w.stage.run("purgeline push --when '{\"url\":\"x\"}' article-17")
    w.equal((code, told.strip()), (2, "purgeline push: --when: url: expected https:// or http://"),
            "push explains what is wrong with --when")
    line = json.dumps({"keys": ["article-17"], "when": {"url": "https://origin.example/"}})
    code, told = w.stage.run(f"echo '{line}' | purgeline push -")
    w.ok(code == 1 and "when: url: its host is not among the account's origins" in told,
         "push refuses what the daemon would", told)


def test_drip(w):
    w.stage.write("keys", "".join(f"d{i}\n\n" for i in range(9)) + '{"keys": ["d9"], "not_before": 4000000000000}\n')
    told = w.stage.must("purgeline push --drip 9h --file keys")
    w.equal(len([line for line in told.splitlines() if line.startswith("normal-")]), 10, "push --drip pushes every line")
    key = "purgeline:{main}:postponed"
    socket = w.stage.path("data/redis.sock")
    told = until("9 jobs are postponed", lambda: (lambda t: t if len(t) == 18 else None)(
        w.stage.must(f"redis-cli -s {socket} ZRANGE '{key}' 0 -1 WITHSCORES").split()))
    due = [int(score) for score in told[1::2]]
    gaps = [b - a for a, b in zip(due, due[1:])]
    w.equal([round(gap / 60000) for gap in gaps[:-1]], [54] * 7, "evenly: a tenth of nine hours each")
    w.equal(due[-1], 4000000000000, "a job keeps its own not_before")
    told = json.loads(w.stage.run("purgeline plan --fresh --drip 9h --file keys --json")[1])
    w.equal((told["exceptions"]["postponed"], told["exceptions"]["beyond"]), (8, 1), "plan takes --drip as well")
    code, told = w.stage.run("purgeline push --drip 1h a")
    w.equal((code, told.strip()), (2, "purgeline push: --drip needs --file, and excludes --not-before"),
            "push explains what --drip needs")
    code, told = w.stage.run("cat keys | purgeline push --drip 1h --file -")
    w.equal((code, told.strip()), (2, "purgeline push: --drip: - cannot be read twice; name a file"),
            "a pipe cannot be read twice")


def test_a_reload(w):
    w.configure(f'    origin_ca_file: {w.stage.env["SANDBOX_CA"]}')
    job = w.push({"url": w.origin + "/article/17", "header": "X-Version", "at_least": 4})
    w.stage.signal("daemon", 1)
    w.equal(w.ended(w.push({"url": w.api + "/", "status": 401}))["state"], "purged",
            "origin_ca_file holds after a reload, and without a token the API answers 401")
    w.fault(publish_ms=0)
    w.equal(w.ended(job)["state"], "purged", "a job that waited during the reload goes")


def test_a_purge_all(w):
    port = free_port()
    w.configure(f"    allow_purge_all: true\n    purge_all_needs: http://127.0.0.1:{port}/good")
    w.stage.signal("daemon", 1)
    job = until("purge-alls are allowed", lambda: w.http("POST", "/v1/purge", {"all": True})[1].get("job"))
    log = until("the log says why it waits", lambda: [line for line in w.stage.log("daemon").splitlines()
                                                      if "A purge-all waits" in line])
    w.ok("does not answer" in log[0], "the log says what is wrong with the origin", log[0])
    w.equal(w.state(job)["state"], "waiting", "a purge-all waits while its origin is down")
    health = http.server.ThreadingHTTPServer(("127.0.0.1", port), Origin)
    health.daemon_threads = True
    threading.Thread(target=health.serve_forever, daemon=True).start()
    w.equal(w.ended(job)["state"], "purged", "and goes when it answers")
    health.shutdown()


def test_a_producer(w):
    digest = hashlib.sha256(b"cms-token").hexdigest()
    w.configure(top=f"""
producers:
  - {{name: cms, token_sha256: {digest}, origins: ["{w.trap}"]}}
""")
    w.stage.signal("daemon", 1)
    until("a token is wanted", lambda: w.http("POST", "/v1/purge", {"keys": ["a"]})[0] == 401)
    token = {"Authorization": "Bearer cms-token"}
    status, told = w.http("POST", "/v1/purge", {"keys": ["a"], "when": {"url": w.origin + "/article/17"}}, **token)
    w.equal((status, told.get("detail")), (403, "when: this producer may not ask this origin"),
            "an origin that the account allows, but not the producer, is refused")
    status, told = w.http("POST", "/v1/purge", {"keys": ["a"], "when": {"url": w.trap + "/good"}}, **token)
    w.equal(status, 202, "one that both allow is accepted")


if __name__ == "__main__":
    play(World, (test_a_purge_waits_for_its_origin, test_too_late, test_a_restart, test_deleting,
                 test_what_the_origin_answers, test_who_may_be_asked, test_the_token_stays_here, test_push, test_drip,
                 test_a_reload, test_a_purge_all, test_a_producer), needs=("nginx", "varnishd", "redis-server",
                 "openssl"))
