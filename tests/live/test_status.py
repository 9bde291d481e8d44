#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What purgeline status shows people: at a terminal of 80 columns and elsewhere, in every state that it knows."""
import json
import os
import pty
import re
import select
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from stage import PATIENCE_S, Score, Stage, free_port, skip_without, until  # noqa: E402

LEADER = "web1.example.com/0f1e2d3c/4026531836/4711/1"
LONG = "status 503: " + "the backend went away while it was asked for pages; " * 8 + "https://example.com/" + "x" * 200


class World(Stage):
    def __init__(self):
        super().__init__()
        self.port = free_port()
        self.env.update(PURGELINE_REDIS=f"redis://127.0.0.1:{self.port}", PURGELINE_SERVICES="S1=news", TERM="xterm",
                        TZ="UTC0")
        self.start_redis()

    def start_redis(self):
        self.start("redis", "redis-server", "--port", str(self.port), "--save", "")
        until("Redis answers", lambda: self.run(f"redis-cli -p {self.port} PING")[1] == "PONG\n")

    def redis(self, *words):
        command = " ".join("'" + str(word).replace("'", "'\\''") + "'" for word in words)
        return self.must(f"redis-cli -p {self.port} {command}")

    def lead(self, account="main", leader=LEADER, **report):
        """Writes what the leader of an account would write."""
        self.redis("SET", f"purgeline:{{{account}}}:lease", leader, "PX", 600000)
        self.redis("SET", f"purgeline:{{{account}}}:status", json.dumps({"state": "leading", "brake": "free", **report}))

    def terminal(self, command, columns=80, **more_env):
        """Exit code and output of a command whose stdout is a terminal, with its escape sequences."""
        return Terminal(self, command, columns, **more_env).end()


class Terminal:
    """A command that runs at a terminal."""

    def __init__(self, w, command, columns=80, **more_env):
        self.told = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(w.dir)
            os.execve("/bin/bash", ["bash", "-c", f"stty columns {columns}; exec {command}"], {**w.env, **more_env})

    def read(self):
        """False when the command has ended."""
        try:
            more = os.read(self.fd, 65536)
        except OSError:  # the terminal is closed
            return False
        self.told += more.decode(errors="replace").replace("\r\n", "\n")
        return bool(more)

    def shows(self, pattern, patience_s=PATIENCE_S):
        """Waits until the output, from where the last call has found something, has the pattern."""
        end = time.monotonic() + patience_s
        while True:
            found = re.search(pattern, self.told)
            if found:
                self.told = self.told[found.end():]
                return found.group(0)
            left = end - time.monotonic()
            if left < 0 or not select.select([self.fd], [], [], left)[0] or not self.read():
                raise AssertionError(f"no {pattern} in {self.told}")

    def type(self, keys):
        os.write(self.fd, keys.encode())

    def end(self):
        """Waits for the end of the command. Returns its exit code and the output that was not looked at."""
        while self.read():
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), self.told


def fits(text, columns=80):
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return max(map(len, plain.splitlines())) <= columns and "\x1b" not in plain


def verdicts(w, score):
    """Each state has its verdict in the first line."""
    code, told = w.run("purgeline status")
    score.ok(code == 1 and told.startswith("main: nobody leads it: start 'purgeline run'"), "nobody leads", told)
    w.lead()
    code, told = w.run("purgeline status")
    score.ok(code == 0 and told.startswith("main: healthy, nothing waits\n") and
             "\n  leader        web1.example.com, process 4711\n" in told, "healthy", told)
    w.lead(brake="held", brake_cause="throttled", brake_until=1800000190000)
    code, told = w.run("purgeline status")
    score.ok(code == 0 and told.startswith("main: held by Fastly until 08:03:10 (429)"), "held by Fastly", told)
    w.redis("HSET", "purgeline:{main}:control", "paused", 1, "why", "deploying für \x1b[2J\x07\u202e", "by", "eve\x1b[31m@x",
            "at", int(time.time() * 1000) - 90000)
    code, told = w.run("purgeline status")
    score.ok(code == 1 and told.startswith("main: paused: deploying für \\x1b[2J\\x07"), "paused, and why", told)
    score.ok(re.search(r"\n  paused        for \d min by eve\\x1b\[31m@x; 'purgeline resume -a main' ends it\n", told),
             "… by whom, and what ends it", told)
    score.ok(not re.search("[\x00-\x09\x0b-\x1f\x7f\u202e]", told), "what others wrote controls no terminal", repr(told))
    w.redis("DEL", "purgeline:{main}:control")
    code, told = w.run(f"purgeline status --redis redis://127.0.0.1:{free_port()}")
    score.ok(code == 3 and "Redis away: " in told and "Connection refused" in told, "Redis is away", code, told)


def a_backlog(w, score):
    """What waits, what is left of the budget, and when it will be through."""
    w.redis("EVAL", "for i = 1, 30000 do redis.call('XADD', KEYS[1], '*', 'keys', 'k' .. i) end", 1,
            "purgeline:{main}:jobs:bulk")
    w.redis("XADD", "purgeline:{main}:spent:purge", "*", "c", 71000)
    w.redis("HSET", "purgeline:{main}:budget", "purge:open", 0)
    w.lead(last_error=LONG, last_error_age_ms=240000, requests_keys=71234)
    for n in range(2):
        w.redis("XADD", "purgeline:{main}:dead", "*", "keys", f"k{n}", "dead_reason", "no")
    code, told = w.run("purgeline status")
    score.ok(code == 0 and told.startswith("main: healthy, purging\n  bulk          30,000 jobs, the oldest for "),
             "a backlog is no fault", told)
    score.ok("  budget        [█████░░░░░░░░░░░░░░░] 29,000 of 100,000 left this hour\n" in told,
             "the budget is a bar", told)
    # 30,000 purges at 100,000 an hour
    score.ok(re.search(r"\n  backlog       through in about 1[78] min, at \d\d:\d\d\n", told),
             "it says when the backlog will be through", told)
    score.ok("  dead          2 letters: 'purgeline dead list'\n" in told, "dead letters are counted", told)
    score.ok(fits(told) and "\n                https://example.com/xxx" in told, "long errors are wrapped at 80 columns", told)
    score.ok("71,234" not in told and "requests_keys 71,234" in w.run("purgeline status --all")[1],
             "counters are shown with --all", told)
    told = w.run("LC_ALL=C purgeline status")[1]
    score.ok("[#####---------------] 29,000" in told and told.isascii(), "a locale without UTF-8 gets no UTF-8", told)


def at_a_terminal(w, score):
    """Colour only on a terminal that wants it; the lines are as long as the terminal is wide, 80 columns at most."""
    told = w.terminal("purgeline status")[1]
    score.ok("\x1b[1mmain\x1b[0m: \x1b[32mhealthy" in told and fits(told), "a terminal gets colour", told)
    score.ok("\x1b" not in w.run("purgeline status")[1], "a file does not")
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        told = w.terminal("purgeline status", **{name: value})[1]
        score.ok("\x1b" not in told and "main: healthy" in told, f"{name}={value} switches it off", told)
    for columns, at_most in ((50, 50), (200, 80)):
        told = w.terminal("purgeline status", columns)[1]
        score.ok(fits(told, at_most) and not fits(told, at_most - 6), f"{columns} columns", told)


def watching(w, score):
    """A line a second, also while Redis comes and goes, until ^C."""
    def report(n, **more):
        w.lead(at=1800000000000 + n * 1000, requests=n * 100, batches=n * 50, batch_keys=n * 2000, in_flight=7, **more)

    w.redis("FLUSHALL")
    report(1)
    t = Terminal(w, "purgeline status --watch", NO_COLOR="1")
    score.ok(t.shows(r"^time +sent/s +waiting +oldest +budget left +in flight +errors/s\n"), "a header")
    score.ok(t.shows(r"\d\d:\d\d:\d\d +0 +0 +- +100,000 100 % +7 +0\n"), "a line")
    report(3, retries=6)
    score.ok(t.shows(r" 2,050 +0 +- +100,000 100 % +7 +3\n"), "rates are those between two reports")
    w.redis("XADD", "purgeline:{main}:jobs:bulk", "*", "keys", "a")
    score.ok(t.shows(r" 2,050 +1 +\d+.* m?s +100,000"), "jobs that wait, and since when")
    w.lead(brake="held", brake_cause="outage")
    score.ok(t.shows(r"  main: Fastly cannot be reached"), "a verdict that changes is told")
    w.redis("DEL", "purgeline:{main}:lease")
    w.stop("redis")
    score.ok(t.shows(r"  Redis away: .*\n"), "a Redis that is lost is told")
    w.start_redis()
    between = t.shows(r"[^~]*  Redis is back\n")
    score.ok("away" not in between, "… once", between)
    score.ok(t.shows(r"nobody leads it(.*\n)+?time +sent/s") and t.shows(r"\d\d:\d\d:\d\d +0 +0"), "… and it goes on")
    t.type("\x03")
    code, told = t.end()
    score.ok(code == 0 and told.endswith("\n"), "^C ends it", code, told)
    code, told = w.run("set -o pipefail; purgeline status --watch | head -1", 60)
    score.ok(code == 1 and "main: nobody leads it" in told, "it ends when nobody reads any more", code, told)
    for more in ("--json", "--all"):
        code, told = w.run(f"purgeline status --watch {more}")
        score.ok(code == 2 and "cannot be combined" in told, f"not with {more}", told)


def following(w, score):
    """purgeline history -f goes on where it was when Redis, or another one in its place, is back."""
    def ended(n):
        job = json.dumps({"job": f"normal-{n}-0", "state": "purged", "purge": {"keys": [f"article-{n}"]}})
        w.redis("XADD", "purgeline:{main}:history", "*", "v", 1, "n", 1, "sum", n, "at", 1, "jobs", job)

    ended(1)
    t = Terminal(w, "purgeline history -f", NO_COLOR="1")
    score.ok(t.shows(r"article-1\n"), "the last lines come first")
    ended(2)
    score.ok(t.shows(r"article-2\n"), "… then what happens")
    w.stop("redis")
    score.ok(t.shows(r"purgeline history: Redis is away: .*\n"), "a Redis that is lost is told")
    w.start_redis()  # it has no data
    ended(3)
    between = t.shows(r"[^~]*article-3\n")
    score.ok("away" not in between and "Redis is back" in between and "article-2" not in between, "… once, and it goes on", between)
    w.redis("SET", "purgeline:{main}:history", "text")
    score.ok(t.shows(r"Redis refuses: WRONGTYPE"), "what does not pass by itself ends it")
    code, told = t.end()
    score.ok(code == 1, "… with its exit code", code, told)
    w.redis("DEL", "purgeline:{main}:history")


def three_hundred_accounts(w, score):
    """One line each, the worst first; a terminal gets those that matter."""
    names = [f"shop-{n}" for n in range(300)]
    w.write("300.yaml", "accounts:\n" + "".join(f"  - name: {name}\n    services: [{{id: S{name[5:]}, name: n}}]\n" for name in names))
    del w.env["PURGELINE_SERVICES"]
    script = ("for _, n in ipairs(ARGV) do redis.call('SET', 'purgeline:{' .. n .. '}:lease', 'host/a/1/7/1');"
              "redis.call('PEXPIRE', 'purgeline:{' .. n .. '}:lease', 600000);"
              "redis.call('SET', 'purgeline:{' .. n .. '}:status', '{\"state\":\"leading\",\"brake\":\"free\"}') end")
    w.redis("EVAL", script, 0, *(name for name in names if name != "shop-7"))
    w.redis("XADD", "purgeline:{shop-200}:jobs:bulk", "1000-0", "keys", "a")
    w.lead("shop-100", brake="held", brake_cause="throttled")
    code, told = w.run("purgeline status -c 300.yaml")
    lines = told.splitlines()
    score.ok(code == 1 and lines[0] == "300 accounts: 1 needs help, 1 is slowed down, 298 are healthy", "a summary", told)
    score.ok([line.split()[0] for line in lines[1:5]] == ["shop-7", "shop-100", "shop-200", "shop-0"],
             "the worst first, then those that wait longest", told)
    score.ok({line.split()[0] for line in lines[1:301]} == set(names) and fits(told), "a line for each account", told)
    told = w.terminal("purgeline status -c 300.yaml")[1]
    score.ok(len(told.splitlines()) < 40 and "\nand 288 are healthy (--all lists them)\n" in told and fits(told),
             "a terminal gets those that matter", told)
    told = w.run("purgeline status -c 300.yaml -a shop-7")[1]
    score.ok(told.startswith("shop-7: nobody leads it"), "one of them by name", told)
    told = json.loads(w.run("purgeline status -c 300.yaml --json")[1])
    score.ok([a["account"] for a in told["accounts"]] == names, "JSON has all of them, in the order of the configuration")


def main():
    skip_without("redis-server", "redis-cli")
    score = Score()
    w = World()
    try:
        for story in (verdicts, a_backlog, at_a_terminal, watching, following, three_hundred_accounts):
            story(w, score)
    finally:
        w.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
