"""What compare_udp.py and compare_bulk.py share: a veth pair between two namespaces of their own, a server on one
processor at its one end, and a client on the other processor at its other end.
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


class Link:
    """A veth pair between two namespaces; within() makes it and takes it away again.

    The namespaces are named as those of tests/netns, which remove what a killed run left. `off`: what ethtool -K turns
    off at both ends; `server_ip` and `client_ip`: what the kernel has there, with prefix lengths.
    """

    def __init__(self, off, server_ip, client_ip=None, mtu=1500):
        self.server, self.client = (f"weir-{os.getpid()}-{end}" for end in "sc")
        self.server_device, self.client_device = (f"wb{os.getpid()}{end}" for end in "sc")
        self.off, self.mtu, self.addresses = off, mtu, ((self.server, server_ip), (self.client, client_ip))

    @contextlib.contextmanager
    def within(self):
        try:
            for namespace in (self.server, self.client):
                run("ip", "netns", "add", namespace)
                run("ip", "-n", namespace, "link", "set", "lo", "up")
                # Nothing on the wire but the benchmark.
                run("ip", "netns", "exec", namespace, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
            run("ip", "link", "add", self.server_device, "netns", self.server, "type", "veth", "peer", "name",
                self.client_device, "netns", self.client)
            for namespace, device in self.ends():
                run("ip", "netns", "exec", namespace, "ethtool", "-K", device,
                    *(word for name in self.off for word in (name, "off")))
                run("ip", "-n", namespace, "link", "set", device, "mtu", str(self.mtu), "up")
            for (namespace, device), (_, ip) in zip(self.ends(), self.addresses):
                if ip is not None:
                    run("ip", "-n", namespace, "addr", "add", ip, "dev", device)
            yield self
        finally:
            for namespace in (self.server, self.client):
                subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)

    def ends(self):
        return (self.server, self.server_device), (self.client, self.client_device)

    def offloads(self):
        """What is on, of what matters here, at both ends."""
        text = run("ip", "netns", "exec", self.server, "ethtool", "-k", self.server_device)
        names = ("tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload",
                 "generic-receive-offload")
        return ", ".join(f"{name} {re.search(name + ': (on|off)', text).group(1)}" for name in names)

    def in_client(self, *command):
        """The command line that runs `command` at the client's end."""
        return ["ip", "netns", "exec", self.client, "taskset", "-c", CLIENT_CPU, *command]


@contextlib.contextmanager
def server(link, command):
    process = subprocess.Popen(["ip", "netns", "exec", link.server, "taskset", "-c", SERVER_CPU, *command],
                               stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    try:
        readable, _, _ = select.select([process.stdout], [], [], READY_S)
        if not readable or "ready" not in process.stdout.readline():
            raise SystemExit(f"{os.path.basename(sys.argv[0])}: {command[0]} did not come up")
        yield process
    finally:
        process.kill()
        process.wait()
        time.sleep(0.1)


def check_machine():
    name = os.path.basename(sys.argv[0])
    if os.geteuid() != 0:
        raise SystemExit(f"{name}: needs root to make network namespaces")
    if os.cpu_count() < 2:
        raise SystemExit(f"{name}: needs two processors: one for the server, one for the client")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
