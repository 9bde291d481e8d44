#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The watchdog hears of progress, not of existence: when one thread of the daemon is stuck, so that nothing is sent, systemd
is no longer told that all is well, although the process runs and answers. That takes a minute, the time that the daemon waits
before it calls itself stalled.
"""
import ctypes
import os
import socket
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import PATIENCE_S, SERVICE, Stage, ask, free_port, play, skip_without, until  # noqa: E402

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WAIT_ALL = 0x40000000  # of threads, too: __WALL
STALL_S = 61           # a minute, and timeout_ms


class Stuck:
    """A thread of another process that does not run until this is left. Only a tracer can stop a single thread."""

    def __init__(self, tid):
        self.tid = tid
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def __enter__(self):
        if self.libc.ptrace(PTRACE_SEIZE, self.tid, None, None):
            print(f"skip - ptrace: {os.strerror(ctypes.get_errno())}")
            sys.exit(77)
        self.libc.ptrace(PTRACE_INTERRUPT, self.tid, None, None)
        os.waitpid(self.tid, WAIT_ALL)
        return self

    def __exit__(self, *_):
        self.libc.ptrace(PTRACE_DETACH, self.tid, None, None)


class World(Stage):
    def __init__(self):
        super().__init__()
        self.fastly()
        self.http = f"127.0.0.1:{free_port()}"
        self.env.update(FASTLY_API_TOKEN="right-token", FASTLY_SERVICE_ID=SERVICE, PURGELINE_LISTEN=self.http,
                        PURGELINE_DATA_DIR=self.path("data"), PURGELINE_SENDERS="1", PURGELINE_TIMEOUT_MS="1000")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(self.path("notify"))
        self.manager.settimeout(PATIENCE_S + STALL_S)
        self.start("daemon", "purgeline", "run", NOTIFY_SOCKET=self.path("notify"), WATCHDOG_USEC="400000")
        self.hear("STATUS=Dispatching")

    def hear(self, beginning):
        """The next message with this beginning."""
        while True:
            told = self.manager.recv(4096).decode()
            if told.startswith(beginning):
                return told

    def is_silent(self, seconds):
        """Whether the watchdog is not fed for so long. Other messages do not count."""
        self.manager.settimeout(0.2)
        end, fed = time.monotonic() + seconds, False
        while time.monotonic() < end and not fed:
            try:
                fed = self.manager.recv(4096).startswith(b"WATCHDOG=1")
            except socket.timeout:
                pass
        self.manager.settimeout(PATIENCE_S)
        return not fed

    def thread(self, name):
        folder = f"/proc/{self.children['daemon'].pid}/task"
        for tid in os.listdir(folder):
            with open(f"{folder}/{tid}/comm") as comm:
                if comm.read().strip() == name:
                    return int(tid)
        raise AssertionError(f"the daemon has no thread {name}")

    def close(self):
        super().close()
        self.manager.close()


def test(w, score):
    w.must("purgeline push --wait first")
    with Stuck(w.thread("sender-0")):
        w.must("purgeline push stuck")
        told = w.hear("STATUS=requests are on the wire")
        score.ok("none was answered" in told, "systemd is told what does not go on", told)
        score.ok(w.is_silent(5), "from then on the watchdog is not fed")
        score.ok(ask(f"http://{w.http}/livez")[0] == 503, "although the process answers: over HTTP it says that it is not alive")
    w.hear("WATCHDOG=1")
    until("what was stuck is purged", lambda: '"stuck"' in w.must(f"cat {w.path('sandbox/requests.log')}"))
    score.ok(True, "when the thread runs again, the watchdog is fed, and the job is purged")


def main():
    skip_without("redis-server", "nginx", "varnishd", "curl")
    return play([test], World(), lambda w: [w.log("daemon")[-4000:]])


if __name__ == "__main__":
    sys.exit(main())
