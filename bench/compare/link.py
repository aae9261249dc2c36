"""Two namespaces with a veth pair between them, for one run; and on which processors its ends do their receiving.

Receiving on a veth is done by the device's NAPI. Left alone it runs in the context of whoever sends, so that a server's
receiving would be done on the client's processor; as threads of their own (`threaded` of the device) the NAPIs can be
given to the processor of the end that they receive for, and their time is counted with it. They go before programs, as
the softirq of a network card does; else they would wait for a slice of time to end, and the device's ring overflow.
"""
import contextlib
import os
import pathlib
import re
import subprocess
import time

CLIENT_IP, OWN_IP, KERNEL_IP = "10.93.0.1", "10.93.0.2", "10.93.0.3"  # OWN_IP: of a server with a stack of its own
PREFIX = 24
QUEUE = 10_000  # frames: more than are ever under way
NAPI_PRIORITY = 50
NAPI_S = 1  # within this time of a program's start its device's NAPI threads are there


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class End:
    """One end of the pair: a namespace with a device, whose work belongs on one processor."""

    def __init__(self, name, processor):
        self.namespace = f"weir-{os.getpid()}-{name}"
        self.device = f"w{name}{os.getpid()}"
        self.processor = processor

    def command(self, *command):
        """The command in this namespace, on this end's processor."""
        return ["ip", "netns", "exec", self.namespace, "taskset", "-c", str(self.processor), *command]

    def inside(self, *command):
        return run("ip", "netns", "exec", self.namespace, *command)

    def set_up(self):
        # Without GRO a veth has a NAPI only while a program is attached.
        self.inside("ethtool", "-K", self.device, "gro", "on")
        run("ip", "-n", self.namespace, "link", "set", self.device, "up")
        # With a queue in front of it the device's ring, of 256 frames, holds its senders up when it is full; without, it drops.
        run("tc", "-n", self.namespace, "qdisc", "add", "dev", self.device, "root", "pfifo", "limit", str(QUEUE))
        self.inside("sh", "-c", f"echo 1 >/sys/class/net/{self.device}/threaded")

    def napi_threads(self):
        """Their process numbers; they are new each time that a program is attached to the device."""
        found = []
        for comm in pathlib.Path("/proc").glob("[0-9]*/comm"):
            with contextlib.suppress(OSError):
                if comm.read_text().startswith(f"napi/{self.device}"[:15]):
                    found.append(int(comm.parent.name))
        return found

    def pin_napi(self):
        for thread in self.napi_threads():
            with contextlib.suppress(OSError):  # it has ended
                os.sched_setaffinity(thread, {self.processor})
                os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(NAPI_PRIORITY))

    def wait_and_pin_napi(self, before):
        """Once others are there than `before`."""
        end = time.monotonic() + NAPI_S
        while set(self.napi_threads()) <= set(before) and time.monotonic() < end:
            time.sleep(0.01)
        self.pin_napi()

    def offloads(self):
        text = self.inside("ethtool", "-k", self.device)
        names = ("tx-checksumming", "tcp-segmentation-offload", "generic-segmentation-offload", "generic-receive-offload")
        return {name: re.search(name + ": (on|off)", text).group(1) for name in names}


class Link:
    def __init__(self, server_processor=0, client_processor=1):
        self.server, self.client = End("s", server_processor), End("c", client_processor)

    @contextlib.contextmanager
    def within(self):
        """Makes it, and takes it away again. A run that was killed leaves what the tests' harness removes by its name."""
        try:
            for end in (self.server, self.client):
                run("ip", "netns", "add", end.namespace)
                run("ip", "-n", end.namespace, "link", "set", "lo", "up")
                # Nothing on the wire but the benchmark.
                end.inside("sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1")
            run("ip", "link", "add", self.server.device, "netns", self.server.namespace, "type", "veth", "peer", "name",
                self.client.device, "netns", self.client.namespace)
            for end in (self.server, self.client):
                end.set_up()
            run("ip", "-n", self.server.namespace, "addr", "add", f"{KERNEL_IP}/{PREFIX}", "dev", self.server.device)
            yield self
        finally:
            for end in (self.server, self.client):
                subprocess.run(["ip", "netns", "del", end.namespace], check=False, capture_output=True)
