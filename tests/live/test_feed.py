#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""GET /v1/events: what readers get, fast and slow ones, operators and others, while Redis goes and comes back, and when
their token is taken away."""
import hashlib
import http.client
import http.server
import json
import os
import signal
import sys
import threading

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from event_stream import Stream  # noqa: E402
from stage import PATIENCE_S, Score, Stage, free_port, skip_without, until  # noqa: E402

STREAMS = 8
TOKENS = {"ops": "token-of-the-operators", "news": "token-of-the-news", "gone": "token-that-is-removed"}

CONFIG = """redis: redis://127.0.0.1:{redis}
listen: 127.0.0.1:{listen}
http:
  event_streams: {streams}
  idle_s: 1
  request_s: 5
producers:
- name: ops
  token_sha256: "{ops}"
  kinds: [url, key, all]
  admin: true
{gone}- name: news
  token_sha256: "{news}"
  services: [news]
accounts:
- name: main
  token_file: {token}
  api: http://127.0.0.1:{api}
  attempts: 1
  services:
  - {{id: S1, name: news}}
  - {{id: S2, name: shop}}
  lanes: {{normal: {{linger_ms: {linger_ms}}}}}
"""
GONE = """- name: gone
  token_sha256: "{}"
"""


class Fastly(http.server.BaseHTTPRequestHandler):
    """Purges everything but the key "broken"."""
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        keys = (self.headers.get("Surrogate-Key") or "").split()
        broken = "broken" in keys
        body = json.dumps({"msg": "no"} if broken else {key: "1234-1600000000-123456" for key in keys}).encode()
        self.send_response(400 if broken else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class World(Stage):
    def begin(self):
        self.api = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fastly)
        threading.Thread(target=self.api.serve_forever, daemon=True).start()
        self.port, self.redis_port = free_port(), free_port()
        self.write("token", "right-token\n", 0o600)
        self.configure(GONE.format(digest("gone")))
        self.start_redis()
        self.start("daemon", "purgeline", "run", "--config", self.path("p.yaml"))
        until("the daemon leads", lambda: "This instance leads the account" in self.log("daemon"))

    def configure(self, gone, linger_ms=0):
        self.write("p.yaml", CONFIG.format(linger_ms=linger_ms, redis=self.redis_port, listen=self.port, streams=STREAMS, gone=gone,
                                           ops=digest("ops"), news=digest("news"), token=self.path("token"),
                                           api=self.api.server_port))

    def start_redis(self):
        self.start("redis", "redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1", "--dir", self.dir,
                   "--appendonly", "yes", "--maxmemory-policy", "noeviction")
        until("Redis answers", lambda: self.run(f"redis-cli -p {self.redis_port} PING")[1] == "PONG\n")

    def redis(self, *words):
        return self.must(" ".join(["redis-cli", "-p", str(self.redis_port), *(f"'{word}'" for word in words)]))

    def ask(self, method, path, order=None, who="ops"):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        c.request(method, path, json.dumps(order) if order is not None else None,
                  {"Authorization": f"Bearer {TOKENS[who]}"})
        reply = c.getresponse()
        text = reply.read().decode()
        c.close()
        return reply.status, json.loads(text) if text else None

    def push(self, who="ops", **job):
        status, told = self.ask("POST", "/v1/purge", job, who)
        assert status in (200, 202), told
        return told["job"]

    def stream(self, query="", who="ops", **more):
        return Stream(self.port, query, TOKENS.get(who), **more)


def digest(who):
    return hashlib.sha256(TOKENS[who].encode()).hexdigest()


def refused(w, s, query, who, status, words):
    r = w.stream(query, who)
    r.answered()
    r.until("the text", lambda r: words in r.body.decode() or r.over)
    s.ok(r.status == status and words in r.body.decode(), f"/v1/events{query} for {who}: {status}, {words}", r.head,
         r.body)
    r.close()
    return r.head


def strangers(w, s):
    refused(w, s, "", "nobody", 401, "token")
    refused(w, s, "?events=status,jobs", "ops", 400, "'jobs'")
    refused(w, s, "?events=", "ops", 400, "events")
    refused(w, s, "?event=job", "ops", 400, "did you mean events")
    refused(w, s, "?account=other", "ops", 404, "account")
    refused(w, s, "?events=dead", "news", 403, "admin")


def operators(w, s, ops):
    status = ops.first("status", lambda data: data["accounts"][0]["dispatcher"])
    s.ok(ops.retry == 3000 and ops.events[0].name == "status", "a stream begins with retry and the state")
    s.ok("text/event-stream" in ops.head and "no-store" in ops.head, "the head is that of an event stream", ops.head)
    told = w.ask("GET", "/v1/status?account=main")[1]
    s.ok(told.keys() == status.keys() and told["accounts"][0].keys() == status["accounts"][0].keys() and
         told["accounts"][0]["budget"] == status["accounts"][0]["budget"], "status is what GET /v1/status answers", told,
         status)
    job = w.push(keys=["a", "b"], service="news", ref="story-1")
    end = ops.first("job", lambda data: data["job"] == job)
    s.ok(end["state"] == "purged" and end["targets"] == 2 and end["ref"] == "story-1" and end["account"] == "main" and
         "scope" not in end, "the end of a job is its receipt", end)
    ids = [event.id for event in ops.events if event.name == "job"]
    s.ok(all(ids) and len(set(ids)) == len(ids), "job events have ids", ids)


def dead_letters(w, s, ops):
    job = w.push(keys=["broken"], service="news")
    end = ops.first("job", lambda data: data["job"] == job)
    dead = ops.first("dead")
    s.ok(end["state"] == "dead" and dead["dead"] == 1 and dead["newest"]["job"] == job and "400" in
         dead["newest"]["reason"] and dead["newest"]["target"] == "broken", "a dead letter is told with its job", dead)


def acts(w, s, ops, news):
    w.ask("POST", "/v1/pause", {"why": "a deploy"})
    whole, reduced = ops.first("act"), news.first("act")
    s.ok(whole["act"] == "pause" and whole["why"] == "a deploy" and whole["by"].startswith("ops from"),
         "a pause is told with who and why", whole)
    s.ok(reduced == {"account": "main", "act": "pause"}, "others are told neither who nor why", reduced)
    ops.first("status", lambda data: data["accounts"][0]["paused"])
    news.first("status", lambda data: data["accounts"][0]["paused"])
    w.ask("POST", "/v1/resume", {})
    s.ok(ops.first("act", lambda data: data["act"] == "resume")["by"].startswith("ops from"), "and its end")
    w.configure(GONE.format(digest("gone")), linger_ms=1)
    w.signal("daemon", signal.SIGHUP)
    reload = ops.first("act", lambda data: data["act"] == "reload")
    s.ok(reload["settings"] == [{"name": "lanes.normal.linger_ms", "from": 0, "to": 1}] and
         reload["by"].startswith("instance ") and reload["account"] == "main", "a reload is told with what it changed", reload)
    mark = news.mark()
    w.ask("POST", "/v1/pause", {})
    news.first("act", lambda data: data["act"] == "pause", mark)
    s.ok("reload" not in str(news.events), "others are not told of reloads", news.events[-5:])
    w.ask("POST", "/v1/resume", {})
    news.first("act", lambda data: data["act"] == "resume", mark)
    w.configure(GONE.format(digest("gone")))
    w.signal("daemon", signal.SIGHUP)


def others(w, s, ops, news):
    state = news.first("status")
    s.ok(state == {"accounts": [{"account": "main", "leads": True, "paused": False, "held": False}], "reduced": True},
         "without admin, the state is a short one", state)
    shop = w.push(keys=["c"], service="shop", ref="of-the-shop")
    ops.first("job", lambda data: data["job"] == shop)  # so this end has been told to all who may see it
    mine = w.push(keys=["d"], service="news", ref="of-the-news")
    news.first("job", lambda data: data["job"] == mine)
    s.ok("by" not in news.first("job", lambda data: data["job"] == mine), "and not who else pushed it", news.events)
    own = w.push("news", keys=["e"], service="news")
    s.ok(news.first("job", lambda data: data["job"] == own)["by"] == "news" and
         ops.first("job", lambda data: data["job"] == own)["by"] == "news", "a producer sees the ends of its own jobs", news.events)
    for name in ("News", "hook news", "consumer news", "news"):
        w.redis("XADD", "purgeline:{main}:jobs:normal", "*", "keys", "f", "service", "shop", "dead_by", name)
    seen = [ops.first("job", lambda data: data.get("by") == name)["job"] for name in ("News", "hook news", "consumer news")]
    news.first("job", lambda data: data.get("by") == "news" and data["job"] != own)
    s.ok(not any(job in str(news.events) for job in seen), "names that only look like its own are others", news.events)
    s.ok(shop not in str(news.events) and "of-the-shop" not in str(news.events),
         "a producer sees no end of a job that it may not push", news.events)


def many(w, s, ops):
    """Ends that no job has, announced as the dispatcher does."""
    mark = ops.mark()
    w.redis("PUBLISH", "purgeline:{main}:settled", " ".join(f"normal-5-{n}" for n in range(500)))
    count = ops.first("jobs", after=mark)
    told = [event for event in ops.events[mark:] if event.name == "job"]
    s.ok(count["ended"] == 500 and count["shown"] == 20 and len(told) == 20 and told[0].data["state"] == "ended",
         "of many ends a few are told, and the others are counted", count, told)


def slow(w, s):
    """Its receipts are so long that its queue and all buffers are soon full. Another one never reads at all."""
    before = gauge(w, "timeouts_total")
    slow_one = w.stream("?events=job", slowly=True, receive_bytes=4096)
    silent = w.stream("?events=job", reads=False, receive_bytes=4096)
    fast = w.stream("?events=status%2Cjob&account=%6Dain")  # as URLSearchParams and others encode it
    for n in range(20):
        w.redis("SET", f"purgeline:{{main}}:receipt:bulk-9-{n}", json.dumps({"job": f"bulk-9-{n}", "reason": "x" * 1900}))

    def announce():
        w.redis("PUBLISH", "purgeline:{main}:settled", " ".join(f"bulk-9-{n}" for n in range(20)))
        return gauge(w, "timeouts_total") > before

    until("the reader that never reads is dropped", announce)
    slow_one.hurry()
    lost = slow_one.first("lost")

    def goes_on():
        """In the second of the many ends, this one may be counted only."""
        job = w.push(keys=["h"], service="news")
        try:
            return slow_one.until("", lambda r: job in str(r.named("job")), 5)
        except AssertionError:
            return False

    until("the end of a job is told to the slow reader", goes_on)
    s.ok(lost["jobs"] > 0, "a slow reader is told how many events it has lost, and goes on", lost)
    s.ok(not fast.over and fast.named("lost") == [], "a fast one loses nothing", fast.named("lost"))
    s.ok(gauge(w, "timeouts_total") == before + 1, "one that never reads is dropped")
    for r in (slow_one, silent, fast):
        r.close()


def gauge(w, name):
    text = ask_text(w, "/metrics")
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith(f"purgeline_http_{name} ")))


def ask_text(w, path):
    c = http.client.HTTPConnection("127.0.0.1", w.port, timeout=PATIENCE_S)
    c.request("GET", path, headers={"Authorization": f"Bearer {TOKENS['ops']}"})
    text = c.getresponse().read().decode()
    c.close()
    return text


def crowded(w, s):
    open_now = 2  # that of the operators and that of the news
    until("streams whose readers have left are free again", lambda: gauge(w, "event_streams") == open_now)
    mine = [w.stream(who="gone") for _ in range(STREAMS // 2)]
    for r in mine:
        r.first("status")
    head = refused(w, s, "", "gone", 503, "half of http.event_streams")
    s.ok("Retry-After" in head, "and it says when to try again", head)
    rest = [w.stream() for _ in range(STREAMS - STREAMS // 2 - open_now)]
    for r in rest:
        r.first("status")
    refused(w, s, "", "news", 503, "event streams are open")
    s.ok(w.ask("GET", "/v1/status")[0] == 200 and w.push(keys=["e"], service="news"), "requests are served beside all these streams")
    for r in mine + rest:
        r.close()
    until("streams whose readers have left are free again", lambda: gauge(w, "event_streams") == open_now)
    s.ok(True, "streams whose readers have left are free again")


def withdrawn(w, s, ops):
    r = w.stream(who="gone")
    r.first("status")
    w.configure("")
    w.signal("daemon", signal.SIGHUP)
    end = r.first("end")
    r.ended()
    s.ok(end["again"] is False and "withdrawn" in end["why"], "a stream ends when its token is withdrawn", end)
    job = w.push(keys=["f"], service="news")
    s.ok(ops.first("job", lambda data: data["job"] == job), "other streams go on")
    hour(w, s)


def redis_goes(w, s, ops):
    mark = ops.mark()
    w.stop("redis", kill=True)
    ops.first("redis", lambda data: data == {"state": "away"})
    late = w.stream(headers=["Last-Event-ID: 1-1"])
    s.ok(late.first("redis")["state"] == "away", "a stream can be opened while Redis is away, and says so")
    w.start_redis()
    ops.first("redis", lambda data: data == {"state": "back"}, mark)
    s.ok(ops.first("lost", after=mark) == {"jobs": None}, "events that were missed meanwhile are told as lost")
    s.ok(late.first("lost") == {"jobs": None} and late.first("status"), "a reader that comes back is told that it has missed "
         "events")
    polyfill = w.stream("?lastEventId=1-1")  # what browsers use that must send a header for the token
    s.ok(polyfill.first("lost") == {"jobs": None}, "also if it says so in the query")
    polyfill.close()
    until("the account is led again", lambda: w.ask("GET", "/v1/status")[1]["accounts"][0]["leader"])
    job = w.push(keys=["g"], service="news")
    s.ok(ops.first("job", lambda data: data["job"] == job), "the stream goes on when Redis is back")
    late.close()


def hour(w, s):
    def told():
        found = w.ask("GET", "/v1/status/hour")[1]["accounts"][0]
        return sum(n or 0 for n in found["sent"]) > 0 and found

    one = until("the last hour shows what was sent", told)
    columns = [one[name] for name in ("sent", "waiting", "oldest_ms", "budget_left")]
    s.ok({len(column) for column in columns} == {len(one["sent"])} and max(n or 0 for n in one["budget_left"]) > 99000,
         "the last hour has columns of the same length", one)
    s.ok(w.ask("GET", "/v1/status/hour", who="news")[0] == 403 and w.ask("GET", "/v1/status/hour?account=no")[0] == 404,
         "for operators only")


def nobody(w, s):
    until("no stream is open", lambda: gauge(w, "event_streams") == 0)
    until("nothing is subscribed", lambda: "sub=1" not in w.redis("CLIENT", "LIST", "TYPE", "pubsub"))
    before = int(w.redis("CONFIG", "RESETSTAT") == "OK\n")
    s.ok(before == 1, "nobody listens: no connection is kept for it")
    r = w.stream()
    r.first("status")
    s.ok(until("it is subscribed again", lambda: "sub=1" in w.redis("CLIENT", "LIST", "TYPE", "pubsub")), "and one is "
         "opened for the next reader")
    return r


def stops(w, s, r):
    w.signal("daemon", signal.SIGTERM)
    end = r.first("end")
    r.ended()
    s.ok(end["again"] is True, "streams end when the instance stops, and say that it is worth coming back", end)
    w.children["daemon"].wait(PATIENCE_S)
    s.ok(w.children["daemon"].returncode == 0, "and the daemon does not wait for its readers", w.log("daemon"))


def main():
    skip_without("redis-server", "redis-cli")
    w, s = World(), Score()
    try:
        w.begin()
        ops, news = w.stream(), w.stream(who="news")
        strangers(w, s)
        operators(w, s, ops)
        others(w, s, ops, news)
        dead_letters(w, s, ops)
        acts(w, s, ops, news)
        many(w, s, ops)
        slow(w, s)
        crowded(w, s)
        withdrawn(w, s, ops)
        redis_goes(w, s, ops)
        s.ok(not news.over and not ops.over, "silence and a second that is over end no stream")
        ops.close()
        news.close()
        stops(w, s, nobody(w, s))
        s.ok(not any(token in w.log("daemon") for token in TOKENS.values()), "no token is in the log")
    finally:
        w.close()
    return s.close()


if __name__ == "__main__":
    sys.exit(main())
