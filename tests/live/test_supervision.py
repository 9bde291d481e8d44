#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the daemon tells systemd, heard at a socket like that of systemd. tests/systemd has a real one."""
import os
import signal
import socket
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import PATIENCE_S, SERVICE, Stage, ask, free_port, play, skip_without, until  # noqa: E402


class World(Stage):
    def __init__(self):
        super().__init__()
        self.http = f"127.0.0.1:{free_port()}"
        self.env.update(FASTLY_API_TOKEN="a-token", FASTLY_SERVICE_ID=SERVICE, PURGELINE_API="https://127.0.0.1:1",
                        PURGELINE_LISTEN=self.http, PURGELINE_DATA_DIR=self.path("data"))
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(self.path("notify"))
        self.manager.settimeout(PATIENCE_S)
        self.heard = []
        self.start("daemon", "purgeline", "run", NOTIFY_SOCKET=self.path("notify"), WATCHDOG_USEC="400000")

    def hear(self, beginning):
        """The next message with this beginning. Those before it are in self.heard."""
        while True:
            self.heard.append(self.manager.recv(4096).decode())
            if self.heard[-1].startswith(beginning):
                return self.heard[-1]

    def close(self):
        super().close()
        self.manager.close()


def test(w, score):
    w.hear("READY=1")
    score.ok(ask(f"http://{w.http}/livez")[0] == 200, "ready means that the endpoint listens")
    score.ok("STATUS=Waiting for the embedded Redis" in w.heard, "until then systemd shows what it waits for", w.heard)
    score.ok(any(told.startswith("EXTEND_TIMEOUT_USEC=") for told in w.heard), "and gives it time", w.heard)
    until("systemd shows that it dispatches", lambda: w.hear("STATUS=") == "STATUS=Dispatching")
    score.ok(True, "then systemd shows that it dispatches")
    for _ in range(3):
        w.hear("WATCHDOG=1")
    score.ok(True, "the watchdog hears of progress again and again")

    redis = w.must(f"pgrep -P {w.children['daemon'].pid} redis-server").split()[0]
    with open(f"/proc/{redis}/environ", "rb") as environment:
        score.ok(b"NOTIFY_SOCKET" not in environment.read(), "its Redis cannot speak to systemd in its name")

    w.heard.clear()
    w.signal("daemon", signal.SIGHUP)
    w.hear("RELOADING=1\nMONOTONIC_USEC=")
    w.hear("READY=1")
    score.ok(True, "a reload has a beginning and an end")

    w.must(f"redis-cli -s {w.path('data')}/redis.sock SET 'purgeline:{{main}}:cancelled' text")
    until("systemd shows what is wrong with Redis", lambda: "cancelled" in w.hear("STATUS="))
    score.ok(True, "a key that is broken is shown", w.heard)

    os.kill(int(redis), signal.SIGSTOP)
    until("systemd shows that Redis is away", lambda: "Redis is away" in w.hear("STATUS="))
    os.kill(int(redis), signal.SIGCONT)
    until("systemd shows that it is back", lambda: "Redis is away" not in w.hear("STATUS="))
    score.ok(True, "so is a Redis that hangs")

    w.signal("daemon", signal.SIGSTOP)
    w.heard.clear()
    w.manager.settimeout(0.5)
    silent = False
    try:
        for _ in range(1000):  # what was sent before it stopped
            w.hear("")
    except socket.timeout:
        silent = True
    w.manager.settimeout(PATIENCE_S)
    w.signal("daemon", signal.SIGCONT)
    score.ok(silent, "a frozen process does not feed the watchdog")
    w.hear("WATCHDOG=1")

    w.signal("daemon", signal.SIGTERM)
    w.hear("STOPPING=1")
    score.ok(w.children["daemon"].wait(PATIENCE_S) == 0, "stopping is told before it stops")


def main():
    skip_without("redis-server", "redis-cli", "pgrep")
    return play([test], World(), lambda w: [w.heard[-20:], w.log("daemon")[-8000:]])


if __name__ == "__main__":
    sys.exit(main())
