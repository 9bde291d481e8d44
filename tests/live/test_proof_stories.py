#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Purges that were accepted and had no effect, as other projects have suffered them, and looks at pages that would have
raised a false alarm. Each is played at the sandbox's POPs, and the operator must be told in the log, the metrics and
purgeline status. More of them: test_canary.py, test_verify.py, test_when.py, test_doctor.py, test_bad_days.c.

No time is measured here. Where something must not happen before its time, that time is longer than the test."""
import datetime
import os
import re
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from sandbox_world import NEVER_MS, OLD_S, SandboxWorld, play  # noqa: E402
from stage import PATIENCE_S, until  # noqa: E402

CONFIG = """
redis: embedded
data_dir: {data}
listen: 127.0.0.1:{port}
accounts:
  - name: main
    api: {api}
    ca_file: {ca}
    services: [{{id: {service}, name: news}}]
    allow_purge_all: true
    verify: {{after_ms: {after_ms}, rounds: 3, per_minute: 1000, probes: [{probes}]}}
canaries:
  - {{name: front, service: news, url: "{site}/article/canary", key: article-canary, every_s: 10}}
"""


class World(SandboxWorld):
    def __init__(self):
        super().__init__("--pops")
        self.names = dict(self.settings_by_file(), probes=", ".join(self.pops))
        self.vain = 0
        self.configure(NEVER_MS)
        self.start_daemon()

    def configure(self, after_ms):
        self.stage.write("purgeline.yaml", CONFIG.format(after_ms=after_ms, **self.names))

    def purges(self, path):
        """Purges of this URL that Fastly has accepted."""
        return [line for line in self.sandbox_log() if line["kind"] in ("url", "purge") and line["status"] == 200 and
                (line.get("url") or "").endswith("www.example.com" + path)]

    def push(self, *words):
        told = self.begin(*words).communicate(timeout=PATIENCE_S)[0].decode()
        found = re.search(r"^(\w+-\d+-\d+)", told, re.M)
        assert found, told
        return found.group(1)

    def status(self):
        """What purgeline status says, however its lines are broken."""
        return " ".join(self.stage.run("purgeline status")[1].split())

    def canary(self, state, *parts):
        """Waits until log, metrics and purgeline status say what is wrong with the canary. Two purges without effect end
        a try, and after one try of each kind, and one that was under way before, the log must say it."""
        until(f"the metrics say {state}", lambda: self.metric("purgeline_canaries", f',state="{state}"') == 1)
        log = self.log(" canary=front ", f"state={state} ")
        self.ok(len(log) == 1 and all(part in log[0] for part in parts), f"{state}: the log says so once", log)
        until("purgeline status says it", lambda: all(part in self.status() for part in parts))
        told = datetime.datetime.strptime(log[0].split()[0], "%Y-%m-%dT%H:%M:%S.%f%z").timestamp()
        vain = [line["t"] for line in self.sandbox_log() if line["t"] < told and not line["purged"] and
                ("article-canary" in (line.get("keys") or []) or "/article/canary" in (line.get("url") or ""))]
        self.ok(len(vain) - self.vain <= 6, "… within one period, and purgeline status, too", vain, log)
        self.vain = len(vain)


def url(path):
    return f"http://www.example.com{path}"


def key_and_page(name):
    return ["--verify-page", url(f"/article/{name}"), "--key", f"article-{name}"]


def begin_shield_race(w):
    """Shield race: a POP that was purged fetches the old page from a shield that is not purged yet. The job says that it
    is to be purged a second time: https://www.fastly.com/documentation/guides/full-site-delivery/purging/purging-best-practices/"""
    w.fault(shield_late_ms=NEVER_MS)
    job = w.push("--wait", "--repeat-after", "8s", url("/article/race"))
    ages = [w.visit(pop, "/article/race") for pop in w.pops]
    w.fault(shield_late_ms=0)
    w.ok(min(ages) >= OLD_S and len(w.purges("/article/race")) == 1, "a single purge leaves the old page of a late shield",
         ages)
    w.equal(w.ended(job)["state"], "purged", "… although it was accepted")


def end_shield_race(w):
    until("it was purged a second time", lambda: len(w.purges("/article/race")) == 2)
    until("the page is fresh", lambda: max(w.visit(pop, "/article/race") for pop in w.pops) < OLD_S)
    w.equal([purge["cost"] for purge in w.purges("/article/race")], [1, 1], "a second purge mends it, and both are paid for")


def begin_wrong_service(w):
    """The pages have moved to another service, and the old one goes on accepting purges."""
    w.fault(idle="key,keys")


def end_wrong_service(w):
    w.canary("other_service", "only a purge of its URL refreshes", "really served by this service? Correct the id")


def begin_dead_urls(w):
    """Compute replaced the key that Fastly makes of a URL; keys worked, so nobody noticed for months."""
    w.fault(idle="url,purge")


def end_dead_urls(w):
    w.canary("url", "only a purge of its key refreshes", "purge by key until it is mended")
    w.fault(idle="")


def test_superseded(w):
    """An older purge that had no effect is not judged any more when a newer one of the page is there."""
    w.fault(deaf="bos")
    first = w.push("--verify", url("/article/newer"))
    until("the page waits to be looked at", lambda: w.metric("purgeline_verify_pending") == 1)
    w.fault(deaf="")
    w.push("--wait", url("/article/newer"))
    w.equal((w.metric("purgeline_verify_skipped_total", ',why="superseded"'), w.receipt(first)["state"]), (1, "waiting"),
            "the check of an older purge is dropped, and its job waits for that of the newer one")
    w.configure(100)
    w.stage.signal("daemon", 1)
    until("the daemon has reloaded", lambda: w.log("reloaded"))
    w.push("--wait", url("/article/newer"))
    told = w.ended(first)
    w.equal((told["verified"], told.get("repairs", 0), len(w.purges("/article/newer"))), ("fresh", 0, 3),
            "it is seen fresh, and nothing was purged again")


def test_newer_writes(w):
    """The page is written again and again while purges of it are looked at: another content is no alarm."""
    done = threading.Event()

    def write():
        while not done.wait(0.02):
            w.visit(w.pops[0], "/article/writes", "PURGE")
            for pop in w.pops:
                w.visit(pop, "/article/writes")
    writer = threading.Thread(target=write)
    repairs = w.metric("purgeline_verify_repairs_total")
    writer.start()
    try:
        jobs = [w.ended(w.push("--verify", url("/article/writes"))) for _ in range(2)]
    finally:
        done.set()
        writer.join()
    w.equal([job["verified"] for job in jobs], ["fresh", "fresh"], "a page with newer writes is fresh")
    w.equal(w.metric("purgeline_verify_repairs_total"), repairs, "… and was not purged again")


def test_slow_purge_all(w):
    """A purge-all takes up to two minutes: nothing is said of it before."""
    w.fault(deaf="ams,bos,bom,bwi")
    job = w.push("--all", "--service", "news", "--verify-page", url("/article/slow"))
    until("its page waits to be looked at", lambda: w.metric("purgeline_verify_pending") == 1)
    w.fault(deaf="")
    looks = w.metric("purgeline_verify_looks_total")
    w.equal(w.ended(w.push(*key_and_page("other")))["verified"], "fresh", "a later purge has been looked at")
    w.equal((w.receipt(job)["state"], w.metric("purgeline_verify_pending"), w.log("/article/slow")), ("waiting", 1, []),
            "a purge-all that is not seen yet is not called stale")
    w.ok(w.metric("purgeline_verify_looks_total") >= looks + len(w.pops), "… while others are looked at")


def test_soft_purge(w):
    """The shield serves its stale copy to a POP, which keeps it as if it were new. So does each further soft purge: the POP
    stays one version behind, and whether that is still stale in the end depends on how much time was between them."""
    job = w.push("--soft", *key_and_page("soft"))
    told = w.ended(job)
    w.ok(told["repairs"] >= 1 and told["stale_ms"] > 0, "a soft purge that left an old copy is found, and repeated", told)
    w.ok(w.log("Fastly serves a copy that is older than its purge", "/article/soft", " pop="), "… and the log names the POP",
         w.log("/article/soft"))


def test_deaf_shield(w):
    """The shield keeps the old page, whatever is purged."""
    before = w.metric("purgeline_verified_total", ',result="stale"')
    w.fault(deaf="bwi")
    told = w.ended(w.push(*key_and_page("shield")))
    w.fault(deaf="")
    w.ok(told["verified"] == "stale" and told["repairs"] == 2, "a shield that ignores all purges is found", told)
    said = w.log("no more purges of it are tried", "/article/shield")
    w.ok(len(said) == 1 and " pop=AMS " in said[0] and "remedy=" in said[0], "the log says which POP served it, and what to do", said)
    w.equal(w.metric("purgeline_verified_total", ',result="stale"'), before + 1, "it is counted, which raises PurgelinePagesStayStale")
    until("status says it", lambda: f" {before + 1:.0f} still stale" in w.status())
    w.ok(True, "purgeline status says it")


def begin_with_old_copies(w):
    until("the canary is ok", lambda: w.metric("purgeline_canaries", ',state="ok"') == 1)
    w.fill(*[f"/article/{name}" for name in ("race", "newer", "soft", "shield", "slow")])


if __name__ == "__main__":
    play(World, (begin_with_old_copies, begin_shield_race, begin_wrong_service, test_superseded,
                 test_newer_writes, end_wrong_service, end_shield_race, begin_dead_urls, test_soft_purge,
                 end_dead_urls, test_deaf_shield, test_slow_purge_all))
