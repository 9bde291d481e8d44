#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""TLS to Redis and its sentinels, which ask for certificates of their clients, all signed by a private CA. Also for
what they say to each other. Otherwise the same servers as in test_sentinel.
"""
import subprocess
import sys

from test_sentinel import MASTER, World, the_master_is_killed  # noqa: E402, which also finds stage
from stage import Score, skip_without, until  # noqa: E402

NEW_KEY = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


class TlsWorld(World):
    scheme = "rediss+sentinel"

    def prepare(self):
        for ca in ("ca", "theirs"):
            self.must(f"openssl req -x509 -days 2 -subj /CN={ca} {NEW_KEY} -keyout {ca}.key -out {ca}.pem")
        self.sign("server", "ca", "IP:127.0.0.1")
        self.sign("elsewhere", "ca", "DNS:redis.example.com")
        self.sign("client", "ca", "DNS:client")
        self.sign("stranger", "theirs", "DNS:client")
        self.tls = {"tls-cert-file": self.path("server.pem"), "tls-key-file": self.path("server.key"),
                    "tls-ca-cert-file": self.path("ca.pem"), "tls-auth-clients": "yes", "tls-replication": "yes"}
        self.tls_of_cli = ["--tls", "--cacert", self.path("ca.pem"), "--cert", self.path("client.pem"), "--key",
                           self.path("client.key")]
        self.env["PURGELINE_REDIS_TLS_CA_FILE"] = self.path("ca.pem")
        self.show("client")

    def sign(self, name, ca, names):
        self.must(f"openssl req -new -subj /CN={name} {NEW_KEY} -keyout {name}.key -out csr && "
                  f"echo subjectAltName={names} >names && openssl x509 -req -in csr -CA {ca}.pem -CAkey {ca}.key "
                  f"-CAcreateserial -extfile names -days 2 -out {name}.pem")

    def show(self, name):
        """The certificate that purgeline shows to servers."""
        self.env.update(PURGELINE_REDIS_TLS_CERT_FILE=self.path(f"{name}.pem"),
                        PURGELINE_REDIS_TLS_KEY_FILE=self.path(f"{name}.key"))


def daemon_commands_and_check_use_tls(w, score):
    w.start_daemon()
    w.purge_one()
    code, told = w.run("seq 300 | purgeline push -")
    score.ok(code == 0 and told.count("normal-") == 300, "daemon and commands reach the master over TLS", code, told)
    code, told = w.run("purgeline check")
    score.ok(f"3 of 4 sentinels answer; master of {MASTER} is 127.0.0.1:{w.redis_ports[0]}" in told,
             "check asks the sentinels over TLS", code, told)
    until("all jobs are purged", lambda: w.left() == 0)


def a_failover_over_tls(w, score):
    the_master_is_killed(w, score, "TLS, killed")


def assert_refused(w, score, what, *why):
    code, told = w.run("timeout 60 purgeline status")
    score.ok(code == 3 and all(words in told for words in why), f"{what}: a command says what is wrong", code, told)
    code, told = w.run("timeout 60 purgeline check")
    score.ok(code != 0 and why[-1] in told, f"{what}: check says it, too", code, told)


def wrong_certificates_are_explained(w, score):
    w.show("stranger")
    assert_refused(w, score, "a client certificate of another CA", "none of the 4 sentinels", "unknown ca")
    for name in ("CERT", "KEY"):
        w.env[f"PURGELINE_REDIS_TLS_{name}_FILE"] = ""
    assert_refused(w, score, "no client certificate", "none of the 4 sentinels", "redis_tls.cert_file")
    w.show("client")
    w.env["PURGELINE_REDIS_TLS_CA_FILE"] = w.path("theirs.pem")
    assert_refused(w, score, "an unknown CA", "certificate verify failed", f"its CA is not in {w.path('theirs.pem')}")
    code, told = w.run("timeout 60 purgeline check")
    score.ok(told.count("-> correct its certificate, or redis_tls") == 3, "check says what to do", code, told)
    w.env["PURGELINE_REDIS_TLS_CA_FILE"] = w.path("ca.pem")


def the_certificate_of_the_master_must_be_for_its_address(w, score):
    m = w.master()
    w.redis(m, "CONFIG", "SET", "tls-cert-file", w.path("elsewhere.pem"), "tls-key-file", w.path("elsewhere.key"))
    w.stop("purgeline")
    code, told = w.run("timeout 60 purgeline status")
    score.ok(code == 3 and "IP address mismatch" in told, "a master with a certificate for another name is refused",
             code, told)
    w.start("purgeline", "purgeline", "run")
    w.await_said("IP address mismatch")
    score.ok(w.log("purgeline").count("IP address mismatch") < 5, "the daemon says so, and not all the time",
             w.log("purgeline"))
    w.redis(m, "CONFIG", "SET", "tls-cert-file", w.path("server.pem"), "tls-key-file", w.path("server.key"))
    w.purge_one()
    score.ok(True, "with a better certificate it is used, without a restart")


def without_tls_the_sentinels_cannot_be_asked(w, score):
    w.scheme = "redis+sentinel"
    w.use(*w.sentinel_ports)
    code, told = w.run("timeout 60 purgeline status")
    score.ok(code == 2 and "the URL of Redis has no TLS: use rediss://" in told,
             "settings of TLS with an address that has none are refused", code, told)
    for name in ("CA", "CERT", "KEY"):
        del w.env[f"PURGELINE_REDIS_TLS_{name}_FILE"]
    code, told = w.run("timeout 60 purgeline status")
    score.ok(code == 3 and "none of the 3 sentinels" in told, "without TLS the sentinels cannot be asked", code, told)


def main():
    skip_without("redis-server", "redis-cli", "nginx", "varnishd", "curl", "openssl")
    score = Score()
    w = TlsWorld()
    try:
        for story in (daemon_commands_and_check_use_tls, a_failover_over_tls, wrong_certificates_are_explained,
                      the_certificate_of_the_master_must_be_for_its_address, without_tls_the_sentinels_cannot_be_asked):
            try:
                story(w, score)
            except (AssertionError, OSError, subprocess.SubprocessError) as wrong:
                score.ok(False, story.__name__, repr(wrong), w.log("purgeline") if w.children.get("purgeline") else "")
                break
    finally:
        w.close()
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
