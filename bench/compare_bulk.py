#!/usr/bin/env python3
"""Bulk TCP over a veth pair, one connection: weir on its own stack and the kernel, each receiving and sending, next to
what the device allows for frames of that size (xsk_reflector: no stack at all), in one interleaved run.

    compare_bulk.py BIN_DIR [--rounds=5] [--seconds=2] [--mtu=1500,3400] [--quick]        as root

Two namespaces for each MTU, made for the run and removed after it. The server is on processor 0, the client on
processor 1. Each round runs all in turn (A B C ... A B C ...). Segmentation offloads (tso, gso, gro) are off at both
ends. The client is loadgen, on weir's stack and on the kernel's: the faster of the two is the server's figure. The
reflector's client is udp_blast, which costs what the reflector does.

Prints frames per second with data (full segments; the reflector's: that it takes and sends back), median, least and
most; their ratio to the reflector's, and weir's to the kernel's with the client that is the faster one for that; frames
for a second of the processor of the busier side, which is the rate that there is where nobody else uses the processors;
the processor seconds for a GB of payload, of the server and of both; and how much of its processor the server used,
spinning included.

What is counted: user and system time of the processes, and of ksoftirqd on their processors. A frame over a veth is
received by NAPI in the context of who sends it, on that one's processor: a server's time has the receiving of what it
sends in it (up to the client's ring, or through the client's TCP to its socket), and not that of what it gets. So the
time of both is what a transfer costs, and the sender is the busy one, whoever of the two is the server. Where others
use the same processors, the rates move with them.
"""
import argparse
import contextlib
import json
import resource
import statistics
import subprocess
import tempfile
import time

from veth_link import CLIENT_CPU, SERVER_CPU, Link, check_machine, listed, processor_seconds, run, server

PORT = 7803
WEIR_CLIENT_IP, WEIR_IP, KERNEL_IP, KERNEL_CLIENT_IP = "10.93.0.1", "10.93.0.2", "10.93.0.3", "10.93.0.4"
WARMUP_S = 0.5
UDP_HEADERS, TCP_HEADERS = 20 + 8, 20 + 20 + 12  # with IPv4's, and TCP's timestamps


def ksoftirqd(processor):
    return run("pgrep", "-x", f"ksoftirqd/{processor}").strip()


@contextlib.contextmanager
def measured(process):
    """Yields a dictionary that has the processor seconds of both, and the time, when the block is over.

    What the kernel puts off to a processor's ksoftirqd counts as that of the side on it.
    """
    used, deferred = {}, (ksoftirqd(SERVER_CPU), ksoftirqd(CLIENT_CPU))

    def seconds():
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (time.monotonic(), processor_seconds(process.pid, deferred[0]),
                children.ru_utime + children.ru_stime + processor_seconds(deferred[1]))

    before = seconds()
    yield used
    used |= {name: after - at for name, after, at in zip(("wall", "server", "client"), seconds(), before)}


def reflect(link, options):
    peers, size = f"{options.bin_dir}/bench/peers", link.mtu - UDP_HEADERS
    reflector = [f"{peers}/xsk_reflector", f"--interface={link.server.device}", f"--address={WEIR_IP}"]
    with server(link, reflector) as process:
        with measured(process) as used:
            result = json.loads(run(*link.client.command(
                f"{peers}/udp_blast", f"--interface={link.client.device}", f"--address={WEIR_CLIENT_IP}",
                f"--target={WEIR_IP}:{PORT}", f"--size={size}", f"--window={options.window}", f"--warmup={WARMUP_S}",
                f"--duration={options.seconds}")))
    return used | {"rate": result["rps"], "bytes": result["answered"] * size}


def stream(link, stack, direction, client_stack, options):
    """`direction` is the server's: it receives or sends."""
    segment = link.mtu - TCP_HEADERS
    if stack == "weir":
        command, ip = [f"{options.bin_dir}/bench/loadgen/bulk_server", f"--port={PORT}", "--stack=xdp",
                       f"--interface={link.server.device}", f"--address={WEIR_IP}/24"], WEIR_IP
    else:
        command, ip = [f"{options.bin_dir}/bench/peers/bulk_server", str(PORT)], KERNEL_IP
    client = [f"{options.bin_dir}/bench/loadgen/loadgen", "--mode=stream", "--size=65536", f"--warmup={WARMUP_S}",
              f"--duration={options.seconds}"]
    client += ["--direction=up", f"--target={ip}:{PORT}"] if direction == "receives" else [
        "--direction=down", f"--target={ip}:{PORT + 1}"]
    if client_stack == "weir":
        client += ["--stack=xdp", f"--interface={link.client.device}", f"--address={WEIR_CLIENT_IP}/24"]
    with server(link, command) as process, tempfile.NamedTemporaryFile(suffix=".json") as result:
        with measured(process) as used:
            done = subprocess.run(link.client.command(*client, f"--json={result.name}"), check=False, capture_output=True,
                                  text=True)
        if done.returncode != 0:
            raise SystemExit(f"compare_bulk: loadgen: {done.stderr.strip().splitlines()[-1]}")
        moved = json.load(result)
    return used | {"rate": moved["bytes_per_s"] / segment, "bytes": moved["all_bytes"]}


STREAMS = [(stack, direction, client) for direction in ("receives", "sends") for stack in ("weir", "kernel")
           for client in ("weir", "kernel")]


def measure(link, options):
    """(stack, direction, client's stack) -> results, one of each round; of the reflector: None."""
    results = {case: [] for case in [None, *STREAMS]}
    for _ in range(options.rounds):
        for case, rounds in results.items():
            rounds.append(reflect(link, options) if case is None else stream(link, *case, options))
    return results


def compare(link, options):
    results = measure(link, options)
    middle = {case: statistics.median(result["rate"] for result in rounds) for case, rounds in results.items()}
    print(f"\nMTU {link.mtu}, frames of {link.mtu + 14} bytes, {options.rounds} rounds of {options.seconds} s:")
    print(f"{'server':16} {'client':7} {'frames/s':>9} {'least':>9} {'most':>9} {'to reflector':>13} {'to kernel':>10} "
          f"{'per CPU s':>10} {'CPU s/GB':>9} {'of both':>8} {'busy':>5}")
    for case, rounds in results.items():
        rates = [result["rate"] for result in rounds]

        def per_gb(*who):
            return statistics.median(sum(result[key] for key in who) / result["bytes"] * 1e9 for result in rounds)

        stack, direction, client = case or ("reflector", "", "")
        to_kernel = middle[case] / max(middle["kernel", direction, peer] for peer in ("weir", "kernel")) if case else 1
        payload = link.mtu - (TCP_HEADERS if case else UDP_HEADERS)
        busier = statistics.median(
            result["bytes"] / payload / max(result["server"], result["client"]) for result in rounds)
        print(f"{stack + ' ' + direction:16} {client:7} {middle[case]:9.0f} {min(rates):9.0f} {max(rates):9.0f} "
              f"{middle[case] / middle[None]:13.2f} {f'{to_kernel:.2f}' if stack == 'weir' else '':>10} "
              f"{busier:10.0f} {per_gb('server'):9.2f} {per_gb('server', 'client'):8.2f} "
              f"{statistics.median(result['server'] / result['wall'] for result in rounds):5.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir", help="bazel info -c opt bazel-bin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--mtu", default="1500,3400", help="one after the other")
    parser.add_argument("--window", type=int, default=64, help="datagrams under way at once, for the reflector")
    parser.add_argument("--quick", action="store_true", help="two rounds of one second")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 2, 1
    check_machine()
    for mtu in map(int, options.mtu.split(",")):
        with Link(off=("tso", "gso", "gro"), server_ip=f"{KERNEL_IP}/24", client_ip=f"{KERNEL_CLIENT_IP}/24",
                  mtu=mtu).within() as link:
            if mtu == int(options.mtu.split(",")[0]):
                print(f"veth, AF_XDP in copy mode; {listed(link.server.offloads())}; server on processor {SERVER_CPU}, client on "
                      f"{CLIENT_CPU}; NAPI in the sender's context")
            compare(link, options)


if __name__ == "__main__":
    main()
