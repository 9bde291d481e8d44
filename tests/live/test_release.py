#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""deploy/release in a clone of this repository, with small packages instead of built ones: what it refuses, and what is in the
folder that it makes. tests/systemd --prepare rehearses it with the real packages; building them twice takes ten minutes, so
only a release does.
"""
import glob
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from stage import ROOT, Stage, play, skip_without  # noqa: E402

BUILDINFO = """Format: 1.0
Source: purgeline
Installed-Build-Depends:
 libc6 (= 2.36-9),
 libssl3 (= 3.0.19-1~deb12u2),
 cmake (= 3.25.1-1)
Environment:
 LANG="C.UTF-8"
"""


class World(Stage):
    """A clone at `self.tree`, in which things can be broken."""

    def __init__(self):
        super().__init__()
        self.tree = self.path("tree")
        self.env.update(GNUPGHOME=self.path("gnupg"), GIT_AUTHOR_NAME="a", GIT_AUTHOR_EMAIL="a@example.com",
                        GIT_COMMITTER_NAME="a", GIT_COMMITTER_EMAIL="a@example.com", GIT_CONFIG_GLOBAL="/dev/null")
        os.mkdir(self.path("gnupg"), 0o700)
        self.must(f"git clone --quiet {ROOT} {self.tree}")
        # What is not committed yet is tested, too.
        self.must(f"cp {ROOT}/deploy/release tree/deploy/ && cd tree && rm -f deploy/image && git add --all && "
                  "git commit --quiet --allow-empty -m changes")
        self.must("cd tree && git tag | xargs --no-run-if-empty git tag --delete")
        self.version = re.search(r"^project\(purgeline VERSION ([0-9.]+) ", self.read("CMakeLists.txt"), re.M)[1]
        for release in ("12", "13"):
            self.package("purgeline", release, "libssl3 (>= 3.0), libc6, ca-certificates | other")
            self.package("libpurgeline0", release, "libc6")
            self.write(f"packages/purgeline_{self.version}+deb{release}_amd64.buildinfo", BUILDINFO)

    def read(self, name):
        with open(os.path.join(self.tree, name)) as text:
            return text.read()

    def package(self, name, release, depends):
        version = f"{self.version}+deb{release}"
        self.write(f"{name}/DEBIAN/control", f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nDepends: {depends}\n"
                   "Maintainer: somebody <nobody@example.com>\nDescription: one of a test\n")
        os.makedirs(self.path("packages"), exist_ok=True)
        self.must(f"SOURCE_DATE_EPOCH=1764000000 dpkg-deb --root-owner-group --build {name} packages")

    def release(self, *words, version=None):
        return self.run(f"{self.tree}/deploy/release {version or self.version} {' '.join(words)}")

    def rehearse(self, *words, version=None):
        return self.release("--rehearse", "--packages", self.path("packages"), *words, version=version)

    def close(self):
        subprocess.run(["gpgconf", "--kill", "all"], env=self.env)
        super().close()


def refused(w, score, sentence, part, answer):
    code, said = answer
    score.ok(code == 1 and part in said and not os.path.exists(w.path("out")), sentence, said)


def refusals(w, score):
    out = ("--output", w.path("out"))
    refused(w, score, "without a tag there is no release", f"there is no tag v{w.version}", w.release(*out))
    w.must(f"cd tree && git tag v{w.version} HEAD~1")
    refused(w, score, "what is checked out must be what was tagged", f"is not v{w.version}", w.release(*out))
    w.must(f"cd tree && git tag --force v{w.version}")
    refused(w, score, "the packages of a release are built", "for rehearsals", w.release("--packages", w.path("packages"), *out))
    refused(w, score, "the version must be that of the build", "CMakeLists.txt says", w.rehearse(*out, version="9.9.9"))
    refused(w, score, "a version must be one", "is no version like", w.rehearse(*out, version="1.0-rc1"))
    w.write("tree/new-file", "")
    refused(w, score, "a tree with changes is refused, and they are named", "new-file", w.rehearse(*out))
    os.unlink(w.path("tree/new-file"))
    for name, part in (("## Unreleased\n\n### Added\n\n- something\n\n", "still has something under 'Unreleased'"),
                       ("", f"no heading '## {w.version} - <date>'")):
        text = f"# Changelog\n\n{name}" + ("## 0.0.1 - 2020-01-01\n" if not name else f"## {w.version} - 2026-01-01\n\n- x\n")
        w.write("tree/CHANGELOG.md", text)
        w.must(f"cd tree && git commit --quiet --all -m changelog && git tag --force v{w.version}")
        refused(w, score, f"the changelog must be ready: {part}", part, w.release(*out))
        w.must("cd tree && git reset --quiet --hard HEAD~1")
    refused(w, score, "an unknown key is refused before anything is built", "nobody@example.com",
            w.rehearse("--key", "nobody@example.com", *out))
    os.mkdir(w.path("there"))
    refused(w, score, "an existing folder is not touched", "exists already", w.rehearse("--output", w.path("there")))
    code, said = w.run(f"{w.tree}/deploy/release {w.version} --rehearse --packages {w.path('there')} --output {w.path('out')}")
    score.ok(code == 1 and "there are none for Debian 12" in said, "a folder without packages is refused", said)


def sums_are_right(folder):
    with open(f"{folder}/SHA256SUMS") as lines:
        sums = dict(reversed(line.split()) for line in lines)
    names = {os.path.relpath(path, folder) for path in glob.glob(f"{folder}/**", recursive=True) if os.path.isfile(path)}
    wrong = []
    for name, digest in sums.items():
        with open(f"{folder}/{name}", "rb") as data:
            if hashlib.sha256(data.read()).hexdigest() != digest:
                wrong.append(name)
    return not wrong and names - set(sums) == {"SHA256SUMS", "SHA256SUMS.asc"}


def a_rehearsal(w, score):
    w.must("gpg --batch --quiet --passphrase '' --quick-generate-key tests@example.com ed25519 sign never")
    code, said = w.rehearse("--key", "tests@example.com", "--output", w.path("out"))
    score.ok(code == 0 and "are the same in both builds" in said, "a rehearsal builds all of it twice", said)
    score.ok(sums_are_right(w.path("out")), "SHA256SUMS has all files")
    code, said = w.run("gpg --batch --verify out/SHA256SUMS.asc out/SHA256SUMS")
    score.ok(code == 0, "and is signed", said)
    with tarfile.open(w.path(f"out/purgeline-{w.version}.tar.gz")) as tar:
        names = {member.name for member in tar}
    tracked = {f"purgeline-{w.version}/{name}" for name in w.must("git -C tree ls-files").splitlines()}
    score.ok(tracked <= names and not any("/build/" in name for name in names), "the tar file has all tracked files")
    with open(w.path("out/release-notes.md")) as text:
        told = text.read()
    score.ok(told.strip() and "\n## " not in told and told.strip() in w.read("CHANGELOG.md"), "the notes are a part of the changelog",
             told[:500])
    code, said = w.rehearse("--key", "tests@example.com", "--once", "--output", w.path("again"))
    code, said = w.run("diff -r --exclude SHA256SUMS.asc out again")
    score.ok(code == 0, "made again, all is the same, but for the time of the signature", said)


def the_bill_of_materials(w, score):
    with open(w.path(f"out/purgeline-{w.version}.spdx.json")) as text:
        bill = json.load(text)
    by_id = {one["SPDXID"]: one for one in bill["packages"]}
    score.ok(bill["spdxVersion"] == "SPDX-2.3" and len(by_id) == len(bill["packages"]), "the bill is SPDX 2.3, each id once")
    ends = {one[end] for one in bill["relationships"] for end in ("spdxElementId", "relatedSpdxElement")}
    score.ok(ends <= set(by_id) | {"SPDXRef-DOCUMENT"}, "what is related is in it", ends - set(by_id))
    wrong = [one["SPDXID"] for one in by_id.values() if not re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", one["SPDXID"])]
    score.ok(not wrong, "ids have the letters that SPDX allows", wrong)
    files = {one["packageFileName"]: one["checksums"][0]["checksumValue"] for one in by_id.values() if "packageFileName" in one}
    with open(w.path("out/SHA256SUMS")) as lines:
        sums = dict(reversed(line.split()) for line in lines)
    score.ok(len(files) == 5 and all(sums[name] == digest for name, digest in files.items()),
             "it has the digest of each file that is given to users", files)
    depends = {(by_id[one["spdxElementId"]]["packageFileName"], by_id[one["relatedSpdxElement"]]["versionInfo"])
               for one in bill["relationships"] if one["relationshipType"] == "DEPENDS_ON"}
    score.ok((f"debian12/purgeline_{w.version}+deb12_amd64.deb", "3.0.19-1~deb12u2") in depends,
             "it says with which version of OpenSSL a package was built", depends)
    locators = [one["externalRefs"][0]["referenceLocator"] for one in by_id.values()]
    score.ok(all(re.fullmatch(r"pkg:[a-z]+/[A-Za-z0-9./%~_-]+@[A-Za-z0-9.%~_-]+(\?[a-z0-9=&-]+)?", one) for one in locators) and
             f"pkg:deb/debian/purgeline@{w.version}%2Bdeb13?arch=amd64&distro=debian-13" in locators,
             "packages have their package URL", *locators)


def a_build_that_differs(w, score):
    """The second build gets another package, as if it were not reproducible."""
    w.program("dpkg-deb", f"""
        /usr/bin/dpkg-deb "$@"
        case "$*" in *second*) ;; *first*) echo more >>{w.path('packages')}/libpurgeline0_{w.version}+deb13_amd64.deb ;; esac""")
    code, said = w.rehearse("--output", w.path("differs"))
    os.unlink(w.path("bin/dpkg-deb"))
    score.ok(code == 1 and "two builds are not the same" in said and f"libpurgeline0_{w.version}+deb13" in said,
             "what differs between the builds is named, and there is no release", said)


def main():
    skip_without("git", "gpg", "dpkg-deb")
    if subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD~1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        print("skip - this is a copy without its history")
        return 77
    return play((refusals, a_rehearsal, the_bill_of_materials, a_build_that_differs), World())


if __name__ == "__main__":
    sys.exit(main())
