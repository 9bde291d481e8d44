# SPDX-License-Identifier: MIT
"""A reader of server-sent events over a socket of its own: reads when it is told to, or all the time."""
import collections
import json
import socket
import threading
import time

Event = collections.namedtuple("Event", "name id data")
PATIENCE_S = 60


class Stream:
    """GET of an event stream. status is 0 until the head of the answer has been read."""

    def __init__(self, port, query="", token=None, headers=(), reads=True, slowly=False, receive_bytes=None):
        self.events, self.comments, self.retry = [], 0, None
        self.status, self.head, self.body, self.over = 0, "", b"", False
        self.bytes = 0
        self.raw = b""
        self.hurried = threading.Event()
        if not slowly:
            self.hurried.set()
        self.lock = threading.Condition()
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.connect(("127.0.0.1", port))
        lines = [f"GET /v1/events{query} HTTP/1.1", "Host: 127.0.0.1"]
        lines += [f"Authorization: Bearer {token}"] if token else []
        self.socket.sendall("\r\n".join([*lines, *headers, "", ""]).encode())
        self.thread = None
        if reads:
            self.read()

    def read(self):
        self.thread = threading.Thread(target=self.read_all, daemon=True)
        self.thread.start()

    def read_all(self):
        while True:
            try:
                more = self.socket.recv(65536 if self.hurried.wait(0.2) else 512)
            except OSError:
                more = b""
            with self.lock:
                self.raw += more
                self.bytes += len(more)
                self.take()
                if not more:
                    self.over = True
                self.lock.notify_all()
                if not more:
                    return

    def hurry(self):
        """A slow reader reads 512 bytes each fifth of a second until this is called."""
        self.hurried.set()

    def take(self):
        if not self.status and b"\r\n\r\n" in self.raw:
            head, self.raw = self.raw.split(b"\r\n\r\n", 1)
            self.head = head.decode()
            self.status = int(self.head.split()[1])
        if not self.status:
            return
        if "chunked" not in self.head:
            self.body += self.raw
            self.raw = b""
            return
        while b"\r\n" in self.raw:
            size, rest = self.raw.split(b"\r\n", 1)
            n = int(size, 16)
            if len(rest) < n + 2:
                break
            self.body += rest[:n]
            self.raw = rest[n + 2:]
        while b"\n\n" in self.body:
            text, self.body = self.body.split(b"\n\n", 1)
            self.parse(text.decode())

    def parse(self, text):
        fields = {}
        for line in text.split("\n"):
            name, _, value = line.partition(": ")
            fields[name] = value
        if "retry" in fields:
            self.retry = int(fields["retry"])
        elif "" in fields:
            self.comments += 1
        else:
            self.events.append(Event(fields["event"], fields.get("id"), json.loads(fields["data"])))

    def until(self, what, condition, patience_s=PATIENCE_S):
        """Waits until the condition of this stream holds, and returns its result."""
        end = time.monotonic() + patience_s
        with self.lock:
            while True:
                found = condition(self)
                if found:
                    return found
                if time.monotonic() > end:
                    raise AssertionError(f"never: {what}; it got {self.head} {str(self.events[-5:])[:600]}")
                self.lock.wait(0.5)

    def named(self, name):
        return [event.data for event in self.events if event.name == name]

    def first(self, name, test=lambda data: True, after=0):
        """Waits for an event of this name that passes the test, among those after the first ones."""
        return self.until(f"an event {name}", lambda s: next(
            ([event.data] for event in s.events[after:] if event.name == name and test(event.data)), None))[0]

    def mark(self):
        with self.lock:
            return len(self.events)

    def ended(self):
        return self.until("the end of the stream", lambda s: s.over)

    def answered(self):
        return self.until("an answer", lambda s: s.status or s.over and 1)

    def close(self):
        """Like a browser that leaves the page."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
