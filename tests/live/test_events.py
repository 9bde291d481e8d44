#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Purge-alls that others have sent are seen in Fastly's event log, as far as the token may read it."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from sandbox_world import SandboxWorld, play  # noqa: E402
from stage import SERVICE, until  # noqa: E402

FOUND = "Somebody else has purged all of a service"
DENIED = "The token may not read Fastly's event log"


class World(SandboxWorld):
    def __init__(self):
        super().__init__()
        self.settings_by_environment(PURGELINE_ALLOW_PURGE_ALL="true", PURGELINE_READS_PURGE_ALLS_EVERY_S="1")

    def account(self):
        return json.loads(self.stage.run("purgeline status --json")[1])["accounts"][0]

    def found(self):
        """What the leader has found; None: the token may not read the log."""
        return (self.account()["dispatcher"] or {}).get("others_purge_alls")

    def asked(self):
        with open(self.stage.env["SANDBOX_LOG"]) as log:
            return sum("events?filter" in line for line in log)

def test_others(w):
    w.fault(superuser=1)
    w.start_daemon("--log-level", "debug")
    w.stage.must("purgeline push --wait --all")
    seen = w.asked()
    until("the log was read since", lambda: w.asked() > seen + 1)
    w.score.ok(w.found() == 0, "our own purge-all is not counted", w.found(), w.log(FOUND))
    w.fault(others_purge_all=2)
    until("they are found", lambda: w.found() == 2)
    lines = w.log(FOUND)
    w.score.ok(len(lines) == 2 and all(f"service={SERVICE}" in line and "on_our_budget=no" in line for line in lines),
               "each is told once", lines)
    told = w.stage.run("purgeline status")[1]
    w.score.ok(re.search(r"others +2 purge-alls in the last hour that purgeline did not send", told), "status tells people", told)
    metrics = w.ask("/metrics")[1]
    w.score.ok('purgeline_others_purge_alls{account="main"} 2' in metrics, "a metric has the number",
               [line for line in metrics.splitlines() if "others" in line])


def test_same_user(w):
    """Fastly's limit for writes is one of each user, so those of the same user leave less for us."""
    def spent():
        return int(re.search(r'^purgeline_budget_spent_total{account="main",ledger="write"} (\d+)$', w.ask("/metrics")[1], re.M)[1])

    w.score.ok(spent() == 1, "those of other users do not count", spent())
    w.fault(user_purge_all=3)
    until("they are found", lambda: w.found() == 5)
    until("they are on the write budget", lambda: spent() >= 4)
    seen = w.asked()
    until("the log was read since", lambda: w.asked() > seen + 1)
    w.score.ok(spent() == 4 and len(w.log(FOUND)) == 5 and sum("on_our_budget=yes" in line for line in w.log(FOUND)) == 3,
               "purge-alls of the same user count once", spent(), w.log(FOUND))


def test_denied(w):
    """A token that may not read the log is told so once, and not asked again on that day, by no instance."""
    w.fault(superuser=0)
    until("Fastly has refused", lambda: w.found() is None)
    reads = w.account()["reads"]["events"]
    w.score.ok(23 * 3600000 < reads["held_ms"] <= 24 * 3600000 and len(w.log(DENIED)) == 1 and " debug " in
               w.log(DENIED)[0], "it is told at debug level", reads, w.log(DENIED))
    asked = w.asked()
    metrics = w.ask("/metrics")[1]
    w.score.ok("purgeline_others_purge_alls{" not in metrics, "there is no number then", metrics[:300])
    w.stage.stop("daemon")
    w.start_daemon("--log-level", "debug")
    until("the next leader wanted to ask", lambda: w.account()["reads"]["events"]["refused"] > reads["refused"])
    w.score.ok(w.asked() == asked and not re.search(r"others +\d", w.stage.run("purgeline status")[1]),
               "a restart does not ask again", asked, w.asked())


if __name__ == "__main__":
    play(World, (test_others, test_same_user, test_denied))
