"""What the comparisons over a veth pair share: the pair, between two namespaces of its own; a server on one processor at
its one end, and a client on the other processor at its other end; and what they cost.
"""
import contextlib
import ctypes
import os
import re
import select
import signal
import subprocess
import sys
import time

SERVER_CPU, CLIENT_CPU = "0", "1"
READY_S = 10  # a server that is not up by then never will be


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def die_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


class End:
    """One end of the pair: a namespace with a device, whose programs belong on one processor.

    The namespaces are named as those of tests/netns, which remove what a killed run left.
    """

    def __init__(self, name, processor):
        self.namespace = f"weir-{os.getpid()}-{name}"
        self.device = f"wb{os.getpid()}{name}"
        self.processor = processor

    def command(self, *command):
        """The command line that runs `command` here."""
        return ["ip", "netns", "exec", self.namespace, "taskset", "-c", self.processor, *command]

    def inside(self, *command):
        """What `command` prints, on any processor."""
        return run("ip", "netns", "exec", self.namespace, *command)

    def set_up(self, off, mtu):
        if off:
            self.inside("ethtool", "-K", self.device, *(word for name in off for word in (name, "off")))
        run("ip", "-n", self.namespace, "link", "set", self.device, "mtu", str(mtu), "up")

    def offloads(self):
        """What is on, of what matters here."""
        text = self.inside("ethtool", "-k", self.device)
        names = ("tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload",
                 "generic-receive-offload")
        return {name: re.search(name + ": (on|off)", text).group(1) for name in names}


def listed(offloads):
    return ", ".join(f"{name} {value}" for name, value in offloads.items())


class Link:
    """A veth pair; within() makes it and takes it away again.

    `off`: what ethtool -K turns off at both ends; `server_ip` and `client_ip`: what the kernel has there, with prefix
    lengths; `end`: what makes the ends.
    """

    def __init__(self, server_ip, client_ip=None, off=(), mtu=1500, end=End):
        self.server, self.client = end("s", SERVER_CPU), end("c", CLIENT_CPU)
        self.off, self.mtu, self.addresses = off, mtu, ((self.server, server_ip), (self.client, client_ip))

    @contextlib.contextmanager
    def within(self):
        try:
            for end in (self.server, self.client):
                run("ip", "netns", "add", end.namespace)
                run("ip", "-n", end.namespace, "link", "set", "lo", "up")
                # Nothing on the wire but the benchmark.
                end.inside("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
            run("ip", "link", "add", self.server.device, "netns", self.server.namespace, "type", "veth", "peer", "name",
                self.client.device, "netns", self.client.namespace)
            for end in (self.server, self.client):
                end.set_up(self.off, self.mtu)
            for end, ip in self.addresses:
                if ip is not None:
                    run("ip", "-n", end.namespace, "addr", "add", ip, "dev", end.device)
            yield self
        finally:
            for end in (self.server, self.client):
                subprocess.run(["ip", "netns", "del", end.namespace], check=False, capture_output=True)


class NotReady(Exception):
    """A server did not come up; says why."""


def start(end, command):
    """The server's process, which has said that it is ready."""
    process = subprocess.Popen(end.command(*command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=die_with_parent)
    readable, _, _ = select.select([process.stdout], [], [], READY_S)
    if readable and "ready" in process.stdout.readline():
        return process
    process.kill()
    said = process.communicate()[1].strip().splitlines()
    raise NotReady(said[-1] if said else f"{command[0]} did not come up")


@contextlib.contextmanager
def server(link, command):
    try:
        process = start(link.server, command)
    except NotReady as error:
        raise SystemExit(f"{program()}: {error}") from error
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        time.sleep(0.1)


def threads_ns(pid):
    """What the threads that it has now have run on a processor so far; that includes the receiving that the kernel did in
    their context."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat") as schedstat:
            total += int(schedstat.read().split()[0])
    return total


def processor_seconds(*pids):
    """The same with threads that have ended, in hundredths of a second."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # utime, stime
    return ticks / os.sysconf("SC_CLK_TCK")


def program():
    return os.path.basename(sys.argv[0])


def check_machine():
    if os.geteuid() != 0:
        raise SystemExit(f"{program()}: needs root to make network namespaces")
    if os.cpu_count() < 2:
        raise SystemExit(f"{program()}: needs two processors: one for the server, one for the client")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
