# SPDX-License-Identifier: MIT
"""A connection to Redis for tests that send many commands, and a Redis server of a stage."""
import socket

from stage import free_port, until


class Refused(Exception):
    """Redis answered with an error."""


class Resp:
    """Sends commands and reads their answers. Answers are str, int, list or None."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    @staticmethod
    def raw(word):
        return word if isinstance(word, bytes) else str(word).encode()

    def send(self, *commands):
        out = []
        for words in commands:
            raws = [self.raw(word) for word in words]
            out.append(b"*%d\r\n" % len(raws) + b"".join(b"$%d\r\n%s\r\n" % (len(r), r) for r in raws))
        self.socket.sendall(b"".join(out))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("closed")
        kind, text = line[:1], line[1:-2].decode()
        if kind == b"$":
            return None if text == "-1" else self.file.read(int(text) + 2)[:-2].decode(errors="replace")
        if kind == b"*":
            return None if text == "-1" else [self.read() for _ in range(int(text))]
        if kind == b"-":
            raise Refused(text)
        return int(text) if kind == b":" else text

    def ask(self, *words):
        self.send(words)
        return self.read()

    def ask_many(self, commands, at_once=500):
        """The answers to many commands, in order."""
        answers = []
        for begin in range(0, len(commands), at_once):
            part = commands[begin:begin + at_once]
            self.send(*part)
            answers += [self.read() for _ in part]
        return answers


class Server:
    """A redis-server of a stage, in a folder of its own. It stores each change before it answers."""

    def __init__(self, stage, name):
        self.stage, self.name, self.port, self.connection = stage, name, free_port(), None
        self.config = stage.write(f"{name}/redis.conf", "")
        self.folder = self.config.rsplit("/", 1)[0]
        self.start()

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    def start(self):
        self.stage.start(self.name, "redis-server", self.config, "--port", str(self.port), "--bind", "127.0.0.1", "--dir",
                         self.folder, "--appendonly", "yes", "--appendfsync", "always", "--save", "",
                         "--maxmemory-policy", "noeviction")
        until(f"{self.name} answers", self.answers)

    def allow(self, user, *rules):
        """A user with these rules, now and from the first moment of each later start."""
        self.ask("ACL", "SETUSER", user, *rules)
        with open(self.config, "a") as config:
            config.write(" ".join(("user", user, *rules)) + "\n")

    def answers(self):
        try:
            return self.ask("PING") == "PONG"
        except (OSError, Refused):
            self.connection = None
            return False

    def ask(self, *words):
        if not self.connection:
            self.connection = Resp(self.port)
        return self.connection.ask(*words)

    def ask_many(self, commands):
        self.ask("PING")
        return self.connection.ask_many(commands)

    def kill(self):
        self.stage.stop(self.name, kill=True)
        self.connection = None
