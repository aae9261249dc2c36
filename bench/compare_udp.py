#!/usr/bin/env python3
"""UDP echo over a veth pair: weir's udp_echo on its own stack and on kernel sockets, next to what the device allows
(xsk_reflector: no stack at all) and to the plainest kernel server (mmsg_echo), in one interleaved run.

    compare_udp.py BIN_DIR [--rounds=5] [--seconds=2] [--window=64]        as root

Two namespaces, made for the run and removed after it. The server is on processor 0, the client, udp_blast, on
processor 1. Each round runs every server in turn (A B C D A B C D ...). Prints the median, least and most answers per
second, the processor time that the server took for each, and how both compare with the reflector (1 is as good). Where
others use the same processors, the rates move with them; the processor time hardly does.
"""
import argparse
import contextlib
import ctypes
import json
import os
import re
import select
import signal
import statistics
import subprocess
import sys
import time

PORT = 7802
SIZES = (64, 1472)  # of the UDP payload; the second fills an MTU of 1500
CLIENT_IP, OWN_IP, KERNEL_IP = "10.92.0.1", "10.92.0.2", "10.92.0.3"  # OWN_IP: of a server with a stack of its own
SERVER_CPU, CLIENT_CPU = "0", "1"
READY_S = 10  # a server that is not up by then never will be


def servers(bin_dir, device):
    """Name -> (command, address)."""
    echo, peers = [f"{bin_dir}/examples/udp_echo/udp_echo", f"--port={PORT}"], f"{bin_dir}/bench/peers"
    own_stack = ["--stack=xdp", f"--interface={device}", f"--address={OWN_IP}/24"]
    return {
        "reflector": ([f"{peers}/xsk_reflector", f"--interface={device}", f"--address={OWN_IP}"], OWN_IP),
        "weir xdp": (echo + own_stack, OWN_IP),
        "weir kernel": (echo, KERNEL_IP),
        "mmsg_echo": ([f"{peers}/mmsg_echo", str(PORT)], KERNEL_IP),
    }


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def die_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL, 0, 0, 0)


class Link:
    """A veth pair between two namespaces; within() makes it and takes it away again.

    The namespaces are named as those of tests/netns, which remove what a killed run left.
    """

    def __init__(self):
        self.server, self.client = (f"weir-{os.getpid()}-{end}" for end in "sc")
        self.server_device, self.client_device = (f"wb{os.getpid()}{end}" for end in "sc")

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
                # Full checksums: the client turns frames round, and its neighbour finishes none for it.
                run("ip", "netns", "exec", namespace, "ethtool", "-K", device, "tx", "off")
                run("ip", "-n", namespace, "link", "set", device, "up")
            run("ip", "-n", self.server, "addr", "add", f"{KERNEL_IP}/24", "dev", self.server_device)
            yield self
        finally:
            for namespace in (self.server, self.client):
                subprocess.run(["ip", "netns", "del", namespace], check=False, capture_output=True)

    def ends(self):
        return (self.server, self.server_device), (self.client, self.client_device)

    def offloads(self):
        """What is on, of what matters here, at both ends."""
        text = run("ip", "netns", "exec", self.server, "ethtool", "-k", self.server_device)
        names = ("tx-checksumming", "generic-segmentation-offload", "generic-receive-offload")
        return ", ".join(f"{name} {re.search(name + ': (on|off)', text).group(1)}" for name in names)


@contextlib.contextmanager
def server(link, command):
    process = subprocess.Popen(["ip", "netns", "exec", link.server, "taskset", "-c", SERVER_CPU, *command],
                               stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent)
    try:
        readable, _, _ = select.select([process.stdout], [], [], READY_S)
        if not readable or "ready" not in process.stdout.readline():
            raise SystemExit(f"compare_udp: {command[0]} did not come up")
        yield process
    finally:
        process.kill()
        process.wait()
        time.sleep(0.1)


def processor_ns(process):
    """What it has run on a processor so far; that includes the receiving that the kernel did in its context."""
    with open(f"/proc/{process.pid}/schedstat") as schedstat:
        return int(schedstat.read().split()[0])


def measure(bin_dir, link, command, address, size, options):
    with server(link, command) as process:
        client = [f"{bin_dir}/bench/peers/udp_blast", f"--interface={link.client_device}", f"--address={CLIENT_IP}",
                  f"--target={address}:{PORT}", f"--size={size}", f"--window={options.window}",
                  f"--duration={options.seconds}"]
        before = processor_ns(process)
        result = json.loads(run("ip", "netns", "exec", link.client, "taskset", "-c", CLIENT_CPU, *client))
        return result | {"cpu_ns": (processor_ns(process) - before) / result["answered"]}


def compare(link, size, options):
    results = {name: [] for name in servers(options.bin_dir, link.server_device)}
    for _ in range(options.rounds):
        for name, (command, address) in servers(options.bin_dir, link.server_device).items():
            results[name].append(measure(options.bin_dir, link, command, address, size, options))
    device = {key: statistics.median(result[key] for result in results["reflector"]) for key in ("rps", "cpu_ns")}
    print(f"\nUDP echo of {size} B, {options.window} under way, {options.rounds} rounds of {options.seconds} s:")
    print(f"{'server':12} {'median/s':>9} {'least':>9} {'most':>9} {'to reflector':>13} {'CPU ns each':>12} "
          f"{'to reflector':>13} {'lost':>6}")
    for name, rounds in results.items():
        rates = [result["rps"] for result in rounds]
        middle, cpu = statistics.median(rates), statistics.median(result["cpu_ns"] for result in rounds)
        print(f"{name:12} {middle:9.0f} {min(rates):9.0f} {max(rates):9.0f} {middle / device['rps']:13.2f} {cpu:12.0f} "
              f"{device['cpu_ns'] / cpu:13.2f} {sum(result['lost'] for result in rounds):6}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir", help="bazel info -c opt bazel-bin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--window", type=int, default=64, help="datagrams under way at once")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("compare_udp: needs root to make network namespaces")
    if os.cpu_count() < 2:
        raise SystemExit("compare_udp: needs two processors: one for the server, one for the client")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with Link().within() as link:
        print(f"veth, AF_XDP in copy mode; {link.offloads()}; server on processor {SERVER_CPU}, client on "
              f"{CLIENT_CPU}; NAPI in the sender's context, so each receives its frames on the other's processor")
        for size in SIZES:
            compare(link, size, options)


if __name__ == "__main__":
    main()
