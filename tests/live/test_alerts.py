#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests the alerts and the dashboard with a real Prometheus. Each alert fires when its fault happens, and ends after its
command has been run. Every query of the dashboard gets an answer.

The rules are those in deploy/prometheus, with all durations divided by SHRINK, so that five minutes become five
seconds. Thresholds are unchanged: a job that is 13 hours old is pushed with an id of that age.
"""
import ctypes
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import ROOT, SERVICE, Score, Stage, ask, free_port, skip_without, until  # noqa: E402

RULES = os.path.join(ROOT, "deploy/prometheus/purgeline.rules.yml")
DASHBOARD = os.path.join(ROOT, "deploy/grafana/purgeline.json")
SHRINK = 60
STRANGER = "SU2aStrangerToFastly00"
HOUR_MS = 3600 * 1000
PTRACE_ATTACH, PTRACE_DETACH = 16, 17
LONG_S = 300  # for waiting times of the daemon itself, which cannot be shortened

CONFIG = """
redis: redis://127.0.0.1:{redis}
listen: 127.0.0.1:{port}
senders: 1
shutdown_grace_s: 1
accounts:
  - name: main
    api: {api}
    ca_file: {ca}
    token_file: {token}
    services:
      - {{id: {service}, name: news}}
      - {{id: {stranger}, name: stranger}}
    default_service: news
    origins: ["http://127.0.0.1:1"]
    timeout_ms: 1000
    max_in_flight: {in_flight}
    budget: {{purges: {purges}, per_s: {per_s}}}
    verify: {{after_ms: 100, rounds: 2, probes: [{probe}]}}
{canaries}"""
CANARIES = """canaries:
  - {{name: front, service: news, url: "{site}/article/17", key: article-17, every_s: 10}}
"""


class DeafPop(http.server.BaseHTTPRequestHandler):
    """A POP that ignores all purges."""
    def do_GET(self):
        self.send_response(200)
        self.send_header("Age", "3600")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def shrunk(rules):
    """The rules with shorter durations."""
    def shorter(match):
        unit = {"s": 1, "m": 60, "h": 3600}[match.group(3)]
        return f"{match.group(1)}{max(1000, int(match.group(2)) * unit * 1000 // SHRINK)}ms{match.group(4)}"
    rules = re.sub(r"(for: )(\d+)([smh])()$", shorter, rules, flags=re.M)
    return re.sub(r"(\[)(\d+)([smh])(\])", shorter, rules)


def alerts_of(rules):
    return re.findall(r"^      - alert: (\w+)$", rules, re.M)


class World(Stage):
    def __init__(self):
        super().__init__()
        self.redis_port, self.port, self.prometheus_port = free_port(), free_port(), free_port()
        self.prometheus = f"http://127.0.0.1:{self.prometheus_port}"
        self.traced = 0
        self.pop = http.server.ThreadingHTTPServer(("127.0.0.1", 0), DeafPop)
        self.pop.daemon_threads = True
        threading.Thread(target=self.pop.serve_forever, daemon=True).start()
        self.fastly()
        for name in ("PURGELINE_API", "PURGELINE_CA_FILE"):
            del self.env[name]
        self.env["PURGELINE_CONFIG"] = self.path("purgeline.yaml")
        self.program("redis-cli", f'exec /usr/bin/redis-cli -p {self.redis_port} "$@"\n')
        self.program("systemctl", 'echo "$*" >>"$HOME/systemctl.calls"\n')
        self.start_prometheus()

    # -- Prometheus --

    def start_prometheus(self):
        with open(RULES) as rules:
            self.write("rules.yml", shrunk(rules.read()))
        config = {
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "purgeline",
                                "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}]}]}
        self.write("prometheus.yml", json.dumps(config))
        self.start("prometheus", "prometheus", f"--config.file={self.path('prometheus.yml')}",
                   f"--storage.tsdb.path={self.path('tsdb')}",
                   f"--web.listen-address=127.0.0.1:{self.prometheus_port}")
        until("Prometheus is ready", lambda: ask(self.prometheus + "/-/ready")[0] == 200)

    def query(self, expression):
        """The samples of the answer; None if the query failed."""
        status, body = ask(self.prometheus + "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        return json.loads(body)["data"]["result"] if status == 200 else None

    def firing(self, alert):
        return self.query(f'ALERTS{{alertname="{alert}",alertstate="firing"}}')

    def annotations(self, alert):
        _, body = ask(self.prometheus + "/api/v1/alerts")
        return [a["annotations"] for a in json.loads(body)["data"]["alerts"]
                if a["labels"]["alertname"] == alert and a["state"] == "firing"]

    # -- purgeline and Redis --

    def configure(self, purges=100000, per_s=3600, in_flight=64, canaries=""):
        self.write("purgeline.yaml", CONFIG.format(
            redis=self.redis_port, port=self.port, api=self.env["SANDBOX_API"], ca=self.env["SANDBOX_CA"],
            token=self.path("etc/purgeline/token"), service=SERVICE, stranger=STRANGER, purges=purges,
            per_s=per_s, in_flight=in_flight, probe=f"127.0.0.1:{self.pop.server_address[1]}",
            canaries=canaries.format(site=self.env["SANDBOX_SITE"])))
        self.put_token("right-token")

    def put_token(self, token):
        self.write("etc/purgeline/token", token + "\n", 0o600)

    def redis(self, *words):
        return subprocess.run(["redis-cli", *map(str, words)], check=True, stdout=subprocess.PIPE, env=self.env,
                              text=True).stdout.strip()

    def start_redis(self):
        os.makedirs(self.path("redis"), exist_ok=True)
        self.start("redis", "redis-server", "--port", str(self.redis_port), "--bind", "127.0.0.1",
                   "--save", "3600 1000000", "--appendonly", "no", "--dir", self.path("redis"),
                   "--enable-protected-configs", "local")
        until("Redis answers", lambda: self.run("redis-cli ping")[1].strip() == "PONG")

    def start_purgeline(self):
        self.start("purgeline", "purgeline", "run")
        until("purgeline answers", lambda: ask(f"http://127.0.0.1:{self.port}/livez")[0])

    def await_scrapes(self, expression="purgeline_leading == 1"):
        """Waits until Prometheus has scraped this state several times: an increase is only visible from an old value."""
        until(expression, lambda: self.query(expression) and
              self.query('count_over_time(purgeline_build_info[3s]) >= 3'))

    def anew(self):
        """Restores a state without faults, and removes everything that the previous test left behind."""
        self.untrace()
        self.stop("purgeline", kill=True)
        self.stop("consumer", kill=True)
        self.stop("redis", kill=True)
        self.sandbox("reset")
        self.write("systemctl.calls", "")
        self.configure()
        self.start_redis()

    def run_well(self):
        self.start_purgeline()
        self.await_scrapes()

    def push(self, lane, *fields, age_ms=None):
        entry = "*" if age_ms is None else f"{int(time.time() * 1000) - age_ms}-0"
        return self.redis("XADD", f"purgeline:{{main}}:jobs:{lane}", entry, *fields)

    def pause(self):
        self.redis("HSET", "purgeline:{main}:control", "paused", 1, "why", "test", "by", "test")

    # -- stopping one thread of purgeline --

    def trace_a_sender(self):
        """Stops only the sender's thread, to simulate a thread that hangs."""
        tasks = f"/proc/{self.children['purgeline'].pid}/task"
        for tid in os.listdir(tasks):
            with open(f"{tasks}/{tid}/comm") as name:
                if "sender" in name.read():
                    self.traced = int(tid)
        if not self.traced:
            raise AssertionError("no thread is called sender")
        self.ptrace(PTRACE_ATTACH)
        os.waitpid(self.traced, 0x40000000)       # __WALL

    def ptrace(self, request):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        if libc.ptrace(request, self.traced, None, None) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def untrace(self):
        if self.traced:
            try:
                self.ptrace(PTRACE_DETACH)
            except OSError:
                pass
            self.traced = 0

    # -- the calls of systemctl --

    def obey_systemctl(self):
        with open(self.path("systemctl.calls")) as calls:
            for call in calls.read().splitlines():
                verb, *rest = call.split()
                unit = rest[0]
                if unit == "redis-server":
                    self.start_redis()
                elif unit == "purgeline-consume@articles":
                    start_consumer(self)
                elif verb == "reload":
                    self.signal("purgeline", signal.SIGHUP)
                elif verb in ("start", "restart"):
                    self.untrace()
                    self.stop("purgeline")
                    self.start_purgeline()
                elif verb != "set-property":
                    raise AssertionError(f"systemctl {call}")


# -- the faults, in the order of the alerts --

def gone(w):
    w.stop("purgeline")


def nobody_leads(w):
    w.redis("CONFIG", "SET", "maxmemory", "500mb")
    w.redis("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")


def stalled(w):
    w.trace_a_sender()
    w.push("normal", "keys", "a")


def redis_refuses(w):
    w.redis("DEL", "purgeline:{main}:budget")
    w.redis("SET", "purgeline:{main}:budget", "a string")
    w.push("normal", "keys", "a")


def redis_full(w):
    w.redis("CONFIG", "SET", "maxmemory", 1)


def redis_away(w):
    w.stop("redis", kill=True)


def token_refused(w):
    w.put_token("revoked-token")
    w.signal("purgeline", signal.SIGHUP)
    until("the token is refused", lambda: w.push("normal", "keys", "a") and "refuses the token" in w.log("purgeline"))
    w.put_token("right-token")


def canary(w):
    w.stop("purgeline")
    w.configure(canaries=CANARIES)
    w.sandbox("fault", "effect=0")
    w.run_well()


def account_unusable(w):
    os.remove(w.path("etc/purgeline/token"))
    w.signal("purgeline", signal.SIGHUP)
    until("the token is missed", lambda: "The account has no token" in w.log("purgeline"))


def fastly_away(w):
    w.sandbox("fault", "status=503")
    for i in range(8):
        w.push("normal", "keys", f"k{i}", "service", SERVICE)
        w.push("normal", "url", f"https://www.example.com/{i}")


def urgent_waits(w):
    w.stop("purgeline")
    w.pause()
    w.push("urgent", "keys", "a", age_ms=120 * 1000)
    w.start_purgeline()


def jobs_wait(w):
    w.stop("purgeline")
    w.pause()
    w.push("normal", "keys", "a", age_ms=HOUR_MS)
    w.push("bulk", "keys", "b", age_ms=13 * HOUR_MS)
    w.start_purgeline()


def origin_waits(w):
    w.push("normal", "keys", "a", "when", '{"url": "http://127.0.0.1:1/", "within": 86400000}', age_ms=HOUR_MS)


def budget_nearly_spent(w):
    w.stop("purgeline")
    w.configure(purges=1000, per_s=20)                  # a window short enough to be spent within this test
    w.push("normal", "keys", " ".join(f"k{i}" for i in range(8000)), age_ms=HOUR_MS)
    w.start_purgeline()


def throttled(w):
    w.sandbox("fault", "throttle=1", "count=1")
    w.push("normal", "keys", "a")


def paused(w):
    w.run("purgeline pause -a main test")


def dead_letters_grow(w):
    w.push("normal", "keyz", "a")


def consumer_down(w):
    w.write("consumer.yaml", f"""
redis: redis://127.0.0.1:{w.redis_port}
accounts: [{{name: main, services: [{{id: {SERVICE}}}]}}]
consumers: [{{name: articles, topic: changes, keys: ["article-{{id}}"]}}]
""")
    start_consumer(w)
    until("its state is told", lambda: w.query("purgeline_consumer_up == 1"))
    w.stop("consumer", kill=True)


def start_consumer(w):
    w.start("consumer", "purgeline", "consume", "--config", w.path("consumer.yaml"), "articles")


def service_unknown(w):
    w.push("normal", "keys", "a", "service", STRANGER)


def redis_refuses_writes(w):
    w.sandbox("fault", "latency_ms=800")
    shutil.rmtree(w.path("redis"))                      # simulates a disk that cannot be written to
    w.push("normal", "keys", "a")
    w.redis("BGSAVE")


def urgent_slow(w):
    w.stop("purgeline")
    w.configure(in_flight=1)
    w.run_well()
    w.push("urgent", "url", "https://www.example.com/first")
    until("it is seen", lambda: w.query('purgeline_push_to_wire_seconds_count{lane="urgent"} > 0'))
    w.await_scrapes()
    w.sandbox("fault", "latency_ms=600")
    for i in range(80):
        w.push("urgent", "url", f"https://www.example.com/{i}")


def loop_stalls(w):
    w.signal("purgeline", signal.SIGSTOP)
    time.sleep(4)                                       # the fault: purgeline gets no CPU for this time
    w.signal("purgeline", signal.SIGCONT)


def pages_stay_stale(w):
    w.push("normal", "url", "http://www.example.com/old", "verify", "1")


# What the test does in addition to the command, because no command could do it.
def fastly_is_back(w):
    w.sandbox("reset")


def disk_has_room(w):
    os.mkdir(w.path("redis"))
    w.redis("CONFIG", "SET", "dir", w.path("redis"))


FAULTS = {
    "PurgelineGone": (gone, "ends"),
    "PurgelineNobodyLeads": (nobody_leads, "ends"),
    "PurgelineStalled": (stalled, "ends"),
    "PurgelineRedisRefuses": (redis_refuses, "ends"),
    "PurgelineRedisFull": (redis_full, "ends"),
    "PurgelineRedisAway": (redis_away, "ends"),
    "PurgelineAccountUnusable": (account_unusable, "ends"),
    "PurgelineTokenRefused": (token_refused, "ends"),
    "PurgelineCanary": (canary, "ends", fastly_is_back),
    "PurgelineFastlyAway": (fastly_away, "ends", fastly_is_back),
    "PurgelineUrgentWaits": (urgent_waits, "ends"),
    "PurgelineJobsWait": (jobs_wait, "tells"),
    "PurgelineOriginWaits": (origin_waits, "tells"),
    "PurgelineBudgetNearlySpent": (budget_nearly_spent, "tells"),
    "PurgelineThrottled": (throttled, "ends"),
    "PurgelinePaused": (paused, "ends"),
    "PurgelineDeadLettersGrow": (dead_letters_grow, "ends"),
    "PurgelineConsumerDown": (consumer_down, "ends"),
    "PurgelineServiceUnknown": (service_unknown, "tells"),
    "PurgelineRedisRefusesWrites": (redis_refuses_writes, "ends", disk_has_room),
    "PurgelineUrgentSlow": (urgent_slow, "tells"),
    "PurgelineLoopStalls": (loop_stalls, "tells"),
    "PurgelinePagesStayStale": (pages_stay_stale, "tells"),
}


def filled_in(w, command):
    """The command with placeholders filled in, and changed where the test's machine differs from a user's."""
    for there, here in {
            "/etc/purgeline/": w.path("etc/purgeline/"),
            "NEWTOKEN": w.path("etc/purgeline/token.new"),
            " -g purgeline ": " ",  # a group that this machine may not have
            "--repair": "--repair --yes",
            "https://api.fastly.com": f"--cacert {w.env['SANDBOX_CA']} {w.env['SANDBOX_API']}"}.items():
        command = command.replace(there, here)
    return command


def raise_alert(w, score, alert, fault, then, besides=None):
    w.anew()
    w.run_well()
    until(f"{alert} does not fire before", lambda: w.firing(alert) == [])
    fault(w)
    until(f"{alert} fires", lambda: w.firing(alert), LONG_S)
    score.ok(True, f"{alert} is raised by its fault")
    commands = {a.get("command", "") for a in w.annotations(alert)}
    w.write("etc/purgeline/token.new", "right-token\n", 0o600)
    if besides:
        besides(w)
    for command in sorted(commands):
        code, output = w.run(filled_in(w, command))
        score.ok(command and (code == 0 or then == "tells" and code == 1), f"{alert}: its command works: {command}",
                 f"exit code {code}", output)
    w.obey_systemctl()
    if then == "ends":
        until(f"{alert} ends", lambda: w.firing(alert) == [], LONG_S)
        score.ok(True, f"{alert} ends with its command")


def dashboard_is_answered(w, score):
    w.anew()
    w.run_well()
    w.push("urgent", "keys", "a")
    with open(DASHBOARD) as dashboard:
        queries = re.findall(r'"expr": "((?:[^"\\]|\\.)*)"', dashboard.read())
    score.ok(len(queries) > 40, "the dashboard has queries", len(queries))
    for query in sorted({json.loads(f'"{q}"') for q in queries}):
        real = query.replace("$account", "main").replace("$__rate_interval", "15s")
        result = w.query(real)
        # The result of a query that filters by value may be empty; all others have series.
        fits = result is not None and (result or re.search(r"> 0$|== 1$|!=", query))
        score.ok(fits, f"the dashboard's query is answered: {query}", result)


def main():
    skip_without("prometheus", "promtool", "redis-server", "redis-cli", "nginx", "varnishd", "curl")
    score = Score()
    with open(RULES) as rules:
        alerts = alerts_of(rules.read())
    checked = subprocess.run(["promtool", "check", "rules", RULES], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True)
    score.ok(checked.returncode == 0, "promtool finds nothing wrong with the rules", checked.stdout)
    score.ok(set(alerts) == set(FAULTS), "every alert has its fault here", set(alerts) ^ set(FAULTS))
    w = World()
    try:
        for alert in sys.argv[1:] or alerts:
            try:
                raise_alert(w, score, alert, *FAULTS[alert])
            except (AssertionError, OSError, subprocess.SubprocessError) as wrong:
                state = w.run("purgeline status")[1]
                score.ok(False, f"{alert}", repr(wrong), state, "\n".join(w.log("purgeline").splitlines()[-15:]))
        if not sys.argv[1:]:
            dashboard_is_answered(w, score)
    finally:
        w.untrace()
        w.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
