#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A URL that promises another kind of server than there is: a Redis alone, a sentinel, a node of a Cluster. The commands,
`check` and the daemon say which URL is right.
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import SERVICE, Stage, free_port, play, skip_without, until  # noqa: E402

NO_CLUSTER = "this Redis is no Cluster: name it with redis://"
SENTINEL = "this is a sentinel, not a Redis that keeps data: name it with redis+sentinel://"
NO_SENTINEL = "it is no sentinel but a Redis that keeps data: name it with redis://"
CLUSTER = "this Redis belongs to a Cluster"


class World(Stage):
    def __init__(self):
        super().__init__()
        # No Fastly: only what is said about Redis matters.
        self.env.update(FASTLY_API_TOKEN="a-token", FASTLY_SERVICE_ID=SERVICE, PURGELINE_API="https://127.0.0.1:1",
                        PURGELINE_LISTEN=f"127.0.0.1:{free_port()}", PURGELINE_DATA_DIR=self.path("data"))
        self.ports = {name: free_port() for name in ("alone", "sentinel", "node1", "node2")}
        for name in ("alone", "node1", "node2"):
            self.start_redis(name)
        conf = self.write("sentinel/sentinel.conf", f"port {self.ports['sentinel']}\nbind 127.0.0.1\n"
                          f"dir {self.path('sentinel')}\nsentinel monitor mymaster 127.0.0.1 {self.ports['alone']} 1\n")
        self.start("sentinel", "redis-server", conf, "--sentinel")
        for name in self.ports:
            until(f"{name} answers", lambda: self.cli(name, "PING") == "PONG")
        self.make_cluster()

    def start_redis(self, name):
        os.makedirs(self.path(name))
        words = ["--cluster-enabled", "yes", "--cluster-port", str(free_port())] if "node" in name else []
        self.start(name, "redis-server", "--port", str(self.ports[name]), "--bind", "127.0.0.1", "--dir",
                   self.path(name), "--save", "", "--maxmemory-policy", "noeviction", *words)

    def make_cluster(self):
        self.cli("node1", "CLUSTER", "ADDSLOTSRANGE", 0, 8191)
        self.cli("node2", "CLUSTER", "ADDSLOTSRANGE", 8192, 16383)
        bus = self.cli("node2", "CONFIG", "GET", "cluster-port").split()[-1]
        self.cli("node1", "CLUSTER", "MEET", "127.0.0.1", self.ports["node2"], bus)
        for name in ("node1", "node2"):
            until("the Cluster is whole", lambda: "cluster_state:ok" in self.cli(name, "CLUSTER", "INFO"))
        slot = int(self.cli("node1", "CLUSTER", "KEYSLOT", "purgeline:{main}:lease"))
        self.owner, self.other = ("node1", "node2") if slot < 8192 else ("node2", "node1")

    def cli(self, name, *words):
        done = subprocess.run(["redis-cli", "-p", str(self.ports[name]), *map(str, words)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.env, timeout=60)
        return done.stdout.decode().strip()

    def use(self, scheme, name, rest=""):
        self.env["PURGELINE_REDIS"] = f"{scheme}://127.0.0.1:{self.ports[name]}{rest}"

    def daemon_says(self, text):
        self.start("purgeline", "purgeline", "run")
        try:
            until(f"the daemon says {text}", lambda: text in self.log("purgeline"))
            return True
        except AssertionError:
            return False
        finally:
            self.stop("purgeline")
            os.rename(self.path("purgeline.log"), self.path("last.log"))


def assert_explained(w, score, words):
    """Command, check and daemon; the first two fail because Redis cannot be used."""
    what = w.env["PURGELINE_REDIS"].split("@")[0]
    code, told = w.run("purgeline status")
    score.ok(code == 3 and words in told, f"{what}: a command says what is wrong", code, told)
    code, told = w.run("purgeline push 'https://www.example.com/'")
    score.ok(code == 3 and words in told, f"{what}: push says it", code, told)
    code, told = w.run("purgeline check")
    score.ok(code == 3 and "fail  redis: " in told and words in told and "correct 'redis'" in told,
             f"{what}: check says it", code, told)
    score.ok(w.daemon_says(words), f"{what}: the daemon says it", w.log("last"))


def servers_of_another_kind_are_explained(w, score):
    for scheme, name, rest, words in (("redis+cluster", "alone", "", NO_CLUSTER),
                                      ("redis", "sentinel", "", SENTINEL),
                                      ("redis", "sentinel", "/1", SENTINEL),
                                      ("redis+cluster", "sentinel", "", SENTINEL),
                                      ("redis+sentinel", "alone", "/mymaster", NO_SENTINEL),
                                      ("redis+sentinel", "node1", "/mymaster", NO_SENTINEL)):
        w.use(scheme, name, rest)
        assert_explained(w, score, words)


def a_node_of_a_cluster_is_no_redis_alone(w, score):
    w.use("redis", w.other)
    code, told = w.run("purgeline check")
    score.ok(code == 1 and "another node of it has the account's keys" in told and "redis+cluster://" in told,
             "redis:// to a node without the account: check says it", code, told)
    code, told = w.run("purgeline push 'https://www.example.com/'")
    score.ok(code != 0 and CLUSTER in told, "redis:// to a node without the account: push says it", code, told)
    code, told = w.run("seq 3 | purgeline push -")
    score.ok(code == 3 and CLUSTER in told and "MOVED" not in told,
             "redis:// to a node without the account: `push -` says it", code, told)
    score.ok(w.daemon_says(CLUSTER), "redis:// to a node without the account: the daemon says it", w.log("last"))
    w.use("redis", w.owner)
    code, told = w.run("purgeline check")
    score.ok(CLUSTER in told and "redis+cluster://" in told and "another node of it has" not in told,
             "redis:// to the node of the account: check warns", code, told)
    score.ok(w.daemon_says("leads the account"), "redis:// to the node of the account works", w.log("last"))


def the_right_urls_work(w, score):
    for scheme, name, rest in (("redis", "alone", ""), ("redis+sentinel", "sentinel", "/mymaster"),
                               ("redis+cluster", w.other, "")):
        w.use(scheme, name, rest)
        code, told = w.run("purgeline check")
        score.ok("fail  redis" not in told and CLUSTER not in told, f"{w.env['PURGELINE_REDIS']} is fine", code, told)
        score.ok(w.daemon_says("leads the account"), f"{w.env['PURGELINE_REDIS']} works", w.log("last"))


def main():
    skip_without("redis-server", "redis-cli")
    return play((servers_of_another_kind_are_explained, a_node_of_a_cluster_is_no_redis_alone, the_right_urls_work), World())


if __name__ == "__main__":
    sys.exit(main())
