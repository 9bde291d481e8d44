#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Canaries: each fault that keeps purges from having an effect is played in the sandbox, and is told apart from the
others in the log, in purgeline status and in the metrics, once when it begins and once when it ends."""
import json
import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from sandbox_world import SandboxWorld, play  # noqa: E402
from stage import ask, until  # noqa: E402

CONFIG = """
redis: embedded
data_dir: {data}
listen: 127.0.0.1:{port}
accounts:
  - name: main
    api: {api}
    ca_file: {ca}
    services: [{{id: {service}, name: news}}]
canaries:
  - {{name: front, service: news, url: "{site}/article/canary", key: article-canary, every_s: 10}}
{more}"""
MORE = """  - {{name: keyless, url: "{site}/article/keyless", key: some-other-key, every_s: 10}}
  - {{name: nowhere, url: "http://127.0.0.1:{closed}/", key: k, every_s: 10}}
  - {{name: strange, url: "{origin}/article/strange", key: article-strange, every_s: 10}}
"""
OUTAGE = """  - {{name: cN, url: "{site}/article/cN", key: article-cN, every_s: 10}}
"""


class World(SandboxWorld):
    def __init__(self):
        super().__init__("--pops")
        self.closed = socket.socket()  # bound, and not listening: nobody else gets the port
        self.closed.bind(("127.0.0.1", 0))
        self.names = dict(self.settings_by_file(), origin=self.env["SANDBOX_ORIGIN"],
                          closed=self.closed.getsockname()[1])
        self.configure(MORE)

    def configure(self, more):
        more = more.format(**self.names)
        self.stage.write("purgeline.yaml", CONFIG.format(more=more, **self.names))

    def close(self):
        self.closed.close()
        return super().close()

    def dispatcher(self):
        code, told = self.stage.run("purgeline status --json")
        try:
            return json.loads(told)["accounts"][0]["dispatcher"] or {}
        except (ValueError, KeyError):
            return {}

    def shown(self):
        return {canary["canary"]: canary for canary in self.dispatcher().get("canaries", [])}

    def until_it_is(self, name, state):
        """Waits for that, and returns what the status says of it."""
        return until(f"{name} is {state}", lambda: self.shown().get(name, {}).get("state") == state and self.shown()[name])

    def until_ok(self, count):
        until(f"{count} canaries are ok", lambda: self.dispatcher().get("canaries_ok") == count)

    def log_of(self, name, state=None):
        lines = [line for line in self.stage.log("daemon").splitlines() if f" canary={name} " in line]
        return [line for line in lines if state is None or f"state={state} " in line]

    def told(self, sentence, found, *parts):
        text = f"{found['what']} -> {found['advice']}"
        self.score.ok(all(part in text for part in parts), sentence, text, parts)


def test_start(w):
    w.start_daemon()
    w.until_ok(1)
    w.score.ok(len(w.log_of("front")) == 1 and "A canary shows that purges work" in w.log_of("front")[0],
               "purges that work are told once", w.log_of("front"))


def test_budget(w):
    def same():
        spent = json.loads(w.stage.sandbox("state"))["budget"]["spent"]
        return spent and w.dispatcher().get("spent") == spent
    until("purgeline has counted what Fastly has", same)
    w.score.ok(True, "purges of canaries are on the budget")


def test_pages(w):
    """Canaries that have been wrong from the start."""
    found = w.until_it_is("keyless", "key")
    w.told("a key that is not on the page is told", found, "service news: the page", "/article/keyless",
           "does not carry the surrogate key some-other-key", "Surrogate-Key")
    found = w.until_it_is("nowhere", "page")
    w.told("a page that cannot be fetched is told", found, "cannot be fetched: ", "connect")
    found = w.until_it_is("strange", "blind")
    w.told("a page that shows nothing is told", found, "does not show whether purges work: the reply has no Age")
    told = w.stage.must("purgeline status || true")
    w.score.ok("  canaries      1 ok\n" in told and "  canary        service news: the page" in told and
               "                -> let the origin send the key" in told, "purgeline status shows them to people", told)
    metrics = ask(f"http://127.0.0.1:{w.port}/metrics")[1]
    states = dict(re.findall(r'^purgeline_canaries\{account="main",state="(\w+)"\} (\d+)$', metrics, re.M))
    tries = dict(re.findall(r'^purgeline_canary_tries_total\{account="main",kind="(\w+)"\} (\d+)$', metrics, re.M))
    w.score.ok((states["ok"], states["key"], states["page"], states["blind"], states["token"]) ==
               ("1", "1", "1", "1", "0") and int(tries["key"]) > 0 and int(tries["url"]) > 0,
               "the metrics count them", states, tries)
    w.score.ok([len(w.log_of(name)) for name in ("keyless", "nowhere", "strange")] == [1, 1, 1],
               "the log has each once, although they were tried again", w.stage.log("daemon")[-3000:])


def test_by_hand(w):
    code, told = w.stage.run("purgeline check --canary")
    w.score.ok(code == 1 and "ok    main canary: service news: purges by key and by URL refresh the canary page" in told and
               "fail  main canary: service news: the page " in told and "does not carry the surrogate key some-other-key" in told and
               "      -> let the origin send the key" in told and "cannot be fetched" in told and "the reply has no Age" in told,
               "check --canary does it once by hand", code, told)
    w.fault(status=403, kind="url", body="no")
    code, told = w.stage.run("purgeline check --canary --json")
    found = [json.loads(line) for line in told.splitlines()]
    w.score.ok(code == 1 and found[0]["grade"] == "fail" and "is refused (403" in found[0]["what"] and
               "FASTLYPURGE" in found[0]["remedy"], "… and tells what is wrong", code, told)
    w.fault(status=0)
    code, told = w.stage.run("purgeline check --canary -a none")
    w.score.ok(code == 2 and "none" in told, "an account that is not there is told", code, told)
    code, told = w.stage.run("PURGELINE_CONFIG= purgeline check --canary")
    w.score.ok(code == 2 and "no canary is configured" in told, "without a canary it says so", code, told)


def test_reload(w):
    w.configure("")
    w.stage.signal("daemon", 1)
    until("only front is left", lambda: w.shown() == {} and w.dispatcher().get("canaries_ok") == 1)
    w.score.ok(True, "a reload takes canaries away")


def cause_is(w, cause):
    return f'purgeline_brake_cause{{account="main",cause="{cause}"}} 1' in ask(f"http://127.0.0.1:{w.port}/metrics")[1]


HELD = "Fastly refuses the token: nothing is sent for this account, and its jobs are kept"


def token_holds(w, _):
    """Nothing is pushed: only the canary can see that the token is dead. That holds the account as if it had been a job."""
    until("the account is held", lambda: cause_is(w, "token refused"))
    told = w.stage.run("purgeline status")[1]
    w.score.ok("NOT SENDING: Fastly refuses the token (401)" in told and HELD in w.stage.log("daemon"),
               "status and log say that nothing is sent", told)


def service_holds_nobody(w, held):
    """A canary of a service that the token may not purge: jobs of the other services are sent."""
    w.score.ok(w.stage.log("daemon").count(HELD) == held, "a 403 for a canary holds nobody", w.stage.log("daemon")[-2000:])


def fault_is_told(w, state, sentence, parts, faults, end, check=None):
    before, held = len(w.log_of("front", state)), w.stage.log("daemon").count(HELD)
    w.fault(**faults)
    found = w.until_it_is("front", state)
    w.told(sentence, found, "service news: ", *parts)
    w.score.ok(len(w.log_of("front", state)) == before + 1 and "remedy=" in w.log_of("front", state)[-1], "… and once in the log",
               w.log_of("front"))
    if check:
        check(w, held)
    w.fault(**end)
    w.until_ok(1)
    w.score.ok(w.shown() == {}, "… and is over when it ends", w.shown())


def test_faults(w):
    before = len(w.log_of("front"))
    fault_is_told(w, "token", "a dead token is told", ["Fastly refuses the token (401", "put a valid token"],
                  {"unauthorized": 1}, {"unauthorized": 0}, token_holds)
    fault_is_told(w, "service", "a service that the token cannot reach is told", ["Fastly refuses its purges by key (403"],
                  {"forbidden": 1, "kind": "key,keys"}, {"forbidden": 0}, service_holds_nobody)
    fault_is_told(w, "vcl", "a refusal by VCL is told", ["/article/canary is refused (403", "FASTLYPURGE"],
                  {"status": 403, "kind": "url", "body": "no"}, {"status": 0})
    fault_is_told(w, "stale", "a POP that ignores purges is told",
                  ["neither purges by key nor by URL", "the POP AMS still serves a copy that is ", "--all-pops"],
                  {"deaf": "ams"}, {"deaf": ""})
    w.score.ok(len(w.log_of("front")) == before + 8, "nothing else was said of it", w.log_of("front"))


def test_outage(w):
    """Each of these pages is purged at once, and Fastly answers with errors: so many in a row are an outage."""
    w.fault(status=503)
    w.configure("".join(OUTAGE.replace("N", str(i)) for i in range(8)))
    w.stage.signal("daemon", 1)
    until("the account is held", lambda: cause_is(w, "outage"))
    said = w.stage.log("daemon")
    w.score.ok("Fastly cannot be reached or answers with errors" in said, "an outage that canaries see holds the account",
               said[-2000:])
    w.fault(status=0)
    w.configure("")
    w.stage.signal("daemon", 1)
    w.until_ok(1)


def test_throttled(w):
    """A 429 for a canary holds the account, for as long as Fastly says: nothing else is being sent."""
    w.fault(throttle=1, retry_after=3600)
    until("the account is held", lambda: 'purgeline_brake_cause{account="main",cause="throttled"} 1' in
          ask(f"http://127.0.0.1:{w.port}/metrics")[1])
    said = w.stage.log("daemon")
    wait = re.search(r"Fastly throttles this account \(429\).* wait_ms=(\d+)", said)
    w.score.ok(wait and int(wait.group(1)) > 3500000, "a 429 for a canary holds the account as long as it says", said[-2000:])


if __name__ == "__main__":
    play(World, (test_start, test_budget, test_pages, test_by_hand, test_reload, test_faults, test_outage,
                 test_throttled))
