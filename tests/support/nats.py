# SPDX-License-Identifier: MIT
"""A nats-server of a stage, and a client for it: https://docs.nats.io/reference/reference-protocols/nats-protocol"""
import base64
import binascii
import json
import signal
import socket
import ssl

from stage import free_port, until


class Refused(Exception):
    """JetStream answered with an error."""


def new_nkey(stage):
    """A key pair of a user: public key and seed. https://github.com/nats-io/nkeys describes their form."""
    def encoded(raw):
        crc = binascii.crc_hqx(raw, 0)
        return base64.b32encode(raw + bytes([crc & 255, crc >> 8])).decode().rstrip("=")
    stage.must("openssl genpkey -algorithm ed25519 -out nkey.pem && openssl pkey -in nkey.pem -outform DER -out nkey.der "
               "&& openssl pkey -in nkey.pem -pubout -outform DER -out nkey.pub")
    with open(stage.path("nkey.der"), "rb") as secret, open(stage.path("nkey.pub"), "rb") as public:
        return encoded(b"\xa0" + public.read()[-32:]), encoded(b"\x95\x00" + secret.read()[-32:])


class Nats:
    """One connection. With a CA, it is encrypted."""

    def __init__(self, port, user="admin", password="admin", ca=None):
        self.socket = socket.create_connection(("127.0.0.1", port), 60)
        self.file = self.socket.makefile("rb")
        assert self.file.readline().startswith(b"INFO ")
        if ca:
            self.socket = ssl.create_default_context(cafile=ca).wrap_socket(self.socket, server_hostname="localhost")
            self.file = self.socket.makefile("rb")
        hello = {"verbose": False, "user": user, "pass": password, "headers": True, "no_responders": True}
        self.socket.sendall(f"CONNECT {json.dumps(hello)}\r\nSUB _INBOX.test.> 1\r\nPING\r\n".encode())
        line = self.file.readline()
        if line != b"PONG\r\n":
            raise OSError(line.decode())

    def close(self):
        self.file.close()
        self.socket.close()

    def read(self):
        """The body of the next message."""
        while True:
            line = self.file.readline()
            words = line.split()
            if line.startswith(b"PING"):
                self.socket.sendall(b"PONG\r\n")
            elif line.startswith((b"MSG", b"HMSG")):
                body = self.file.read(int(words[-1]) + 2)[:-2]
                return body[int(words[-2]):] if line.startswith(b"HMSG") else body
            elif not line or line.startswith(b"-ERR"):
                raise OSError(line.decode() or "closed")

    @staticmethod
    def message(subject, body, headers=None):
        body = body if isinstance(body, bytes) else body.encode()
        if not headers:
            return b"PUB %s _INBOX.test.a %d\r\n%s\r\n" % (subject.encode(), len(body), body)
        head = "NATS/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items()) + "\r\n"
        return b"HPUB %s _INBOX.test.a %d %d\r\n%s%s\r\n" % (subject.encode(), len(head), len(head) + len(body),
                                                            head.encode(), body)

    def publish(self, subject, bodies, headers=None, at_once=500):
        """Returns after the server has stored all of them."""
        for begin in range(0, len(bodies), at_once):
            part = bodies[begin:begin + at_once]
            self.socket.sendall(b"".join(self.message(subject, body, headers) for body in part))
            for _ in part:
                answer = json.loads(self.read())
                assert "seq" in answer, answer

    def api(self, call, **body):
        self.socket.sendall(self.message(f"$JS.API.{call}", json.dumps(body) if body else ""))
        answer = json.loads(self.read() or b'{"error": "no JetStream"}')
        if "error" in answer:
            raise Refused(answer["error"])
        return answer


class NatsServer:
    """With JetStream, and whatever else `more` has of its configuration."""

    def __init__(self, stage, more="", ca=None, name="nats"):
        self.stage, self.name, self.ca, self.port = stage, name, ca, free_port()
        self.configure(more)
        self.start()

    def configure(self, more):
        self.config = self.stage.write(f"{self.name}/nats.conf", f"""
listen: 127.0.0.1:{self.port}
jetstream {{ store_dir: "{self.stage.path(self.name)}" }}
{more}
""")

    def reload(self, more):
        """What has changed is in effect afterwards, and those whose permissions were changed are connected again."""
        def reloads():
            return self.stage.log(self.name).count("Reloaded server configuration")
        before = reloads()
        self.configure(more)
        self.stage.signal(self.name, signal.SIGHUP)
        until("the configuration is reloaded", lambda: reloads() > before)

    def start(self):
        self.stage.start(self.name, "nats-server", "-c", self.config)
        until("nats-server answers", self.answers)

    def answers(self):
        try:
            with_api = Nats(self.port, ca=self.ca)
            with_api.api("INFO")
            with_api.close()
            return True
        except (OSError, Refused):
            return False

    def kill(self):
        self.stage.stop(self.name, kill=True)

    def connect(self):
        return Nats(self.port, ca=self.ca)

    def ask(self, call, **body):
        connection = self.connect()
        try:
            return connection.api(call, **body)
        finally:
            connection.close()
