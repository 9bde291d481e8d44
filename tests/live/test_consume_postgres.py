#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`purgeline consume` with an outbox in a real PostgreSQL, as deploy/outbox.sql makes it: over TLS, with the user that is
described there. The same promises as in test_consume.py; and what it says when something is wrong.
"""
import glob
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from resp import Server  # noqa: E402
from stage import PURGELINE, ROOT, Score, Stage, free_port, skip_without, until  # noqa: E402
from test_consume import (LANE, Source, World, at_rest, killed_again_and_again, refused_by_redis,  # noqa: E402
                          settings, users)

PLUGIN = os.path.join(os.path.dirname(os.path.realpath(PURGELINE)), "source-postgres.so")


class Postgres:
    """A server in a folder of the stage. It refuses to run as root, so it then runs as Debian's user for it."""

    def __init__(self, stage):
        self.stage, self.port, self.folder = stage, free_port(), stage.path("postgres")
        self.bin = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.prefix = []
        os.chmod(stage.dir, 0o755)
        os.mkdir(self.folder, 0o700)
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self.must("initdb", "-D", self.folder, "-U", "boss", "-E", "UTF8", "--locale=C", "-A", "trust", "--no-sync")
        self.certify()
        with open(os.path.join(self.folder, "pg_hba.conf"), "w") as rules:
            rules.write("local all boss trust\nhostssl all purgeline 127.0.0.1/32 scram-sha-256\n")
        self.start()

    def must(self, program, *words):
        done = subprocess.run([*self.prefix, f"{self.bin}/{program}", *words], stdout=subprocess.PIPE, cwd="/",
                              stderr=subprocess.STDOUT, env=self.stage.env, text=True)
        if done.returncode:
            raise AssertionError(f"{program}: {done.stdout}")
        return done.stdout

    def certify(self):
        """A certificate for 127.0.0.1, and its key, which only the server may read."""
        self.ca = self.stage.path("ca.pem")
        self.stage.must(f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test "
                        f"-addext subjectAltName=IP:127.0.0.1 -keyout server.key -out {self.ca}")
        for name, source in (("server.key", self.stage.path("server.key")), ("server.crt", self.ca)):
            target = shutil.copy(source, os.path.join(self.folder, name))
            os.chmod(target, 0o600)
            if self.prefix:
                shutil.chown(target, "postgres", "postgres")

    def start(self):
        self.stage.start("postgres", *self.prefix, f"{self.bin}/postgres", "-D", self.folder, "-k", self.folder, "-p",
                         str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "ssl=on")
        until("PostgreSQL answers", lambda: self.try_sql("SELECT 1")[0] == 0)

    def kill(self):
        """As after a crash: SIGQUIT ends all of its processes at once."""
        child = self.stage.children.pop("postgres")
        child.send_signal(signal.SIGQUIT)
        child.wait(60)

    def try_sql(self, sql):
        done = subprocess.run([*self.prefix, f"{self.bin}/psql", "-h", self.folder, "-p", str(self.port), "-U", "boss",
                               "-d", "postgres", "-qAt", "-v", "ON_ERROR_STOP=1"], input=sql, text=True, cwd="/",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.stage.env)
        return done.returncode, done.stdout

    def sql(self, text):
        code, told = self.try_sql(text)
        if code:
            raise AssertionError(told)
        return told


class PostgresWorld(World):
    def __init__(self, score):
        self.score, self.source, self.stage = score, "postgres", Stage()
        self.ours = Server(self.stage, "ours")
        self.ours.allow("purgeline-consumer", "on", ">secret",
                        *dict(users("deploy/redis-acl.conf"))["purgeline-consumer"])
        self.theirs = Postgres(self.stage)
        with open(os.path.join(ROOT, "deploy/outbox.sql")) as outbox:
            self.theirs.sql(outbox.read())
        self.theirs.sql("CREATE ROLE purgeline LOGIN PASSWORD 'secret';"
                        "GRANT SELECT, UPDATE, DELETE ON purgeline_outbox TO purgeline")
        self.password = self.stage.write("password", "secret\n", 0o600)
        self.configure()

    def configure(self, backlog_max=0, topic="purgeline_outbox", ca=None, keys='["article-{id}"]'):
        text = settings(self.ours, "postgres", backlog_max) % (self.theirs.port, self.password)
        text = text.replace("redis://127.0.0.1:", "postgresql://127.0.0.1:").replace(
            f":{self.theirs.port}\n", f":{self.theirs.port}/postgres\n").replace("topic: changes", f"topic: {topic}")
        text = text.replace('["article-{id}"]', keys)
        self.config = self.stage.write("purgeline.yaml", text + f"    tls: {{ca_file: {ca or self.theirs.ca}}}\n")

    def denied(self):
        return self.ours.ask("ACL", "LOG")

    def restart_theirs(self):
        self.theirs.start()

    def rest(self):
        self.theirs.sql("SELECT pg_sleep(3)")

    def close(self):
        """On SIGTERM, PostgreSQL waits for its clients, whichever was started first."""
        for name in ("consume", "second"):
            self.stage.stop(name)
        super().close()


class Outbox(Source):
    source = "postgres"

    def __init__(self, world):
        self.world = world

    @classmethod
    def open(cls, score):
        return PostgresWorld(score)

    def insert(self, texts):
        rows = ", ".join(f"('{json.dumps({'id': text})}')" for text in texts)
        self.world.theirs.sql(f"INSERT INTO purgeline_outbox (message) VALUES {rows}")

    def add(self, ids):
        self.insert(ids)

    def add_text(self, text):
        self.insert([text])

    def left(self):
        return [int(n) for n in self.world.theirs.sql("SELECT message->>'id' FROM purgeline_outbox ORDER BY id").split()]


def poison_in_an_outbox(score):
    """Its name is that of the table."""
    world = PostgresWorld(score)
    source = Outbox(world)
    try:
        world.start()
        source.insert([1, "a b", 2])
        until("jobs", lambda: world.jobs() == [1, 2])
        letters = json.loads("[" + world.stage.must(
            f"{PURGELINE} dead list --json --config {world.config} --redis {world.ours.url}") + "]")
        score.ok(len(letters) == 1 and letters[0]["target"] ==
                 "consumer articles, postgres purgeline_outbox, offset 2" and "a b" in letters[0]["message"],
                 "postgres: a message that makes no sense becomes a dead letter that names the row", letters)
        score.ok(until("no rows", lambda: source.left() == []) is True, "postgres: and its row is deleted")
    finally:
        world.close()


def of_a_table(score):
    """The trigger of the example, by somebody who may not use the outbox."""
    world = PostgresWorld(score)
    try:
        world.configure(keys='["article-{new.id}", "article-{old.id}"]')
        world.theirs.sql("""
            CREATE TABLE articles (id int, title text);
            CREATE TRIGGER purge_articles AFTER INSERT OR UPDATE OR DELETE ON articles
                FOR EACH ROW EXECUTE FUNCTION purgeline_outbox_row();
            CREATE ROLE author; GRANT SELECT, INSERT, UPDATE, DELETE ON articles TO author;""")
        world.start()
        world.theirs.sql("SET ROLE author; INSERT INTO articles VALUES (1, 'a'); BEGIN; INSERT INTO articles VALUES "
                         "(9, 'never'); ROLLBACK; UPDATE articles SET id = 2; DELETE FROM articles")
        until("three jobs", lambda: len(world.jobs()) == 3)
        entries = [fields[1] for _, fields in world.ours.ask("XRANGE", "purgeline:{main}:jobs:normal", "-", "+")]
        score.ok(entries == ["article-1", "article-2 article-1", "article-2"],
                 "postgres: the example's trigger purges what was changed, and nothing of what was rolled back", entries)
        # How much is not yet on the disk when the row has gone. The server writes it there five times a second by itself.
        waits = world.theirs.sql("""
            SET synchronous_commit = off;
            INSERT INTO purgeline_outbox (message) VALUES ('{"new": {"id": 3}}');
            DO $$ BEGIN WHILE EXISTS (SELECT FROM purgeline_outbox) LOOP PERFORM pg_sleep(0.001); END LOOP; END $$;
            SELECT pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn();""" * 20).split()
        score.ok(len(waits) == 20 and any(int(n) for n in waits),
                 "postgres: single rows do not make the application's disk busy", waits)
    finally:
        world.close()


def two_at_once(score):
    """Two processes share the rows: SKIP LOCKED."""
    world = PostgresWorld(score)
    source = Outbox(world)
    try:
        world.start()
        world.stage.start("second", PURGELINE, "consume", "--config", world.config, "articles")
        for part in range(10):
            source.add(range(part * 200, part * 200 + 200))
        until("all done", lambda: not source.left())
        score.ok(sorted(world.jobs()) == list(range(2000)), "postgres: two processes purge each row once between them")
    finally:
        world.close()


def what_is_wrong(score):
    world = PostgresWorld(score)
    try:
        for why, change, pattern in (
                ("no table", {"topic": "other_table"}, "other_table.* does not exist"),
                ("no permission", {"topic": "secret_table"}, "permission denied for table secret_table"),
                ("another CA", {"ca": world.stage.path("other.pem")}, "certificate verify failed"),
                ("another password", {}, "password authentication failed")):
            if why == "no permission":
                world.theirs.sql("CREATE TABLE secret_table (id bigint, message text)")
            if why == "another CA":
                world.stage.must("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=x "
                                 "-keyout other.key -out other.pem")
            if why == "another password":
                world.stage.write("password", "wrong-word\n", 0o600)
            world.configure(**change)
            code, told = world.stage.run(f"{PURGELINE} check --config {world.config}")
            score.ok(code == 1 and re.search("articles cannot read postgres .*" + pattern, told) and "wrong-word" not in told,
                     f"postgres: {why}: check says so", told)
            world.start()
            line = until(why, lambda: re.search("cannot be read.*" + pattern, world.log()))
            score.ok(line and "wrong-word" not in world.log(), f"postgres: {why}: the log says so", world.log())
            if why == "no table":
                until("three tries", lambda: world.stage.log("postgres").count("does not exist") >= 3)
                score.ok(len(re.findall("can(not)? be read", world.log())) == 1, "postgres: and says so once", world.log())
            world.kill()
        world.stage.write("password", "secret\n", 0o600)
        world.configure()
        told = world.stage.run(f"{PURGELINE} check --config {world.config}")[1]
        score.ok("articles can read postgres purgeline_outbox" in told, "postgres: check finds what is right", told)
        alone = shutil.copy(PURGELINE, world.stage.path("alone"))
        # This machine may have the plugin in its library folder; one beside the program comes first.
        world.stage.write("source-postgres.so", "")
        code, told = world.stage.run(f"{alone} consume --config {world.config} articles")
        score.ok(code == 2 and "postgres needs source-postgres.so" in told, "postgres: with a plugin that cannot be loaded it says so", told)
    finally:
        world.close()


def cannot_delete(score):
    """Rows that were pushed and stay would be purged again and again."""
    world = PostgresWorld(score)
    grant = "GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO purgeline;"
    row = """'{"id": 7}'"""
    try:
        world.theirs.sql(f"""
            CREATE TABLE texts (id text, message text); INSERT INTO texts VALUES ('1', {row});
            CREATE TABLE kept (id bigint, message text); INSERT INTO kept VALUES (1, {row});
            CREATE TABLE hidden (id bigint, message text); INSERT INTO hidden VALUES (1, {row});
            ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
            CREATE POLICY one ON hidden FOR SELECT USING (true); CREATE POLICY two ON hidden FOR UPDATE USING (true);
            CREATE TABLE twins (id bigint, message text); INSERT INTO twins SELECT 1, {row} FROM generate_series(1, 513);
            {grant} REVOKE DELETE ON kept FROM purgeline""")
        for table, pattern in (("texts", "operator does not exist: text = bigint"), ("kept", "permission denied for table kept")):
            world.configure(topic=table)
            code, told = world.stage.run(f"{PURGELINE} check --config {world.config}")
            score.ok(code == 1 and "rows cannot be deleted by their id, a bigint: " + pattern in told,
                     f"postgres: check finds that no row of '{table}' can be deleted", told)
            world.start()
            until(table, lambda: f"a bigint: {pattern}" in world.log())
            score.ok(world.jobs() == [], f"postgres: and nothing of '{table}' is pushed", world.jobs())
            world.kill()
        world.configure(topic="hidden")
        world.start()
        until("three times", lambda: len(world.jobs()) >= 3)
        times = [int(job.split("-")[0]) for job, _ in world.ours.ask("XRANGE", LANE, "-", "+")]
        score.ok("0 rows instead of 1 would be deleted" in world.log() and times[2] - times[1] >= 950,
                 "postgres: rows that stay without an error are found, and pushed more and more rarely", times, world.log())
        world.kill()
        world.configure(topic="twins")
        world.start()
        until("twins", lambda: "513 rows instead of 512 would be deleted" in world.log())
        score.ok(world.theirs.sql("SELECT count(*) FROM twins") == "513\n",
                 "postgres: where ids are not unique, no row is deleted that was not read")
    finally:
        world.close()


def secret_in_url(score):
    """libpq quotes what it cannot parse."""
    world = PostgresWorld(score)
    try:
        for nth, url in enumerate(("u:s3cr%tword@h/d", "u:other@s3cretword@h/d", "u:s3cret/word@h/d", "u:s3cretword@[::1/d", "h/d?s3cretword")):
            world.configure()
            with open(world.config) as config:
                text = re.sub(r"    (user|password_file): .*\n", "", config.read())
            world.stage.write("purgeline.yaml", re.sub(r"url: postgresql://.*", f"url: 'postgresql://{url}'", text))
            code, told = world.stage.run(f"{PURGELINE} check --config {world.config}")
            score.ok(code == 1 and "cannot read postgres purgeline_outbox: url: " in told and "s3cr" not in told,
                     f"postgres: what is wrong with the URL is said without its password ({nth})", told)
    finally:
        world.close()


def of_any_bytes(score):
    """A database of the encoding SQL_ASCII, as Debian makes it in the locale C. Rows without an id, and large ones."""
    world = PostgresWorld(score)
    source = Outbox(world)
    try:
        world.theirs.must("createdb", "-h", world.theirs.folder, "-p", str(world.theirs.port), "-U", "boss", "-E", "SQL_ASCII",
                          "-T", "template0", "--locale=C", "bytes")
        world.theirs.sql(r"""\connect bytes
            CREATE TABLE outbox (id bigint, message text); GRANT SELECT, UPDATE, DELETE ON outbox TO purgeline;
            INSERT INTO outbox VALUES (1, '{"id": 1}'), (2, E'{"id": "\xff"}'), (3, NULL), (NULL, '{"id": 4}'), (5, '{"id": 5}')""")
        world.configure(topic="outbox")
        with open(world.config) as config:
            text = config.read()
        world.stage.write("purgeline.yaml", text.replace("/postgres\n", "/bytes\n"))
        world.start()
        until("the others", lambda: world.jobs() == [1, 5])
        score.ok("offset 2\" why=\"not JSON: unable to decode byte 0xff" in world.log() and
                 "offset 3\" why=\"the message is null" in world.log(),
                 "postgres: a text that is not UTF-8, or null, does not stop the next", world.log())
        score.ok(until("one row", lambda: world.theirs.sql("\\connect bytes\nSELECT message FROM outbox") == '{"id": 4}\n'),
                 "postgres: a row without an id stays")
        world.kill()
        world.ours.ask("FLUSHALL")
        world.configure()
        world.theirs.sql("""
            CREATE TABLE deleted (rows bigint); GRANT INSERT ON deleted TO purgeline;
            CREATE FUNCTION count_deleted() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO deleted SELECT count(*) FROM gone; RETURN NULL; END $$;
            CREATE TRIGGER count_deleted AFTER DELETE ON purgeline_outbox REFERENCING OLD TABLE AS gone
                FOR EACH STATEMENT EXECUTE FUNCTION count_deleted();
            INSERT INTO purgeline_outbox (message) SELECT jsonb_build_object('id', n, 'more', repeat('x', 2000000))
                FROM generate_series(1, 20) AS n""")
        world.start()
        until("all done", lambda: not source.left())
        most = world.theirs.sql("SELECT max(rows) FROM deleted")
        score.ok(world.jobs() == list(range(1, 21)) and int(most) == 3,
                 "postgres: of large rows, no more are read at once than 4 MiB and one row", most)
    finally:
        world.close()


def main():
    skip_without("redis-server", "openssl", "setpriv")
    if not glob.glob("/usr/lib/postgresql/*/bin/initdb") or not os.path.exists(PLUGIN):
        print("skip - PostgreSQL is not installed, or purgeline was built without libpq")
        sys.exit(77)
    score = Score()
    killed_again_and_again(score, Outbox)
    refused_by_redis(score, Outbox)
    at_rest(score, Outbox)
    poison_in_an_outbox(score)
    of_a_table(score)
    two_at_once(score)
    what_is_wrong(score)
    cannot_delete(score)
    secret_in_url(score)
    of_any_bytes(score)
    return score.close()


if __name__ == "__main__":
    sys.exit(main())
