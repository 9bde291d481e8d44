#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Pages are looked at after their purges, at the sandbox's POPs: one that ignores purges, and a shield that is late.

No time is measured here (the simulator's stories do that): a POP ignores purges until it has been found out, or for ever.
"""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from sandbox_world import NEVER_MS, SandboxWorld, play  # noqa: E402
from stage import PATIENCE_S, ask, until  # noqa: E402



class World(SandboxWorld):
    def __init__(self):
        super().__init__("--pops")
        self.settings_by_environment(
            PURGELINE_VERIFY_PROBES=",".join(self.pops), PURGELINE_VERIFY_AFTER_MS="100", PURGELINE_VERIFY_ROUNDS="7",
            PURGELINE_VERIFY_PER_MINUTE="1000")

    def begin_push(self, *words):
        return self.begin("--wait", "--verify", *words)

    def ends(self, push, code, parts, sentence):
        told = push.communicate(timeout=PATIENCE_S)[0].decode()
        missing = [part for part in parts if part not in told]
        self.ok(push.returncode == code and not missing, sentence, f"exit code {push.returncode}", missing, told)
        return told


def test_fresh(w):
    w.fill("/article/1")
    w.ends(w.begin_push("http://www.example.com/article/1"), 0, ["purged", ", seen fresh\n"],
           "a page that all POPs have purged is seen fresh")
    w.ok(w.metric("purgeline_verified_total", ',result="fresh"') == 1, "… and counted")
    w.ok(w.metric("purgeline_verify_looks_total") >= len(w.pops), "… after a look at each POP")


def test_deaf_pop(w):
    w.fill("/article/2")
    w.fault(deaf="bos")
    push = w.begin_push("--ref", "two", "http://www.example.com/article/2")
    until("the page is purged again", lambda: w.metric("purgeline_verify_repairs_total") >= 1)
    w.fault(deaf="")
    told = w.ends(push, 0, [", seen fresh, after ", " more purge", ", stale for "],
                  "a POP that ignored a purge is found, purged again and seen fresh")
    job = re.search(r"^(normal-\S+) ", told, re.M).group(1)
    status, text = ask(f"http://127.0.0.1:{w.port}/v1/jobs/{job}")
    receipt = json.loads(text)
    w.ok(status == 200 and receipt.get("verified") == "fresh" and receipt.get("repairs") >= 1 and
         receipt.get("stale_ms") > 0, "the receipt says so over HTTP", text)
    log = w.stage.log("daemon")
    w.ok("Fastly serves a copy that is older than its purge" in log and "pop=BOS" in log, "the log names the POP", log)


def test_deaf_for_ever(w):
    w.fill("/article/3")
    w.fault(deaf="bom")
    w.ends(w.begin_push("http://www.example.com/article/3"), 1,
           [", still stale, after 6 more purges", "the copy is older than the purge, POP BOM"],
           "a POP that ignores all purges is given up")
    w.fault(deaf="")
    w.ok(w.metric("purgeline_verified_total", ',result="stale"') == 1, "… and counted, for the alert")
    w.ok("no more purges of it are tried" in w.stage.log("daemon"), "… and the log says what to do")
    w.ok(w.metric("purgeline_stale_seconds_count") == 2, "how long pages were stale is measured")
    until("status says it", lambda: re.search(r"verified .* 1 still stale", w.stage.must("purgeline status")))
    w.ok(True, "status says it")


def test_late_shield(w):
    w.fill("/article/4")
    w.fault(shield_late_ms=NEVER_MS)
    before = w.metric("purgeline_verify_repairs_total")
    push = w.begin_push("http://www.example.com/article/4")
    until("the page is purged again", lambda: w.metric("purgeline_verify_repairs_total") > before)
    w.fault(shield_late_ms=0)
    w.ends(push, 0, [", seen fresh, after "], "what a POP fetched from an unpurged shield is found and purged again")


def test_keys_have_no_page(w):
    code, told = w.stage.run("purgeline push --verify some-key")
    w.ok(code == 1 and "name one" in told, "a job with keys is refused", told)
    code, told = w.stage.run("purgeline push --verify-page www.example.com/ some-key")
    w.ok(code == 2 and "--verify-page: verify: url: expected https:// or http://" in told,
         "a page without a scheme is a wrong argument", told)


def test_page_of_a_key(w):
    w.fill("/article/8")
    w.fault(deaf="bos")
    before = w.metric("purgeline_verify_repairs_total")
    push = w.begin("--wait", "--verify-page", "http://www.example.com/article/8", "--key", "article-8", "no-page-has-this")
    until("the keys are purged again", lambda: w.metric("purgeline_verify_repairs_total") > before)
    w.fault(deaf="")
    w.ends(push, 0, [", seen fresh, after ", " more purge"], "the page of a key is looked at, and the keys are purged again")


def test_private_addresses(w):
    """Without probes, the page's own host is asked, and anybody may have named it."""
    w.stage.stop("daemon")
    w.stage.env["PURGELINE_VERIFY_PROBES"] = ""
    w.start_daemon()
    w.ends(w.begin_push(f"http://{w.pops[0]}/article/5"), 0, [", not verified: its host is not public"],
           "a host with a private address is not asked")
    with open(w.stage.env["SANDBOX_LOG"]) as log:
        leaks = [line for line in log if '"kind":"other"' in line and "article" in line]
    w.ok(leaks == [], "pages are not asked for at the API", leaks)


def test_stopping(w):
    """The look is not waited for when the daemon stops."""
    w.stage.stop("daemon")
    w.stage.env["PURGELINE_VERIFY_AFTER_MS"] = "600000"
    w.start_daemon()
    push = w.begin_push("http://www.example.com/article/6")
    until("the page waits to be looked at", lambda: w.metric("purgeline_verify_pending") == 1)
    w.stage.stop("daemon")
    w.ok("AddressSanitizer" not in w.stage.log("daemon"), "the daemon ends well", w.stage.log("daemon"))
    push.terminate()
    push.communicate()
    w.start_daemon()
    job = ask(f"http://127.0.0.1:{w.port}/v1/status")[1]
    w.ok(json.loads(job) is not None, "… and starts again", job)


def test_start(w):
    w.start_daemon()


if __name__ == "__main__":
    play(World, (test_start, test_fresh, test_deaf_pop, test_deaf_for_ever, test_late_shield,
                 test_keys_have_no_page, test_page_of_a_key, test_private_addresses, test_stopping))
