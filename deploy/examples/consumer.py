#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""An example consumer of a message queue that pushes purges, in Python without further libraries.

    ./consumer.py redis://127.0.0.1:6379/0 main < messages

The first argument is the value of `redis:` in purgeline's configuration: redis://[[user]:password@]host[:port][/db],
the same with rediss://, or unix:///path[?db=N].

Standard input stands for the queue: each line is a message with a key, or with a job as JSON with the fields of
the Redis contract. Copy the order of the steps: receive the available messages, XADD all of them in one
pipeline, and commit only when Redis has answered. If the consumer is killed at any moment, the queue
delivers the uncommitted messages again; a purge may then be pushed twice, but none is lost.

With redis-py, replace the class Redis by redis.Redis.from_url(url).pipeline(transaction=False) and its xadd.
"""
import json
import os
import socket
import ssl
import sys
import time
from urllib.parse import parse_qs, unquote, urlsplit

BATCH = 500


class Redis:
    """The part of the protocol that XADD needs: https://redis.io/docs/latest/develop/reference/protocol-spec/"""

    def __init__(self, address):
        if address["path"]:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address["path"])
        else:
            self.socket = socket.create_connection((address["host"], address["port"]), timeout=3)
        self.socket.settimeout(30)
        if address["tls"]:
            self.socket = ssl.create_default_context().wrap_socket(
                self.socket, server_hostname=address["host"])
        self.replies = self.socket.makefile("rb")
        if address["login"]:
            self.ask([["AUTH", *address["login"]]])
        if address["db"]:
            self.ask([["SELECT", address["db"]]])

    def ask(self, commands):
        """Sends all commands, then reads their replies. After an exception, some of them may have been executed."""
        self.socket.sendall(b"".join(encoded(c) for c in commands))
        replies = [self.reply() for _ in commands]
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        return replies

    def reply(self):
        line = self.replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("Redis hung up")
        if line[:1] == b"-":
            return RuntimeError(line[1:-2].decode())
        if line[:1] == b"$":
            return self.replies.read(int(line[1:]) + 2)[:-2].decode()
        return line[1:-2].decode()


def address_of(url):
    """Parses a Redis URL. Raises ValueError if the URL is invalid."""
    u = urlsplit(url)
    if u.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("expected redis://, rediss:// or unix://")
    db = parse_qs(u.query).get("db", ["0"])[0] if u.scheme == "unix" else u.path.strip("/") or "0"
    if not db.isdecimal():
        raise ValueError("the database must be a number, not %r" % db)
    login = [unquote(u.username)] if u.username else []
    return {"path": u.path if u.scheme == "unix" else None, "host": u.hostname,
            "port": u.port or 6379, "tls": u.scheme == "rediss", "db": int(db),
            "login": login + [unquote(u.password)] if u.password else None}


def encoded(words):
    words = [str(w).encode("utf-8", "surrogateescape") for w in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)


def xadd(account, message):
    """The command that pushes a message: a job is an entry with flat fields. ValueError: not a valid job."""
    if not message:
        raise ValueError("empty")
    job = json.loads(message) if message.startswith("{") else {"keys": message}
    lane = job.pop("lane", "normal")
    if lane not in ("urgent", "normal", "bulk"):
        raise ValueError("lane: none of urgent, normal, bulk")
    command = ["XADD", "purgeline:{%s}:jobs:%s" % (account, lane), "*"]
    for name, value in job.items():
        if name == "keys" and isinstance(value, list):
            value = " ".join(value)
        # Each URL is a field of its own; flags are 1 or 0.
        for one in value if isinstance(value, list) else [value]:
            command += [name, int(one) if isinstance(one, bool) else one]
    return command


# -- the queue: replace this with your own --

def messages():
    """Yields batches of (offset, text): waits for a message, then also takes those that are already available."""
    rest, offset = b"", 0
    while True:
        chunk = os.read(0, 65536)
        *lines, rest = (rest + chunk).split(b"\n")
        if not chunk and rest:
            lines, rest = [rest], b""
        for i in range(0, len(lines), BATCH):
            batch = lines[i:i + BATCH]
            yield [(offset + n + 1, line.decode("utf-8", "surrogateescape").strip())
                   for n, line in enumerate(batch)]
            offset += len(batch)
        if not chunk:
            return


def commit(offset):
    """Tells the queue that it need not deliver messages up to this offset again."""
    print("committed", offset, flush=True)


# -- pushing --

def commands_of(account, batch):
    for offset, text in batch:
        try:
            yield xadd(account, text)
        except (ValueError, TypeError) as e:
            # It stays invalid, however often it is tried. Move it to your dead-letter queue.
            print("message %d: %s" % (offset, e), file=sys.stderr)


def main(url, account):
    address, redis = address_of(url), None
    for batch in messages():
        commands = list(commands_of(account, batch))
        while True:
            try:
                redis = redis or Redis(address)
                redis.ask(commands)
                break
            except (OSError, RuntimeError) as e:
                print("Redis: %s" % e, file=sys.stderr)
                redis = None
                time.sleep(1)
        commit(batch[-1][0])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: consumer.py REDIS-URL ACCOUNT")
    try:
        main(*sys.argv[1:])
    except ValueError as e:
        sys.exit("consumer.py: %s: %s" % (sys.argv[1].split("@")[-1], e))
