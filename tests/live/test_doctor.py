#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""purgeline doctor, with the sandbox's POPs and shield, and with servers that are not Fastly."""
import http.server
import json
import os
import re
import socket
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from sandbox_world import NEVER_MS, SandboxWorld, play  # noqa: E402
from stage import ask, until  # noqa: E402

PAGES = ("fresh", "race", "covered", "deaf", "soft", "refused", "everywhere", "plain")


class Stranger(http.server.BaseHTTPRequestHandler):
    """A web server with replies that the sandbox does not give."""
    target = ""

    def do_GET(self):
        getattr(self, self.path.strip("/"))()

    def redirect(self):
        self.send_response(302)
        self.send_header("Location", self.target)
        self.end_headers()

    def head(self):
        self.send_response(200)
        for i in range(40):
            self.send_header(f"X-Much-{i}", "x" * 10000)
        self.end_headers()

    def body(self):
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(400):
                self.wfile.write(b"x" * 65536)
        except OSError:
            pass

    def escapes(self):
        self.send_response(200)
        self.send_header("X-Served-By", "cache-ams1-\x1b]0;owned\x07")
        self.send_header("X-Cache", "HIT")
        self.end_headers()

    def log_message(self, *_):
        pass


class World(SandboxWorld):
    def __init__(self):
        super().__init__("--pops")
        self.settings_by_environment()
        self.site = self.env["SANDBOX_SITE"]
        self.web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger)
        self.web.daemon_threads = True
        self.stranger = f"http://127.0.0.1:{self.web.server_address[1]}"
        Stranger.target = self.site + "/article/plain"
        threading.Thread(target=self.web.serve_forever, daemon=True).start()

    def close(self):
        self.web.shutdown()
        return super().close()

    def doctor(self, *words, **env):
        settings = "".join(f"{name}='{value}' " for name, value in env.items())
        return self.stage.run(settings + "purgeline doctor " + " ".join(f"'{word}'" for word in words))

    def says(self, code, parts, sentence, *words, **env):
        """Runs doctor, which must end with this code and say all of these."""
        found, told = self.doctor(*words, **env)
        missing = [part for part in parts if part not in told]
        self.score.ok(found == code and not missing, sentence, f"exit code {found}, wanted {code}",
                      f"missing: {missing}", told)
        return told

    def api_log(self, word):
        """How many requests Fastly has received with this word in their path."""
        with open(self.stage.env["SANDBOX_LOG"]) as log:
            return sum(word in line for line in log)

    def page(self, name):
        return f"{self.site}/article/{name}"


def test_arguments(w):
    w.says(2, ["one URL is needed"], "without a URL it says so")
    w.says(2, ["must begin with https://"], "a URL without http:// or https:// is refused", "www.example.com/")
    w.says(2, ["--purge or --soft-purge, not both"], "a purge is hard or soft", "--purge", "--soft-purge", "http://h/")
    w.says(2, ["--repeat-after needs"], "--repeat-after needs a purge", "--repeat-after", "2s", "http://h/")
    w.says(2, ["expected a time like 2s"], "a time must be one", "--purge", "--repeat-after", "soon", "http://h/")
    w.says(0, ["--soft-purge", "exit codes"], "--help explains it", "--help")


def test_strangers(w):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        w.says(1, ["purgeline doctor: http://127.0.0.1:"], "a server that is not there is an error",
               f"http://127.0.0.1:{closed.getsockname()[1]}/")
    w.says(1, ["certificate"], "certificates are verified", w.stage.env["SANDBOX_API"])
    w.says(1, ["nothing in the reply says that Fastly answered"], "a page that is not behind Fastly is told",
           w.stage.env["SANDBOX_ORIGIN"] + "/article/1")
    w.says(1, ["302 from", "note  reply: the reply is a redirect, 302", f"it redirects to {Stranger.target}"], "a redirect is shown and not followed",
           w.stranger + "/redirect")
    w.says(0, ["two caches answered"], "… unless --follow asks for it", "--follow", w.stranger + "/redirect")
    w.says(1, ["more than 262144 bytes"], "a head without end is refused", w.stranger + "/head")
    w.says(1, ["more than 16,", "bytes"], "of a long body only the beginning is fetched", w.stranger + "/body")
    told = w.says(0, ["\\x1b]0;owned\\x07"], "control characters reach no terminal", w.stranger + "/escapes")
    w.score.ok("\x1b" not in told, "… not one", told)


def test_page(w):
    w.says(0, ["look 1", f"200 from {w.site[7:]}", "ok    route: two caches answered: the POP AMS (cache-ams21039-AMS),",
               "from the shield BWI (cache-bwi5133-BWI)", "ok    cache: X-Cache: HIT", "ok    age:",
               "ok    keys: Surrogate-Key has 3 keys", "note  race:", "warn  soft purge: stale-while-revalidate=3600"],
           "a page behind POP and shield is explained", w.page("plain"))
    told = w.doctor("--json", w.page("plain"))[1]
    lines = [json.loads(line) for line in told.splitlines()]
    looks = [line for line in lines if "look" in line]
    w.score.ok([look["look"] for look in looks] == [1, 2] and looks[1]["status"] == 200 and
               looks[1]["caches"][1]["pop"] == "AMS" and looks[1]["caches"][1]["cache"] == "HIT" and
               looks[1]["keys"] == 3 and looks[1]["stale_while_revalidate_s"] == 3600 and
               looks[1]["address"] == w.site[7:], "--json has the looks", told)
    grades = {line["subject"]: line["grade"] for line in lines if "subject" in line}
    w.score.ok(grades == {"route": "ok", "cache": "ok", "age": "ok", "keys": "ok", "race": "note",
                          "soft purge": "warn"}, "--json has the findings", told)
    keys = "+".join(f"{'k' * 58}{n:05}" for n in range(300))
    w.says(1, ["fail  keys: Surrogate-Key has 19199 bytes, and Fastly reads 16384: it ignores the last 44 of 300"],
           "keys beyond the limit are told", f"{w.site}/many?keys={keys}")
    w.says(0, ["one cache answered, that of the POP BWI"], "at the shield there is one cache",
           w.stage.env["SANDBOX_SHIELD"] + "/article/plain")


def test_without_a_daemon(w):
    w.says(3, ["purgeline run is not running here"], "without a daemon nothing is purged", "--purge", w.page("plain"))


def test_all_pops(w):
    """Each POP's first look is a miss; edge_check itself makes it a hit."""
    w.doctor("--all-pops", w.page("everywhere"))
    told = w.says(0, ["4 POPs with content ", "amsterdam-nl HIT ", "bos-ma-us HIT ", "bwi-va-us HIT ",
                      "ok    pops: 4 of 4 POPs have the same content"],
                  "--all-pops shows what each POP holds", "--all-pops", w.page("everywhere"))
    w.score.ok(told.index("amsterdam-nl HIT") > told.index("soft purge:"), "… after what the nearest one says", told)
    lines = [json.loads(line) for line in w.doctor("--json", "--all-pops", w.page("everywhere"))[1].splitlines()]
    pops = {line["pop"]: line for line in lines if "pop" in line}
    boston = pops.get("bos-ma-us", {})
    w.score.ok(len(pops) == 4 and boston["answer"] == "content" and boston["cache"] == "HIT" and
               boston["status"] == 200 and boston["server"] == "cache-bos8230" and "age_s" in boston and
               len({pop["hash"] for pop in pops.values()}) == 1, "--json has the POPs", pops)
    w.fault(edge_timeout="bos", edge_large="bom")
    w.says(0, ["1 POP without an answer\n        bos-ma-us\n", "1 POP with too large a page to compare\n        bom-mumbai-in ",
               "warn  pops: 1 of 4 POPs did not answer in time: bos-ma-us",
               "note  pops: the page is too large for edge_check to compare its content in 1 of 4 POPs: bom-mumbai-in",
               "ok    pops: 2 of 4 POPs have the same content"],
           "POPs without an answer, or with too large a page, are told", "--all-pops", w.page("everywhere"))
    w.fault(edge_timeout="", edge_large="")


def test_all_pops_refused(w):
    w.says(2, ["--all-pops needs the API token"], "--all-pops needs a token", "--all-pops", w.page("everywhere"),
           FASTLY_API_TOKEN="")
    told = w.says(1, ["Fastly refuses edge_check, status 401"], "a token that is refused is told",
                  "--all-pops", w.page("everywhere"), FASTLY_API_TOKEN="wrong-token")
    w.score.ok("wrong-token" not in told, "… but not shown", told)
    w.fault(edge_checks=0)
    w.says(1, ["edge_check: Fastly answers 429", "of its 200 requests an hour, none is left",
               "note  limits: the request is not counted, because Redis does not answer: "],
           "a used up limit is told, and that nothing is counted without Redis", "--all-pops", w.page("everywhere"))
    w.fault(edge_checks=200)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        w.says(1, ["/content/edge_check: ", "127.0.0.1"], "an API that is not there is told",
               "--all-pops", w.page("everywhere"), PURGELINE_API=f"http://127.0.0.1:{closed.getsockname()[1]}")


def start_daemon(w):
    w.start_daemon()


def let_pages_age(w):
    """Fetches all pages, and waits until doctor can tell old copies from new ones without waiting itself."""
    for name in PAGES:
        ask(w.page(name))

    def old():
        told = w.doctor("--json", w.page(PAGES[-1]))[1]
        return all(json.loads(line).get("age_s", 9) >= 3 for line in told.splitlines())
    until("the pages are 3 s old", old)


def test_purge(w):
    w.says(0, ["ok    after: the page was fetched anew"], "a purge that works is told", "--purge", w.page("fresh"))
    w.fault(status=403, kind="url", body="no")
    w.says(1, ["fail  purge: the page was not purged: 403", "FASTLYPURGE"], "a refusal by VCL is told",
           "--purge", w.page("refused"))
    w.fault(status=0)


def test_race(w):
    w.fault(shield_late_ms=NEVER_MS)
    w.says(1, ["fail  after: the race: the POP AMS", "from the shield BWI", "repeat_after"],
           "the race between shield and POP is told", "--purge", w.page("race"))
    w.stage.start("doctor", "purgeline", "doctor", "--purge", "--repeat-after", "10s", w.page("covered"))
    until("it has seen the race", lambda: "purge: once more, 10.0 s after" in w.stage.log("doctor"))
    w.fault(shield_late_ms=0)
    code = w.stage.children.pop("doctor").wait(60)
    told = w.stage.log("doctor")
    w.score.ok(code == 0 and "warn  after: the race" in told and
               "ok    after: the page was fetched anew: a second purge 10.0 s after the first" in told,
               "a second purge that covers it is told", code, told)


def test_deaf_pop(w):
    w.fault(deaf="ams")
    w.says(1, ["warn  after: the POP AMS", "fail  after: the page is still", "after a second purge 100 ms later"],
           "a POP that ignores purges is told", "--purge", "--repeat-after", "100ms", w.page("deaf"))
    w.fault(deaf="")


def test_purge_at_all_pops(w):
    """The nearest POP is purged, another one is not: only edge_check can see that. All have had the page since
    test_all_pops."""
    w.fault(deaf="bos")
    told = w.says(1, ["ok    after: the page was fetched anew", "warn  pops: 1 of 4 POPs have other content than the rest: bos-ma-us",
                      "fail  pops: 1 of 4 POPs still serve a copy that is older than the purge: bos-ma-us ("],
                  "a far POP that ignores purges is told", "--purge", "--all-pops", w.page("everywhere"))
    w.score.ok("bom-mumbai-in MISS" in told or "bom-mumbai-in HIT" in told, "… and what the others hold", told)
    w.fault(deaf="")
    w.says(0, ["ok    pops: 4 of 4 POPs have fetched the page after the purge, or at most "], "after a purge that reaches all of them it says so",
           "--purge", "--all-pops", w.page("everywhere"))


def test_requests_are_counted(w):
    """edge_check is asked only while there is room in its limit, for all commands on all machines together."""
    def counted():
        told = json.loads(w.stage.run("purgeline status --json")[1])["accounts"][0]["reads"]
        return told["edge_check"], told["api"]

    edge, api = counted()
    w.score.ok(edge["used"] == edge["total"] == 2 and api["total"] == 2 and edge["limit"] == 200 and
               edge["per_s"] == 3600 and api["limit"] == 600 and api["per_s"] == 60 and edge["held_ms"] == 0,
               "the requests of doctor are counted", edge, api)
    asked = w.api_log("edge_check")
    w.says(1, ["edge_check was not asked: the 2 requests for edge_check an hour that reads.edge_checks allows are used up until ",
               " UTC, in "], "a used up limit is told before Fastly is asked", "--all-pops", w.page("everywhere"),
           PURGELINE_READS_EDGE_CHECKS=2)
    w.fault(edge_checks=0)
    w.says(1, ["edge_check: Fastly answers 429"], "Fastly may refuse all the same", "--all-pops", w.page("everywhere"))
    w.fault(edge_checks=200)
    w.says(1, ["edge_check was not asked: Fastly answered 429: requests for edge_check are used up until "],
           "after a 429 it is not asked for a while", "--all-pops", w.page("everywhere"))
    w.score.ok(w.api_log("edge_check") == asked + 1, "Fastly was asked once", asked, w.api_log("edge_check"))
    edge, api = counted()
    w.score.ok(edge["total"] == 3 and edge["refused"] == 2 and 0 < edge["held_ms"] <= 60000 and
               api["held_ms"] == 0, "status tells of the hold", edge, api)
    told = " ".join(w.stage.run("purgeline status")[1].split())
    w.score.ok("edge_check 3 of 200 this hour" in told and "Fastly refuses edge_check (429) for another " in told,
               "… in words, too", told)
    metrics = ask(f"http://127.0.0.1:{w.port}/metrics")[1]
    wanted = ['purgeline_api_reads_total{account="main",limit="edge_check"} 3',
              'purgeline_api_reads_refused_total{account="main",limit="edge_check"} 2',
              'purgeline_api_reads_used{account="main",limit="edge_check"} 3',
              'purgeline_api_reads_limit{account="main",limit="edge_check"} 200',
              'purgeline_api_reads_limit{account="main",limit="api"} 600']
    w.score.ok(all(line in metrics for line in wanted), "metrics have the counts", wanted,
               [line for line in metrics.splitlines() if "api_reads" in line])


def test_check_is_counted(w):
    """The token and the service are two requests. Without room for the second, only that one is not asked."""
    def api_total():
        return json.loads(w.stage.run("purgeline status --json")[1])["accounts"][0]["reads"]["api"]["total"]

    before = api_total()
    told = w.stage.run("purgeline check")[1]
    w.score.ok("token: the token may purge" in told and "is there" in told and "not counted" not in told and
               api_total() == before + 2, "check counts its requests", before, api_total(), told)
    w.stage.run(f"redis-cli -s {w.stage.path('data')}/redis.sock DEL 'purgeline:{{main}}:reads'")
    told = w.stage.run("PURGELINE_READS_PER_MINUTE=1 purgeline check")[1]
    w.score.ok("token: the token may purge" in told and re.search(
        r"warn  main service: /service/\w+ was not asked: the \d+ requests a minute to Fastly's API that "
        r"reads.per_minute allows are used up until \d\d:\d\d:\d\d UTC", told),
        "without room, what was not asked is told", told)
    code, told = w.stage.run("PURGELINE_REDIS=redis://127.0.0.1:1 purgeline check")
    w.score.ok(code == 3 and "token: the token may purge" in told and
               "limits: the requests to Fastly's API are not counted, because Redis does not answer: " in told,
               "without Redis the token is looked at all the same", code, told)


def test_soft_purge(w):
    w.says(1, ["note  after: the POP serves the old page", "fail  after: the POP still serves the old page",
               "max_stale_while_revalidate"],
           "the trap of soft purges behind a shield is told", "--soft-purge", w.page("soft"))
    w.fault(swr=0)
    w.says(0, ["asks the origin first", "ok    after: the page was fetched"],
           "without stale-while-revalidate there is none", "--soft-purge", w.page("none"))
    w.fault(swr=3600)


if __name__ == "__main__":
    play(World, (test_arguments, test_strangers, test_page, test_all_pops, test_all_pops_refused,
                 test_without_a_daemon, start_daemon, let_pages_age, test_purge, test_race, test_deaf_pop,
                 test_purge_at_all_pops, test_soft_purge, test_requests_are_counted, test_check_is_counted))
