#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""purgeline top, played in tmux: what is on the screen after each key, at 80 columns and 24 lines and in other sizes, and
while Redis comes and goes."""
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "support"))
from stage import Score, Stage, free_port, skip_without, until  # noqa: E402

CONFIG = """\
accounts:
  - {name: shop, services: [{id: S1, name: news}]}
  - {name: blog, services: [{id: S2, name: news}]}
  - {name: wiki, services: [{id: S3, name: news}]}
consumers:
  - {name: articles, account: blog, source: redis-list, topic: changes, keys: ["a"]}
"""
TABS = " 1 Accounts   2 Lanes   3 Dead letters   4 Consumers   5 Instances"
KEYS = "q quit  TAB tab  s sort  / filter  ENTER look  p pause  r resume  ? help"
LETTER_KEYS = "q quit  TAB tab  s sort  / filter  ENTER look  t retry  d delete  ? help"


class World(Stage):
    def __init__(self):
        super().__init__()
        self.port = free_port()
        self.opened = 0
        self.write("p.yaml", CONFIG)
        self.env.update(PURGELINE_CONFIG=self.path("p.yaml"), PURGELINE_REDIS=f"redis://127.0.0.1:{self.port}", TZ="UTC0")
        self.start_redis()

    def start_redis(self):
        self.start("redis", "redis-server", "--port", str(self.port), "--save", "")
        until("Redis answers", lambda: self.run(f"redis-cli -p {self.port} PING")[1] == "PONG\n")

    def redis(self, *words):
        return subprocess.run(["redis-cli", "-p", str(self.port), *map(str, words)], check=True, env=self.env,
                              stdout=subprocess.PIPE).stdout.decode().strip()

    def lead(self, account, leader="web1/a/1/7/1", **report):
        self.redis("SET", f"purgeline:{{{account}}}:lease", leader, "PX", 600000)
        self.redis("SET", f"purgeline:{{{account}}}:status", json.dumps({"state": "leading", "brake": "free", **report}))

    def fill(self):
        """shop is held by Fastly, blog is healthy and has dead letters, nobody leads wiki."""
        self.redis("FLUSHALL")
        self.lead("shop", brake="held", brake_cause="throttled", brake_until=1800000190000)
        self.lead("blog", "web2/a/1/8/1", at=1000)
        for n in range(3):
            self.redis("XADD", "purgeline:{shop}:jobs:bulk", f"{1700000000000 + n}-0", "keys", f"k{n}")
        for n in (1, 2):
            self.redis("XADD", "purgeline:{blog}:dead", f"170000000000{n}-0", "keys", f"article-{n}", "service", "S2",
                       "dead_reason", "no such \x1b[2Jservice", "dead_job", f"normal-{n}-0", "dead_at",
                       1700000000000 + n * 60000, "dead_target", f"article-{n}")

    def is_asked(self):
        """Whether Redis has received something that it has not read."""
        with open("/proc/net/tcp") as lines:
            fields = [line.split() for line in lines][1:]
        return any(f[1].endswith(f":{self.port:04X}") and f[3] == "01" and int(f[4].split(":")[1], 16) for f in fields)

    def tmux(self, *words):
        """Each terminal has a server of its own, because one that is told to end takes a moment."""
        return subprocess.run(["tmux", "-L", f"purgeline-{os.getpid()}-{self.opened}", "-f", "/dev/null", *words], check=True, env=self.env,
                              stdout=subprocess.PIPE).stdout.decode()

    def open(self, command, columns=80, lines=24, **more_env):
        given = [word for name, value in more_env.items() for word in ("-e", f"{name}={value}")]
        self.opened += 1
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(lines), *given, "bash --norc --noprofile")
        until("a prompt", lambda: re.search(r"[$#]", self.screen()[0]))
        self.keys(f"{command}; echo code $?", "Enter")

    def close_tmux(self):
        subprocess.run(["tmux", "-L", f"purgeline-{os.getpid()}-{self.opened}", "kill-server"], stderr=subprocess.DEVNULL)

    def keys(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self, *options):
        return self.tmux("capture-pane", "-p", *options).splitlines()

    def shows(self, what, *patterns):
        """Waits for a screen that has all these lines, in this order; returns it."""
        pattern = re.compile("".join(rf"^{p} *\n(?:.*\n)*?" for p in patterns), re.M)
        last = [""]

        def found():
            last[0] = "\n".join(self.screen()) + "\n"
            return last[0] if pattern.search(last[0]) else None
        try:
            return until(what, found)
        except AssertionError as wrong:
            raise AssertionError(f"{wrong}\n{last[0]}") from wrong


def accounts(w, score):
    """The worst first; sorted and filtered by key."""
    w.open("purgeline top")
    screen = w.shows("the accounts", r"purgeline top  3 accounts, 1 in trouble  \d\d:\d\d:\d\d", re.escape(TABS),
                     "10 s, 100 s, 1000 s: targets sent per second, on average",
                     r"account       verdict         waiting  oldest  budget left   10 s  100 s 1000 s",
                     r"wiki          nobody leads          0       - \[█████\] 100%      0      0      0",
                     r"shop          held \(429\)            3 +\d+ d \[█████\] 100%      0      0      0",
                     r"blog          healthy               0       - \[█████\] 100%      0      0      0",
                     r"wiki: nobody leads it: start 'purgeline run', or look at its log", re.escape(KEYS))
    score.ok(len(screen.splitlines()) == 24 and max(map(len, screen.splitlines())) <= 80, "80 columns, 24 lines", screen)
    w.lead("blog", "web2/a/1/8/1", at=11000, requests=100, batches=0)
    score.ok(w.shows("a rate", r"blog +healthy .* [1-9][\d,.]* +[1-9][\d,.]* +[1-9][\d,.]*"), "rates")
    w.keys("Down")
    score.ok(w.shows("another row", r"shop: held by Fastly until 08:03:10 \(429\); .*", re.escape(KEYS)), "rows are selected")
    w.keys("s")
    score.ok(w.shows("sorted by what waits", "shop .*", "blog .*", "wiki .*"), "s sorts by the next column")
    w.keys("S")
    score.ok(w.shows("the other way round", "blog .*", "wiki .*", "shop .*", "shop: held .*"), "S the other way round")
    w.keys("/", "NOBODY", "Enter")
    screen = w.shows("a filter", 'only with "NOBODY".*', "wiki .*")
    score.ok("shop  " not in screen, "/ filters", screen)
    w.keys("Escape")
    score.ok(w.shows("all of them", "blog .*", "wiki .*", "shop .*"), "ESC shows all again")
    w.keys("/", "shop", "Enter", "Enter")
    score.ok(w.shows("an account", "shop: held by Fastly until 08:03:10 .*", "All there is to know: .* -a shop"), "ENTER looks")
    w.keys("q")
    w.shows("the table", 'only with "shop".*')
    w.keys("Escape", "?")
    score.ok(w.shows("the keys", "Keys", "q, .C +quit"), "? lists the keys")
    w.keys("q")
    w.shows("the table", re.escape(TABS), "blog .*")
    w.keys("q")
    score.ok(w.shows("the end", "code 0"), "q quits")
    w.close_tmux()


def what_changes_something(w, score):
    """Pause, resume, retry and delete ask first."""
    w.open("purgeline top")
    w.shows("the accounts", "wiki .*", "shop .*", "blog .*")
    w.keys("/", "blog", "Enter")
    w.shows("one", 'only with "blog".*', "blog .*")
    w.keys("p", "deploying", "Escape")
    w.shows("the keys again", re.escape(KEYS))
    score.ok(w.redis("HGET", "purgeline:{blog}:control", "paused") == "", "ESC does not pause")
    w.keys("p", "deplx", "BSpace", "oying", "Enter")
    score.ok(w.shows("a pause", "blog +paused .*", "blog.*is paused|blog: paused: deploying"), "p pauses")
    score.ok(w.redis("HMGET", "purgeline:{blog}:control", "paused", "why") == "1\ndeploying", "… with the reason")
    w.keys("r")
    w.shows("a question", r"Resume blog\? y/n")
    w.keys("n")
    w.shows("no", re.escape(KEYS))
    score.ok(w.redis("HGET", "purgeline:{blog}:control", "paused") == "1", "n does nothing")
    w.keys("r", "y")
    score.ok(w.shows("it goes on", "blog +healthy .*", "blog goes on|blog: healthy.*"), "r resumes")
    w.keys("Escape", "3")
    w.shows("dead letters", "account +given up target +reason",
            r"blog +11-14 22:15:20 article-2 +no such \\x1b\[2Jservice",
            r"blog +11-14 22:14:20 article-1 +no such \\x1b\[2Jservice", re.escape(LETTER_KEYS))
    score.ok(True, "dead letters, the latest first, cannot control the terminal")
    w.keys("Enter")
    score.ok(w.shows("all of one", "blog, dead letter 1700000000002-0 of job normal-2-0", "keys: article-2", "service: S2"),
             "ENTER looks into one")
    w.keys("Escape")
    w.shows("the list", "blog .*article-2 .*", "blog .*article-1 .*")
    w.keys("Down", "t")
    w.shows("a question", r"Push again, of blog: article-1\? y/n")
    w.keys("y")
    w.shows("one less", "blog has the job again", re.escape(LETTER_KEYS))
    score.ok(w.redis("XRANGE", "purgeline:{blog}:dead", "-", "+").count("keys") == 1 and
             "article-1" in w.redis("XRANGE", "purgeline:{blog}:jobs:normal", "-", "+"), "t pushes the job again")
    w.keys("d")
    w.shows("a question", r"Delete for good, of blog: article-2\? y/n")
    w.keys("y")
    w.shows("none left", "nothing")
    score.ok(w.redis("XLEN", "purgeline:{blog}:dead") == "0", "d deletes it")
    w.keys("q")
    w.shows("the end", "code 0")
    w.close_tmux()


def the_other_tabs(w, score):
    w.open("purgeline top")
    w.shows("the accounts", "wiki .*")
    w.keys("Tab")
    score.ok(w.shows("lanes", "account +lane +jobs +in hand +oldest +p99", r"shop +bulk +3 +0 +\d+ d +-", "blog +.*"), "lanes")
    w.keys("4")
    score.ok(w.shows("consumers", "account +consumer +state .*", "blog +articles +not running .*"), "consumers")
    w.keys("Right")
    score.ok(w.shows("instances", "instance +leads +of accounts", "web1, process 7 +1 +1 shop", "web2, process 8 +1 +1 blog"),
             "instances")
    w.keys("Tab")
    score.ok(w.shows("the first tab", "wiki +nobody leads .*"), "after the last comes the first")
    w.keys("C-c")
    score.ok(w.shows("the end", "code 0"), "^C quits")
    w.close_tmux()


def redis_comes_and_goes(w, score):
    w.open("purgeline top")
    w.shows("the accounts", "wiki .*", "shop .*")
    w.stop("redis")
    screen = w.shows("what is wrong", r"purgeline top  Redis away since \d\d:\d\d:\d\d: .*", "wiki .*", "shop .*")
    score.ok("held (429)" in screen, "a Redis that is lost is told, with what was last seen", screen)
    w.keys("p", "no", "Enter")
    score.ok(w.shows("the result", "wiki: not done: .*"), "… and that nothing can be changed")
    w.start_redis()
    w.lead("shop")
    score.ok(w.shows("it is back", "purgeline top  3 accounts.*", "shop +healthy .*"), "it comes back by itself")
    w.signal("redis", 19)  # SIGSTOP: it is silent
    try:
        until("an answer is awaited", w.is_asked)
        w.keys("2")
        score.ok(w.shows("another tab", "account +lane .*"), "keys work while Redis is silent")
        w.keys("q")
        score.ok(w.shows("the end", "code 0"), "q works, too")
    finally:
        w.signal("redis", 18)
    w.close_tmux()


def sizes_and_terminals(w, score):
    for columns, lines in ((40, 10), (200, 50)):
        w.open("purgeline top", columns, lines)
        w.shows("the accounts", "wiki .*", "shop .*")
        screen = w.screen()
        score.ok(max(map(len, screen)) <= columns and len(screen) <= lines, f"{columns} columns, {lines} lines", screen)
        w.tmux("resize-window", "-x", "30", "-y", "8")
        score.ok(w.shows("too small", "The terminal is too small"), "a smaller one is told")
        w.tmux("resize-window", "-x", "80", "-y", "24")
        score.ok(w.shows("the accounts", "wiki .*", "shop .*", re.escape(KEYS)), "a change of size is followed")
        w.keys("q")
        w.shows("the end", "code 0")
        w.close_tmux()
    w.open("purgeline top", LC_ALL="C")
    score.ok(w.shows("the accounts", r"wiki +nobody leads +0 +- \[#####\] 100% .*"), "a locale without UTF-8")
    score.ok("\x1b[31m" in "\n".join(w.screen("-e")), "trouble is red")
    w.keys("q")
    w.shows("the end", "code 0")
    w.close_tmux()
    w.open("purgeline top", NO_COLOR="1")
    w.shows("the accounts", "wiki .*", "shop .*")
    screen = "\n".join(w.screen("-e"))
    score.ok(not re.search(r"\x1b\[[\d;]*3[0-7]m", screen), "NO_COLOR is obeyed", repr(screen))
    w.keys("C-c")
    w.shows("the end", "code 0")
    w.close_tmux()
    code, told = w.run("purgeline top")
    score.ok(code == 2 and "it needs a terminal" in told, "without a terminal it says so", told)
    w.open("TERM=nonsense purgeline top")
    score.ok(w.shows("the reason", ".*the terminal nonsense cannot be used; .*", "code 2"), "so it does in an unknown one")
    w.close_tmux()


def main():
    skip_without("tmux", "redis-server", "redis-cli")
    score = Score()
    w = World()
    try:
        if "without ncurses" in w.run("purgeline top")[1]:
            print("skip - it was built without ncurses")
            return 77
        for story in (accounts, what_changes_something, the_other_tabs, redis_comes_and_goes, sizes_and_terminals):
            w.fill()
            story(w, score)
    except AssertionError as wrong:
        score.ok(False, "a screen", wrong)
    finally:
        w.close_tmux()
        w.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
