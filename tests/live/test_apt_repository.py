#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/apt-repository with small packages and a key of its own: apt accepts the repository, finds updates, and refuses what
was changed. tests/systemd installs the real packages from one.
"""
import functools
import glob
import gzip
import http.server
import os
import shutil
import subprocess
import sys
import threading

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import ROOT, Stage, play, skip_without  # noqa: E402

MAKE = f"{ROOT}/deploy/apt-repository"


class Web(http.server.ThreadingHTTPServer):
    """Serves a folder on a port of its own, and remembers the paths. It never answers "not modified": files that change
    twice within a second have the same time."""

    def __init__(self, folder):
        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(handler, *words):
                self.paths.append(handler.path)

            def send_head(handler):
                del handler.headers["If-Modified-Since"]
                return super().send_head()

        self.paths = []
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
        threading.Thread(target=self.serve_forever, daemon=True).start()


class World(Stage):
    def __init__(self):
        super().__init__()
        self.env["GNUPGHOME"] = self.path("gnupg")
        os.mkdir(self.path("gnupg"), 0o700)
        for name in ("packages", "repository"):
            os.mkdir(self.path(name))
        self.web = Web(self.path("repository"))
        self.url = f"http://127.0.0.1:{self.web.server_port}"

    def key(self, name):
        self.must(f"gpg --batch --quiet --passphrase '' --quick-generate-key '{name}' ed25519 sign never")

    def package(self, name, version, folder="packages"):
        self.write(f"{name}/usr/share/doc/{name}/{version}", f"{name} {version}\n")
        self.write(f"{name}/DEBIAN/control", f"Package: {name}\nVersion: {version}\nArchitecture: amd64\n"
                   f"Maintainer: somebody <nobody@example.com>\nDescription: one of a test\n")
        os.makedirs(self.path(folder), exist_ok=True)
        self.must(f"SOURCE_DATE_EPOCH=1764000000 dpkg-deb --root-owner-group --build {name} {folder}")
        shutil.rmtree(self.path(name))

    def make(self, *words, output="repository"):
        return self.run(f"{MAKE} --output {self.path(output)} --key tests@example.com --url {self.url} {' '.join(words)}")

    def apt(self, suite, words):
        """apt with folders of its own, as a user of the machine would have them."""
        root = self.path(f"apt-{suite}")
        if not os.path.exists(root):
            for folder in ("etc/keyrings", "state/lists/partial", "cache/archives/partial"):
                os.makedirs(f"{root}/{folder}")
            self.write(f"apt-{suite}/status", "")
        shutil.copy(self.path("repository/purgeline.gpg"), f"{root}/etc/keyrings/") if not os.path.exists(
            f"{root}/etc/keyrings/purgeline.gpg") else None
        with open(self.path(f"repository/purgeline-{suite}.sources")) as sources:
            text = sources.read().replace("/etc/apt/keyrings", f"{root}/etc/keyrings")
        self.write(f"apt-{suite}/purgeline.sources", text)
        options = {"Dir::Etc::SourceList": f"{root}/purgeline.sources", "Dir::Etc::SourceParts": "/dev/null",
                   "Dir::Etc::Parts": "/dev/null", "Dir::State": f"{root}/state", "Dir::Cache": f"{root}/cache",
                   "Dir::State::Status": f"{root}/status", "APT::Architecture": "amd64", "APT::Sandbox::User": "",
                   "APT::Update::Error-Mode": "any", "Acquire::GzipIndexes": "false",
                   "Acquire::http::Proxy::127.0.0.1": "DIRECT", "Acquire::Languages": "none"}
        said = " ".join(f"-o {name}={value!r}" for name, value in options.items())
        return self.run(f"APT_CONFIG=/dev/null apt-get {said} {words}")

    def policy(self, suite):
        """The names and versions in the lists that apt has fetched."""
        found = []
        for path in glob.glob(self.path(f"apt-{suite}/state/lists/*Packages*")):
            read = gzip.open if path.endswith(".gz") else open
            with read(path, "rt") as text:
                lines = [line.split(": ", 1) for line in text.read().splitlines() if line.startswith(("Package: ", "Version: "))]
            found += [(lines[n][1], lines[n + 1][1]) for n in range(0, len(lines), 2)]
        return sorted(found)

    def file(self, suite, name):
        return self.path(f"repository/dists/{suite}/{name}")

    def close(self):
        subprocess.run(["gpgconf", "--kill", "all"], env=self.env)
        self.web.shutdown()
        self.web.server_close()
        super().close()


def apt_accepts_it(w, score):
    w.key("tests@example.com")
    for suite, release in (("bookworm", "12"), ("trixie", "13")):
        w.package("purgeline", f"0.1.0+deb{release}")
        w.package("libpurgeline0", f"0.1.0+deb{release}")
    code, said = w.make(w.path("packages"))
    score.ok(code == 0, "a repository is made of a folder of packages", said)
    for suite, release in (("bookworm", "12"), ("trixie", "13")):
        code, said = w.apt(suite, "update")
        score.ok(code == 0, f"apt update accepts {suite}", said)
        expected = [(name, f"0.1.0+deb{release}") for name in ("libpurgeline0", "purgeline")]
        score.ok(w.policy(suite) == expected, f"{suite} has the packages for Debian {release}, and no others", w.policy(suite))
        code, said = w.apt(suite, "--yes --download-only install purgeline")
        score.ok(code == 0, "apt downloads one", said)
    hashed = [path for path in w.web.paths if "/by-hash/SHA256/" in path]
    score.ok(len(hashed) == 2, "lists are fetched by their digests", w.web.paths)


def what_is_added_is_found(w, score):
    before = open(w.file("trixie", "main/binary-amd64/Packages")).read()
    digest = subprocess.run(["sha256sum"], input=before.encode(), stdout=subprocess.PIPE).stdout.decode().split()[0]
    w.package("purgeline", "0.2.0+deb13", folder="newer")
    code, said = w.make(w.path("newer"))
    score.ok(code == 0, "a new version is added", said)
    code, said = w.apt("trixie", "update")
    score.ok(code == 0 and ("purgeline", "0.2.0+deb13") in w.policy("trixie") and ("purgeline", "0.1.0+deb13") in w.policy("trixie"),
             "and found; the old one is still there", said, w.policy("trixie"))
    score.ok(os.path.exists(w.file("trixie", f"main/binary-amd64/by-hash/SHA256/{digest}")),
             "who has read the old list of lists still finds what it names")


def it_is_the_same_again(w, score):
    """Into another folder, from the same packages, later."""
    code, said = w.make(w.path("packages"), w.path("newer"), output="again")
    code, said = w.run("diff -r --exclude by-hash repository again")
    score.ok(code == 0, "made again of the same packages, it is the same, with its signatures", said)


def refusals(w, score):
    w.package("purgeline", "1.0", folder="nowhere")
    w.write("packages-of-another/x", "")
    for words, part in ((f"{w.path('nowhere')}/*.deb", "names neither +deb12 nor +deb13"), ("/no/such/folder", "does not exist"),
                        (w.path("packages-of-another"), "has no packages")):
        code, said = w.make(words)
        score.ok(code == 1 and part in said, f"refused with words: {part}", said)
    w.write("purgeline/extra", "another file")
    w.package("purgeline", "0.1.0+deb13", folder="other")
    code, said = w.make(w.path("other"))
    score.ok(code == 1 and "another purgeline of the same version" in said, "another package of the same version is refused", said)
    code, said = w.run(f"{MAKE} --output {w.path('x')} --key nobody@example.com {w.path('packages')}")
    score.ok(code == 1 and "no secret key" in said and not os.path.exists(w.path("x")), "so is a key that gpg does not have", said)


def a_changed_list_is_refused(w, score):
    """Somebody changes the list of packages on the server, or signs with a key of their own."""
    lists = w.file("bookworm", "main/binary-amd64")
    for path in [f"{lists}/{name}" for name in os.listdir(lists) if name != "by-hash"] + glob.glob(f"{lists}/by-hash/SHA256/*"):
        with open(path, "r+b") as text:
            text.seek(20)
            text.write(b"XXXX")
    shutil.rmtree(w.path("apt-bookworm/state"))
    os.makedirs(w.path("apt-bookworm/state/lists/partial"))
    code, said = w.apt("bookworm", "update")
    score.ok(code != 0 and not w.policy("bookworm"), "apt refuses a list that was changed after it was signed", said)
    w.key("stranger@example.com")
    w.must(f"gpg --batch --yes --quiet --local-user stranger@example.com --clearsign --output {w.file('trixie', 'InRelease')} "
           f"{w.file('trixie', 'Release')}")
    os.unlink(w.file("trixie", "Release.gpg"))
    code, said = w.apt("trixie", "update")
    score.ok(code != 0 and "NO_PUBKEY" in said or "Missing key" in said, "and one that another key has signed", said)


def it_may_end(w, score):
    code, said = w.make("--valid-days", "7", w.path("packages"), output="ending")
    text = open(w.path("ending/dists/trixie/Release")).read()
    score.ok(code == 0 and "\nValid-Until: " in text, "lists may have an end", said, text)


def main():
    skip_without("apt-get", "apt-ftparchive", "dpkg-deb", "gpg")
    return play((apt_accepts_it, what_is_added_is_found, it_is_the_same_again, refusals, a_changed_list_is_refused, it_may_end),
                World())


if __name__ == "__main__":
    sys.exit(main())
