#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Consumers with `run: true`: `purgeline run` runs them as child processes, starts them again when they end, changes them
at a reload, and none outlives it.
"""
import json
import os
import re
import signal
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from resp import Server  # noqa: E402
from stage import PURGELINE, SERVICE, Score, Stage, ask, free_port, skip_without, until  # noqa: E402
from test_consume import users  # noqa: E402


def consumer(name, url, more="run: true", source="redis-list"):
    return f"""
  - name: {name}
    source: {source}
    topic: {name}
    url: {url}
    keys: ["{name}-{{id}}"]
    {more}
"""


class World:
    def __init__(self):
        self.stage = Stage()
        self.ours, self.theirs = Server(self.stage, "ours"), Server(self.stage, "theirs")
        self.ours.allow("purgeline", "on", ">secret", *dict(users("deploy/redis-acl.conf"))["purgeline"])
        self.port = free_port()
        self.stage.env.update(FASTLY_API_TOKEN="right-token", REDIS_WORD="secret", ANOTHER_SECRET="unrelated")

    def configure(self, *consumers, redis=None):
        self.config = self.stage.write("purgeline.yaml", f"""
redis: {redis or f"redis://127.0.0.1:{self.ours.port}"}
redis_auth: {{user: purgeline, password_env: REDIS_WORD}}
listen: 127.0.0.1:{self.port}
data_dir: {self.stage.path("data")}
accounts:
  - name: main
    api: http://127.0.0.1:9
    services: [{{id: {SERVICE}, name: news}}]
consumers: {"".join(consumers) or "[]"}
""")

    def start(self):
        self.stage.start("run", PURGELINE, "run", "--config", self.config)
        until("it listens", lambda: ask(f"http://127.0.0.1:{self.port}/livez")[0] == 200)

    def reload(self):
        def times():
            return self.log().count("were reloaded")
        before = times()
        self.stage.signal("run", signal.SIGHUP)
        until("the configuration is reloaded", lambda: times() > before)

    def log(self):
        return self.stage.log("run")

    def children(self):
        """The consumers that run, by name, wherever their parent is."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as words:
                    argv = words.read().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "consume" in argv and self.config in argv:
                found[argv[-2]] = int(pid)
        return found

    def push(self, name, number):
        self.theirs.ask("RPUSH", name, json.dumps({"id": number}))

    def jobs(self):
        entries = self.ours.ask("XRANGE", "purgeline:{main}:jobs:normal", "-", "+")
        return re.findall(r"[a-z]+-\d+", " ".join(" ".join(fields) for _, fields in entries))

    def became_job(self, name, number):
        self.push(name, number)
        until(f"{name}-{number}", lambda: f"{name}-{number}" in self.jobs())


def runs(score, world):
    world.configure(consumer("articles", world.theirs.url), consumer("images", world.theirs.url, "run: false"))
    world.start()
    world.became_job("articles", 1)
    children = world.children()
    score.ok(list(children) == ["articles"], "those with run: true run, and no others", children)
    with open(f"/proc/{children['articles']}/environ", "rb") as text:
        environment = text.read()
    score.ok(b"right-token" not in environment and b"unrelated" not in environment and b"REDIS_WORD=secret" in environment,
             "the child gets the variables that it needs, and no token", environment)
    score.ok(not world.ours.ask("ACL", "LOG"), "the daemon's user of Redis may do all of it", world.ours.ask("ACL", "LOG"))
    return children


def started_again(score, world, children):
    os.kill(children["articles"], signal.SIGKILL)
    world.became_job("articles", 2)
    score.ok('consumer=articles why="signal 9' in world.log(), "one that is killed is started again, and the log says so",
             world.log())


def reloaded(score, world):
    before = world.children()
    world.configure(consumer("articles", world.theirs.url), consumer("images", world.theirs.url))
    world.reload()
    world.became_job("images", 1)
    score.ok(world.children()["articles"] == before["articles"],
             "a reload starts one more, and leaves the other alone", world.children())
    world.configure(consumer("articles", world.theirs.url).replace("articles-{", "stories-{"),
                    consumer("images", world.theirs.url, "run: false"))
    world.reload()
    world.push("articles", 3)
    until("the new template", lambda: "stories-3" in world.jobs())
    until("the other has ended", lambda: list(world.children()) == ["articles"])
    score.ok(world.children()["articles"] != before["articles"], "a reload starts one again whose settings changed")


def fails(score, world):
    world.configure(consumer("articles", world.theirs.url), consumer("broken", world.theirs.url))
    with open(world.config) as text:
        wrong = text.read()
    world.reload()
    until("both have read the file", lambda: '"Consuming messages" consumer=broken' in world.log())
    # The file becomes invalid without a reload: the daemon goes on, and a child that is started cannot.
    world.stage.write("purgeline.yaml", wrong.replace("topic: broken", "topik: broken"))
    os.kill(world.children()["broken"], signal.SIGKILL)
    ready = until("it is told", lambda: (lambda got: "broken ended" in got[1] and got)(ask(f"http://127.0.0.1:{world.port}/readyz")))
    told = json.loads(ready[1])
    score.ok(ready[0] == 200 and told["status"] == "ok" and "exit code 2" in told["consumers"],
             "one that keeps ending is named by /readyz, which stays 200", ready)
    score.ok("topik" in world.log(), "the log says why", world.log())
    world.stage.write("purgeline.yaml", wrong)
    world.became_job("broken", 1)
    score.ok(True, "when the file is right again, it runs")


def none_outlives(score, world):
    child = world.stage.children["run"]
    before = world.log().count("Stopped as asked")
    child.terminate()
    score.ok(child.wait(60) == 0 and not world.children(), "SIGTERM ends the daemon and its consumers", world.log())
    score.ok(world.log().count("Stopped as asked") == before + 2, "they finish their messages", world.log())
    world.start()
    until("both run", lambda: len(world.children()) == 2)
    world.became_job("articles", 9)
    world.stage.stop("run", kill=True)
    until("none is left", lambda: not world.children())
    score.ok(True, "kill -9 of the daemon ends them, too")


def embedded(score, world):
    world.configure(consumer("articles", world.theirs.url), redis="embedded")
    with open(world.config) as text:
        world.config = world.stage.write("embedded.yaml", re.sub(r"redis_auth: .*\n", "", text.read()))
    world.start()
    world.push("articles", 10)
    until("it is fetched", lambda: world.theirs.ask("LLEN", "articles") == 0 and
          world.theirs.ask("LLEN", "{articles}:purgeline:articles") == 0)
    shown = world.stage.must(f"{PURGELINE} status --json --config {world.config}")
    score.ok('"jobs": 1' in shown or '"jobs":1' in shown, "with the embedded Redis it works, too", shown)
    child = world.stage.children["run"]
    child.terminate()
    score.ok(child.wait(60) == 0 and not world.children(), "and ends before that Redis", world.log())


def main():
    skip_without("redis-server", "setpriv")
    score = Score()
    world = World()
    try:
        children = runs(score, world)
        started_again(score, world, children)
        reloaded(score, world)
        fails(score, world)
        none_outlives(score, world)
        embedded(score, world)
    finally:
        world.stage.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
