#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The console in a real browser (Debian's Chromium): live/console/play.mjs plays it, with a real daemon, a real Redis and
the sandbox. This file starts them, and checks what they have logged.

    test_console.py                 the test
    test_console.py --shots FOLDER  only makes the pictures of the README
"""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import SERVICE, Score, Stage, ask, free_port, skip_without, until  # noqa: E402

PATIENCE_S = 600
TOKENS = {"ops": "ops-7f3c9d52e1", "cms": "cms-b8d2407a66"}

CONFIG = """\
listen: 127.0.0.1:{port}
redis: redis://127.0.0.1:{redis}
accounts:
  - name: main
    api: {api}
    ca_file: {ca}
    services: [{{id: {service}, name: news}}]
    attempts: 2
  - name: shop
    api: {api}
    ca_file: {ca}
    services: [{{id: {service}, name: store}}]
    verify: {{after_ms: 600000, probes: ["127.0.0.1:9"]}}
producers:
  - {{name: ops, token_sha256: "{ops}", kinds: [url, key, all], admin: true}}
  - {{name: cms, token_sha256: "{cms}", accounts: [main], kinds: [key]}}
"""


def install(folder):
    """The pinned packages; skips the test if the registry is away and they are not there from an earlier run."""
    os.makedirs(folder, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(os.path.join(HERE, "console", name), folder)
    done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"], cwd=folder,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    if done.returncode:
        told = done.stdout.decode()
        if "ENOTFOUND" in told or "ECONNREFUSED" in told or "ETIMEDOUT" in told or "EAI_AGAIN" in told:
            print(f"skip - npm cannot reach its registry: {told[-300:]}")
            sys.exit(77)
        raise AssertionError(told)


class World(Stage):
    def __init__(self):
        super().__init__()
        self.fastly()
        self.port, redis = free_port(), free_port()
        digests = {name: hashlib.sha256(token.encode()).hexdigest() for name, token in TOKENS.items()}
        self.write("p.yaml", CONFIG.format(port=self.port, redis=redis, api=self.env["SANDBOX_API"],
                                           ca=self.env["SANDBOX_CA"], service=SERVICE, **digests))
        self.profiles = 0
        for name in ("PURGELINE_API", "PURGELINE_CA_FILE"):  # they are in the file, for each account
            del self.env[name]
        self.env.update(PURGELINE_CONFIG=self.path("p.yaml"), FASTLY_API_TOKEN="right-token")
        self.start("redis", "redis-server", "--port", str(redis), "--save", "")
        until("Redis answers", lambda: self.run(f"redis-cli -p {redis} PING")[1] == "PONG\n")
        self.start_daemon()

    def start_daemon(self):
        self.start("daemon", "purgeline", "run", "--log-level", "debug")
        until("the daemon is ready", lambda: ask(f"http://127.0.0.1:{self.port}/readyz")[0] == 200)

    def forget_producers(self):
        self.stop("daemon")
        with open(self.path("p.yaml")) as config:
            self.write("p.yaml", config.read().split("producers:")[0])
        self.start_daemon()

    def play(self, packages, *words):
        self.profiles += 1
        given = {"base": f"http://127.0.0.1:{self.port}", "control": self.env["SANDBOX_CONTROL"], "tokens": TOKENS,
                 "profile": self.path(f"browser-{self.profiles}"), "daemon": self.children["daemon"].pid, "service": SERVICE}
        return subprocess.Popen(["node", os.path.join(HERE, "console", "play.mjs"), *words], cwd=self.dir,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                env={**self.env, "GIVEN": json.dumps(given), "PACKAGES": packages})


def obey(world, score, player):
    """Counts the checks of the player, which is stopped if it never ends."""
    watch = threading.Timer(PATIENCE_S, player.kill)
    watch.start()
    for line in player.stdout:
        line = line.rstrip("\n")
        if line.startswith("ok - "):
            score.ok(True, line[5:])
        elif line.startswith("not ok - "):
            score.ok(False, line[9:])
        else:
            print(line, flush=True)
    watch.cancel()
    if player.wait():
        score.ok(False, "the player has ended well", world.log("daemon"))


def main():
    skip_without("chromium", "npm", "node", "redis-server", "nginx", "varnishd")
    packages = os.environ.get("CONSOLE_DIR") or os.path.join(os.getcwd(), "console-packages")
    install(packages)
    score = Score()
    world = World()
    try:
        obey(world, score, world.play(packages, *(os.path.abspath(word) if n else word for n, word in enumerate(sys.argv[1:]))))
        log = world.log("daemon")
        score.ok("HTTP request answered" in log, "the daemon has logged every request")
        if len(sys.argv) == 1:
            world.forget_producers()
            obey(world, score, world.play(packages, "--open"))
        for name, token in TOKENS.items():
            score.ok(token not in log, f"no token of {name} is in the log")
    finally:
        world.close()
    return score.close() if len(sys.argv) == 1 else score.failed


if __name__ == "__main__":
    sys.exit(main())
