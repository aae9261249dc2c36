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
import json
import statistics

from veth_link import CLIENT_CPU, SERVER_CPU, Link, check_machine, listed, run, server, threads_ns

PORT = 7802
SIZES = (64, 1472)  # of the UDP payload; the second fills an MTU of 1500
CLIENT_IP, OWN_IP, KERNEL_IP = "10.92.0.1", "10.92.0.2", "10.92.0.3"  # OWN_IP: of a server with a stack of its own


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


def measure(bin_dir, link, command, address, size, options):
    with server(link, command) as process:
        client = [f"{bin_dir}/bench/peers/udp_blast", f"--interface={link.client.device}", f"--address={CLIENT_IP}",
                  f"--target={address}:{PORT}", f"--size={size}", f"--window={options.window}",
                  f"--duration={options.seconds}"]
        before = threads_ns(process.pid)
        result = json.loads(run(*link.client.command(*client)))
        return result | {"cpu_ns": (threads_ns(process.pid) - before) / result["answered"]}


def compare(link, size, options):
    results = {name: [] for name in servers(options.bin_dir, link.server.device)}
    for _ in range(options.rounds):
        for name, (command, address) in servers(options.bin_dir, link.server.device).items():
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
    check_machine()
    # Full checksums: the client turns frames round, and its neighbour finishes none for it.
    with Link(off=("tx",), server_ip=f"{KERNEL_IP}/24").within() as link:
        print(f"veth, AF_XDP in copy mode; {listed(link.server.offloads())}; server on processor {SERVER_CPU}, client on "
              f"{CLIENT_CPU}; NAPI in the sender's context, so each receives its frames on the other's processor")
        for size in SIZES:
            compare(link, size, options)


if __name__ == "__main__":
    main()
