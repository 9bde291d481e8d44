#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What may be between purgeline and Redis: a proxy that knows no SUBSCRIBE, or ends the connection for it; and a name
with several addresses, of which some are dead or answer nothing.
"""
import os
import socket
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import SERVICE, Score, Stage, ask, free_port, skip_without, until  # noqa: E402

LEADS = "leads the account"
REFUSAL = b"-ERR unknown command 'SUBSCRIBE'\r\n"


class Proxy:
    """Passes on whole commands, except SUBSCRIBE: it answers that itself, or closes the connection for `answer` ""."""

    def __init__(self, port, answer):
        self.target, self.answer, self.subscribes = port, answer, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client = self.listener.accept()[0]
            server = socket.create_connection(("127.0.0.1", self.target))
            threading.Thread(target=self.answers, args=(server, client), daemon=True).start()
            threading.Thread(target=self.commands, args=(client, server), daemon=True).start()

    @staticmethod
    def answers(server, client):
        try:
            while data := server.recv(65536):
                client.sendall(data)
        except OSError:
            pass
        Proxy.end(server, client)

    @staticmethod
    def end(*sockets):
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def commands(self, client, server):
        try:
            with client.makefile("rb") as lines:
                while (count := lines.readline()).startswith(b"*"):
                    words = [lines.read(int(lines.readline()[1:]) + 2)[:-2] for _ in range(int(count[1:]))]
                    if words[0].upper() != b"SUBSCRIBE":
                        server.sendall(count + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
                        continue
                    self.subscribes += 1
                    if not self.answer:
                        break
                    client.sendall(self.answer)
        except (OSError, ValueError):
            pass
        self.end(client, server)


class World(Stage):
    def __init__(self):
        super().__init__()
        self.fastly()
        self.port, self.http = free_port(), free_port()
        self.env.update(FASTLY_API_TOKEN="right-token", FASTLY_SERVICE_ID=SERVICE, PURGELINE_SENDERS="1",
                        PURGELINE_LISTEN=f"127.0.0.1:{self.http}")
        self.start("redis", "redis-server", "--port", str(self.port), "--bind", "127.0.0.1 127.0.0.3", "--dir", self.dir,
                   "--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction")
        until("Redis answers", lambda: "PONG" in self.run(f"redis-cli -p {self.port} PING")[1])
        self.leads = 0

    def start_daemon(self, *before):
        self.start("purgeline", *before, "purgeline", "run")
        self.leads += 1
        until("the daemon leads", lambda: self.said(LEADS) >= self.leads)

    def said(self, text):
        return self.log("purgeline").count(text)


def a_proxy_without_subscribe(w, score, what, answer):
    proxy = Proxy(w.port, answer)
    w.env["PURGELINE_REDIS"] = f"redis://127.0.0.1:{proxy.port}"
    w.start_daemon()
    code, told = w.run("purgeline push --wait=30s by-command")
    score.ok(code == 0 and "purged" in told, f"{what}: a command learns that its job is purged", code, told)
    code, told = w.run(f"curl -s -H 'Prefer: wait=30' -X POST -d '{{\"keys\":[\"by-http\"]}}' "
                       f"'http://127.0.0.1:{w.http}/v1/purge'")
    score.ok('"state":"purged"' in told, f"{what}: so does an HTTP client", code, told)
    score.ok(proxy.subscribes > 0, f"{what}: SUBSCRIBE was tried")
    score.ok(w.said("SUBSCRIBE") <= 2, f"{what}: the log does not repeat it", w.log("purgeline"))
    score.ok(ask(f"http://127.0.0.1:{w.http}/readyz")[0] == 200, f"{what}: the daemon is ready", w.log("purgeline"))
    w.stop("purgeline")


def refused(w, score):
    a_proxy_without_subscribe(w, score, "SUBSCRIBE refused", REFUSAL)


def closed(w, score):
    a_proxy_without_subscribe(w, score, "SUBSCRIBE ends the connection", b"")


def some_addresses_are_dead(w, score):
    """The name has three addresses: at one nobody listens, one answers nothing, and at the third there is Redis."""
    silent = socket.create_server(("127.0.0.2", w.port), backlog=0)
    waiting = []
    for _ in range(4):  # its queue is full now, so the kernel ignores further connections
        waiting.append(socket.socket())
        waiting[-1].setblocking(False)
        waiting[-1].connect_ex(("127.0.0.2", w.port))
    hosts = w.write("hosts", "127.0.0.1 localhost\n127.0.0.4 redis.test\n127.0.0.2 redis.test\n127.0.0.3 redis.test\n")
    inside = ["unshare", "--mount", "sh", "-c", f"mount --bind {hosts} /etc/hosts && exec \"$@\"", "sh"]
    if subprocess.run([*inside, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode:
        print("skip - no mount namespace (it takes root), so no name with several addresses")
        return
    w.env["PURGELINE_REDIS"] = f"redis://redis.test:{w.port}"
    done = subprocess.run([*inside, "purgeline", "status"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=w.env,
                          check=False, timeout=60)
    score.ok(done.returncode in (0, 1), "a command finds the address that works", done.returncode, done.stdout)
    w.start_daemon(*inside)
    code, told = w.run(f"PURGELINE_REDIS=redis://127.0.0.1:{w.port} purgeline push --wait=30s a-key")
    score.ok(code == 0 and "purged" in told, "so does the daemon", code, told, w.log("purgeline"))
    w.run(f"redis-cli -p {w.port} CLIENT KILL TYPE normal")
    code, told = w.run(f"PURGELINE_REDIS=redis://127.0.0.1:{w.port} purgeline push --wait=30s another-key")
    score.ok(code == 0 and "purged" in told, "and again after the connection has ended", code, told,
             w.log("purgeline"))
    w.stop("purgeline")
    silent.close()


def main():
    skip_without("redis-server", "redis-cli", "nginx", "varnishd", "curl")
    score = Score()
    w = World()
    try:
        for story in (refused, closed, some_addresses_are_dead):
            try:
                story(w, score)
            except (AssertionError, OSError, subprocess.SubprocessError) as wrong:
                score.ok(False, story.__name__, repr(wrong), w.log("purgeline"))
                w.stop("purgeline")
    finally:
        w.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
