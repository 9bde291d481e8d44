# SPDX-License-Identifier: MIT
"""Hosts on one machine, each with a network namespace, a host name and an address of its own, all on one Ethernet.
They have no names that others could see, and end with the process that made them. Needs root.

    network = Network()
    a, b = network.host("a"), network.host("b")
    a.popen(["redis-server", ...], ...)             a program on this host
    with a.entered(): socket.create_connection(...) a connection from this host
    a.unplug() / a.plug_in()                        nothing leaves it or arrives
    a.block([b]) / a.unblock()                      what a sends to b vanishes; what b sends to a arrives
"""
import contextlib
import ctypes
import os
import subprocess
import sys

CLONE_NEWNET = 0x40000000
CLONE_NEWUTS = 0x04000000
PREFIX = "192.0.2."  # reserved for documentation: RFC 5737
BLOCKED = "100"  # number of the routing table

libc = ctypes.CDLL(None, use_errno=True)


def check(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def skip_without_namespaces():
    """Exits with 77 and a sentence if this process may not have network namespaces."""
    try:
        network = Network()
        network.host("probe")
    except (OSError, subprocess.CalledProcessError) as refused:
        print(f"skip - no network namespaces (they need root and iproute2): {refused}")
        sys.exit(77)
    network.close()


class Namespaces:
    """A network and a host name of their own. The files keep them alive."""

    def __init__(self, hostname):
        home = [os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC) for kind in ("net", "uts")]
        try:
            check(libc.unshare(CLONE_NEWNET | CLONE_NEWUTS))
            self.net, self.uts = [os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
                                  for kind in ("net", "uts")]
            check(libc.sethostname(hostname.encode(), len(hostname)))
        finally:
            for fd in home:
                check(libc.setns(fd, 0))
                os.close(fd)
        self.prefix = ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.net}",
                       f"--uts=/proc/{os.getpid()}/fd/{self.uts}"]

    def ip(self, *lines):
        """Carries out these lines of ip(8) in turn."""
        subprocess.run([*self.prefix, "ip", "-batch", "-"], input="\n".join(lines) + "\n", check=True,
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def close(self):
        os.close(self.net)
        os.close(self.uts)


class Host:
    def __init__(self, network, name, number):
        self.network = network
        self.name = name
        self.number = number
        self.address = f"{PREFIX}{number}"
        self.space = Namespaces(name)
        self.blocked = False
        network.space.ip(f"link add p{number} type veth peer name eth0 netns /proc/{os.getpid()}/fd/{self.space.net}",
                         f"link set p{number} master switch up")
        # A packet that is sent into `hole` arrives nowhere. There is no ARP on it, so the sender notices nothing.
        self.space.ip("link set lo up", f"addr add {self.address}/24 dev eth0", "link set eth0 up",
                      "link add hole type veth peer name bottom", "link set hole arp off up", "link set bottom up")

    def popen(self, command, **options):
        """Starts a program on this host. It is killed when this process ends, however that happens."""
        return subprocess.Popen([*self.space.prefix, "setpriv", "--pdeathsig", "KILL", *command], **options)

    def run(self, command, **options):
        return subprocess.run([*self.space.prefix, *command], **options)

    def enter(self):
        """From now on, this thread connects from this host."""
        check(libc.setns(self.space.net, CLONE_NEWNET))

    @contextlib.contextmanager
    def entered(self):
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.enter()
        try:
            yield
        finally:
            check(libc.setns(home, CLONE_NEWNET))
            os.close(home)

    def unplug(self):
        self.network.space.ip(f"link set p{self.number} down")

    def plug_in(self):
        self.network.space.ip(f"link set p{self.number} up")

    def block(self, hosts):
        """What is sent to these hosts vanishes, from one moment on for all of them."""
        self.space.ip(*(f"route add {other.address}/32 dev hole src {self.address} table {BLOCKED}" for other in hosts),
                      f"rule add pref 10 lookup {BLOCKED}")
        self.blocked = True

    def unblock(self):
        if self.blocked:
            self.space.ip("rule del pref 10", f"route flush table {BLOCKED}")
            self.blocked = False


class Network:
    def __init__(self):
        self.space = Namespaces("switch")
        self.space.ip("link add switch type bridge", "link set switch up")
        self.hosts = []

    def host(self, name):
        self.hosts.append(Host(self, name, len(self.hosts) + 1))
        return self.hosts[-1]

    def heal(self):
        for host in self.hosts:
            host.unblock()
            host.plug_in()

    def close(self):
        for space in [host.space for host in self.hosts] + [self.space]:
            space.close()
        self.hosts = []
