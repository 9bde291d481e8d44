#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests the sandbox with POPs and a shield from outside: headers, purges, edge_check, and each of its switches."""
import hashlib
import http.client
import json
import os
import re
import ssl
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from sandbox_world import NEVER_MS, SandboxWorld, play  # noqa: E402
from stage import SERVICE, until  # noqa: E402

NAMES = {"ams": "amsterdam-nl", "bos": "bos-ma-us", "bom": "bom-mumbai-in", "bwi": "bwi-va-us"}
SERVERS = {"ams": "cache-ams21039", "bos": "cache-bos8230", "bom": "cache-bom18224", "bwi": "cache-bwi5133"}


def served_by(code):
    return f"{SERVERS[code]}-{code.upper()}"


class Reply:
    def __init__(self, reply):
        self.status, self.body = reply.status, reply.read()
        self.names = [name for name, _ in reply.getheaders()]
        self.headers = {name.lower(): value for name, value in reply.getheaders()}
        self.version = int(self.headers.get("x-version", 0))
        self.cache = self.headers.get("x-cache")


class World(SandboxWorld):
    def __init__(self):
        super().__init__("--pops")
        env = self.env
        self.site = dict(zip(("ams", "bos", "bom"), env["SANDBOX_POPS"].split()), bwi=env["SANDBOX_SHIELD"])
        self.trust = ssl.create_default_context(cafile=env["SANDBOX_CA"])

    def page(self, code, path, method="GET", **headers):
        """A page of the site as a visitor of this POP gets it. All POPs serve the same host."""
        host, port = self.site[code].removeprefix("http://").split(":")
        line = http.client.HTTPConnection(host, int(port), timeout=60)
        try:
            line.request(method, path, headers={
                "Host": "www.example.com", **{name.replace("_", "-"): value for name, value in headers.items()}})
            return Reply(line.getresponse())
        finally:
            line.close()

    def api(self, method, path, **headers):
        host, port = self.stage.env["SANDBOX_API"].removeprefix("https://").split(":")
        line = http.client.HTTPSConnection(host, int(port), context=self.trust, timeout=60)
        try:
            line.request(method, path, headers={
                "Fastly-Key": "right-token", **{name.replace("_", "-"): value for name, value in headers.items()}})
            return Reply(line.getresponse())
        finally:
            line.close()

    def purge_key(self, key, **headers):
        return self.api("POST", f"/service/{SERVICE}/purge", Surrogate_Key=key, **headers).status

    def edge_check(self, path):
        """The entries of an edge_check by the code of their cache."""
        reply = self.api("GET", f"/content/edge_check?url=https%3A%2F%2Fwww.example.com{path}")
        assert reply.status == 200, reply.body
        codes = {name: code for code, name in NAMES.items()}
        return {codes[entry["pop"]]: entry for entry in json.loads(reply.body)}

    def versions(self, path):
        return {code: self.page(code, path).version for code in NAMES}


def processes(stage):
    """Those with the folder of the sandbox in their command line."""
    found = subprocess.run(["pgrep", "-f", "--", stage.path("sandbox") + "/"], stdout=subprocess.PIPE)
    return found.stdout.split()


def test_starting(w):
    told = w.stage.sandbox("status")
    w.ok(re.search(r"varnish( \d+){4}\)", told), "status names four Varnishes", told)
    w.equal(w.stage.env["SANDBOX_SITE"], w.site["ams"], "the site is the first POP")


def test_headers(w):
    first = w.page("ams", "/article/1")
    w.equal((first.cache, first.headers["x-cache-hits"], first.version), ("MISS, MISS", "0, 0", 1),
            "a new page comes through POP and shield from the origin")
    w.equal(first.headers["x-served-by"], f"{served_by('bwi')}, {served_by('ams')}",
            "X-Served-By: the shield, then the POP")
    again = w.page("ams", "/article/1")
    w.equal((again.cache, again.headers["x-cache-hits"]), ("MISS, HIT", "0, 1"),
            "then from the POP, with what the shield said at the time")
    other = w.page("bos", "/article/1")
    w.equal((other.cache, other.version, other.headers["x-served-by"]),
            ("HIT, MISS", 1, f"{served_by('bwi')}, {served_by('bos')}"), "another POP gets it from the shield")
    at_shield = w.page("bwi", "/article/1")
    w.equal((at_shield.cache, at_shield.headers["x-served-by"]), ("HIT", served_by("bwi")),
            "a visitor of the shield sees one cache")
    w.ok(re.fullmatch(r"S\d{10}\.\d+,VS0,VE\d+", again.headers["x-timer"]), "X-Timer: start and duration",
         again.headers["x-timer"])
    w.equal(first.headers["via"], "1.1 varnish, 1.1 varnish", "Via has no version of Varnish")
    w.equal([name for name in first.names if re.match(r"(?i)surrogate|fastly|xkey|x-varnish|x-shield|x-fetched", name)],
            [], "without Fastly-Debug there are neither keys nor anything of the sandbox's own")


def test_debug(w):
    w.page("ams", "/article/2")
    told = w.page("ams", "/article/2", Fastly_Debug="1").headers
    w.equal(told["surrogate-key"], "article-2 section-news all-articles", "with Fastly-Debug there is Surrogate-Key")
    pop, shield = re.escape(served_by("ams")), re.escape(served_by("bwi"))
    w.ok(re.fullmatch(rf"\(D {pop} \d+\) \(F {pop} \d+\) \(D {shield} \d+\) \(F {shield} \d+\)",
                      told["fastly-debug-path"]), "Fastly-Debug-Path: the POP, then the shield",
         told["fastly-debug-path"])
    w.ok(re.fullmatch(rf"\(H {pop} 315\d+\.\d+ 3600\.000 \d+\) \(M {shield} - - 0\)", told["fastly-debug-ttl"]),
         "Fastly-Debug-TTL: TTL, time of grace and age at each", told["fastly-debug-ttl"])
    told = w.page("bwi", "/article/2", Fastly_Debug="1").headers
    w.ok(re.fullmatch(rf"\(H {shield} 315\d+\.\d+ 3600\.000 \d+\)", told["fastly-debug-ttl"]),
         "the shield has its own copy", told["fastly-debug-ttl"])
    keys = " ".join(f"{'k' * 58}{n:05}" for n in range(300))
    told = w.page("ams", "/many?keys=" + keys.replace(" ", "+"), Fastly_Debug="1").headers
    w.equal(told["surrogate-key"], keys, "a page may have 19 KB of keys")


def test_age(w):
    def is_old():
        reply = w.page("ams", "/article/3")
        return int(reply.headers["age"]) >= 2 and reply

    w.equal(w.page("ams", "/article/3").headers["age"], "0", "Age of a new page: 0")
    old = until("Age grows", is_old)
    late = w.page("bos", "/article/3")
    w.equal((late.cache, int(late.headers["age"]) >= 2), ("HIT, MISS", True),
            "Age counts the time in the shield as well")
    date = parsedate_to_datetime(old.headers["date"]).timestamp()
    fetched = date - int(old.headers["age"])
    w.ok(abs(time.time() - date) < 30 and fetched < date, "Date is the time of the reply", old.headers)


def fill(w, path):
    for code in NAMES:
        w.page(code, path)


def test_purges(w):
    ways = {
        "by key": lambda: w.purge_key("article-4"),
        "by key in the path": lambda: w.api("POST", f"/service/{SERVICE}/purge/article-4").status,
        "by URL": lambda: w.api("POST", "/purge/https://www.example.com/article/4").status,
        "PURGE to a POP": lambda: w.page("bos", "/article/4", method="PURGE").status,
        "of everything": lambda: w.api("POST", f"/service/{SERVICE}/purge_all").status,
    }
    for what, purge in ways.items():
        fill(w, "/article/4")
        before = w.versions("/article/4")
        status = purge()
        after = w.versions("/article/4")
        w.equal((status, after), (200, {code: version + 1 for code, version in before.items()}),
                f"a purge {what} reaches three POPs and the shield")


def test_edge_check(w):
    fill(w, "/article/5")
    found = w.edge_check("/article/5")
    w.equal(sorted(found), sorted(NAMES), "edge_check has an entry for each POP and the shield")
    entry, page = found["bos"], w.page("bos", "/article/5")
    w.equal(sorted(entry), ["hash", "pop", "request", "response", "response_time", "server"],
            "an entry has the recorded fields")
    w.equal((entry["server"], entry["hash"]), (SERVERS["bos"], hashlib.md5(page.body).hexdigest()),
            "it names the server and the MD5 of the content")
    w.equal(entry["request"], {"headers": {"Fastly-Debug": 1, "Host": "www.example.com",
                                           "User-Agent": "Fastly/cache-check"}, "method": None, "url": None},
            "the request is as recorded")
    told = entry["response"]
    w.equal((told["status"], told["headers"]["X-Cache"], told["headers"]["X-Served-By"],
             told["headers"]["Surrogate-Key"]),
            (200, "HIT, HIT", f"{served_by('bwi')}, {served_by('bos')}", "article-5 section-news all-articles"),
            "the response has status and headers, those of Fastly-Debug among them")
    reply = w.api("GET", "/content/edge_check?url=www.example.com/article/5")
    w.equal((reply.status, len(json.loads(reply.body))), (200, 4), "the URL may do without https://")
    w.equal(w.api("GET", "/content/edge_check?url=x", Fastly_Key="wrong").status, 401, "it needs the token")

    w.fault(edge_timeout="ams,bwi", edge_large="bom")
    found = {code: entry["hash"] for code, entry in w.edge_check("/article/5").items()}
    w.equal(found, {"ams": "error-timeout-amsterdam-nl", "bwi": "error-timeout-bwi-va-us",
                    "bom": "warning-too-large-bom-mumbai-in", "bos": entry["hash"]},
            "edge_timeout and edge_large: these hashes are none")
    w.fault(edge_timeout="", edge_large="")
    w.equal({entry["hash"] for entry in w.edge_check("/article/5").values()}, {entry["hash"]}, "… until they end")


def test_edge_check_limit(w):
    """It counts per clock hour, so the requests are sent again if an hour ends between them."""
    while True:
        w.stage.sandbox("reset")
        hour = int(time.time()) // 3600
        w.fault(edge_checks=2)
        replies = [w.api("GET", "/content/edge_check?url=www.example.com/") for _ in range(3)]
        if int(time.time()) // 3600 == hour:
            break
    w.equal([reply.status for reply in replies], [200, 200, 429], "edge_check has a limit of its own")
    w.ok(b"exceeded your hourly rate limit" in replies[2].body, "… refused in Fastly's words", replies[2].body)
    w.equal(w.purge_key("anything"), 200, "… which is not that of purges")
    w.stage.sandbox("reset")
    state = json.loads(w.stage.sandbox("state"))
    w.equal(state["settings"]["edge_checks"], 200, "by default it is 200 an hour")


def test_deaf_pop(w):
    fill(w, "/article/6")
    w.fault(deaf="bos")
    w.equal(w.purge_key("article-6"), 200, "deaf=bos: Fastly says yes")
    w.equal(w.versions("/article/6"), {"ams": 2, "bos": 1, "bom": 2, "bwi": 2}, "… and one POP keeps the old page")
    w.page("ams", "/article/6", method="PURGE")
    w.equal(w.page("bos", "/article/6").version, 1, "… for ever, however often it is told")
    hashes = {code: entry["hash"] for code, entry in w.edge_check("/article/6").items()}
    w.equal((len(set(hashes.values())), list(hashes.values()).count(hashes["bos"])), (2, 1), "edge_check shows it")
    w.fault(deaf="")
    w.purge_key("article-6")
    w.equal(w.versions("/article/6")["bos"], w.page("ams", "/article/6").version, "deaf= ends it")


def test_late_shield(w):
    fill(w, "/article/7")
    w.fault(shield_late_ms=NEVER_MS)
    w.purge_key("article-7")
    reply = w.page("ams", "/article/7")
    w.equal((reply.cache, reply.version), ("HIT, MISS", 1),
            "shield_late_ms: a purged POP fetches the old page from the shield")
    w.fault(shield_late_ms=100)
    w.purge_key("article-7")
    until("the shield purges", lambda: w.page("bwi", "/article/7").version == 2)
    w.ok(True, "the shield purges after that time")
    fill(w, "/article/8")
    w.fault(shield_late_ms=NEVER_MS)
    w.purge_key("article-8")
    w.page("ams", "/article/8")
    w.fault(shield_late_ms=0)
    w.purge_key("article-8")
    w.equal(w.page("ams", "/article/8").version, 2, "a second purge makes the page fresh")


def test_stale_while_revalidate(w):
    w.page("ams", "/article/9")
    w.purge_key("article-9", Fastly_Soft_Purge="1")
    stale = w.page("ams", "/article/9")
    w.equal((stale.version, stale.cache, stale.headers.get("x-cache-stale")), (1, "MISS, HIT", "1"),
            "after a soft purge the POP serves the old page once more")
    again = until("the POP has fetched", lambda: [
        r for r in [w.page("ams", "/article/9")] if "x-cache-stale" not in r.headers])[0]
    w.equal((again.version, again.cache), (1, "HIT, HIT"),
            "… and then keeps the old page as fresh, since the shield served it stale as well")
    w.fault(swr=0)
    w.ok("stale-while-revalidate" not in w.page("ams", "/article/10").headers["cache-control"],
         "swr=0: the pages do not allow it")
    w.purge_key("article-10", Fastly_Soft_Purge="1")
    fresh = w.page("ams", "/article/10")
    w.equal((fresh.version, fresh.cache), (2, "MISS, MISS"), "… and a soft purge is as good as a hard one")
    w.fault(swr=60)
    w.equal(w.page("ams", "/article/11").headers["cache-control"], "max-age=31536000, stale-while-revalidate=60",
            "swr=60 is what the pages say")
    w.fault(swr=3600)


def test_publishing(w):
    def purged():
        w.purge_key("article-12")
        return w.page("ams", "/article/12").version

    w.fault(publish_ms=NEVER_MS)
    w.equal([purged(), purged(), w.page("bom", "/other").version], [1, 1, 1],
            "publish_ms: until then a purged page is fetched anew in the old version")
    w.fault(publish_ms=0)
    w.equal(w.page("ams", "/article/12").version, 1, "a new version at the origin purges nothing")
    w.equal([purged(), purged()], [2, 2], "… and is fetched after a purge")
    w.fault(publish_ms=300)
    until("the new version appears", lambda: purged() == 3)
    w.ok(True, "it appears after the time that was set")


def test_refusals(w):
    for name, value in {"deaf": "ams,fra", "idle": "key,pages", "edge_timeout": "x", "publish_ms": "soon", "swr": "-1"}.items():
        code, told = w.stage.run(f"curl -s -d {name}={value} \"$SANDBOX_CONTROL/fault\"")
        w.equal((code, json.loads(told)), (0, {"error": f"not a value for {name}: {value}"}),
                f"{name}={value} is refused")


def test_log(w):
    with open(w.stage.path("sandbox/nginx-error.log")) as log:
        wrong = [line for line in log if "[error]" in line or "[alert]" in line or "[crit]" in line]
    w.equal(wrong, [], "nginx has nothing to complain about")


def test_stopping(w):
    count = len(processes(w.stage))
    w.stage.sandbox("down")
    w.equal((count >= 6, processes(w.stage)), (True, []), "down stops all of it")


if __name__ == "__main__":
    play(World, (test_starting, test_headers, test_debug, test_age, test_purges, test_edge_check,
                 test_edge_check_limit, test_deaf_pop, test_late_shield, test_stale_while_revalidate, test_publishing,
                 test_refusals, test_log, test_stopping), needs=("nginx", "varnishd", "curl", "openssl"))
