#!/usr/bin/env python3
"""DNS over a veth pair under kxdpgun: dns_server on weir's own stack and on kernel sockets, next to knotd with its XDP
listener and on sockets, over UDP and over TCP (a connection for each query), in one interleaved run.

    compare_dns.py BIN_DIR [--rounds=5] [--seconds=2]        as root

Two namespaces, made for the run and removed after it. The server is on processor 0, the client, kxdpgun, on
processor 1. Each round runs every server in turn, each with several rates of queries, and takes the largest answered
rate. Prints the median, least and most of these, the largest rate of which every query was answered in some round, the processor time
that the server took for an answer (the least of a round, median over the rounds), and both compared with knotd's XDP
listener. Where others use the same processors, the rates move with them; the processor time moves less.
"""
import argparse
import contextlib
import os
import re
import statistics
import subprocess
import tempfile
import time

from veth_link import CLIENT_CPU, READY_S, SERVER_CPU, Link, check_machine, die_with_parent, listed, run, threads_ns

CLIENT_IP, OWN_IP, KERNEL_IP = "10.92.0.1", "10.92.0.2", "10.92.0.3"  # OWN_IP: of weir's own stack
TRIES = 5  # now and then kxdpgun ends without a word
RATES = {"udp": (100_000, 200_000, 300_000, 400_000, 500_000), "tcp": (10_000, 25_000, 50_000, 75_000, 100_000)}

ZONE = """$ORIGIN example.com.
$TTL 3600
@ SOA ns1 hostmaster 1 7200 3600 1209600 300
@ NS ns1
@ NS ns2
@ MX 10 mail
ns1 A 192.0.2.1
ns2 A 192.0.2.2
mail A 192.0.2.20
""" + "".join(f"h{i} A 192.0.2.{i % 250}\nh{i} AAAA 2001:db8::{i:x}\n" for i in range(1000))
QUERIES = "".join(f"h{i * 7 % 1000}.example.com. {kind}\n" for i in range(500) for kind in ("A", "AAAA E"))


def knot_config(folder, device, xdp):
    listen = f'xdp:\n  listen: "{device}@53"\n  tcp: on\n' if xdp else ""
    address = "" if xdp else f'  listen: "{KERNEL_IP}@53"\n'
    return (f'server:\n  rundir: "{folder}"\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n{address}'
            f'{listen}database:\n  storage: "{folder}"\nlog:\n- target: stderr\n  any: error\n'
            f'zone:\n- domain: example.com\n  file: "{folder}/zone"\n')


def servers(bin_dir, folder, device):
    """Name -> (command, address)."""
    weir = [f"{bin_dir}/examples/dns_server/dns_server", f"--zone={folder}/zone"]
    configs = {}
    for name, xdp in (("xdp", True), ("sockets", False)):
        configs[name] = f"{folder}/{name}.conf"
        with open(configs[name], "w", encoding="ascii") as file:
            file.write(knot_config(folder, device, xdp))
    return {
        "weir xdp": (weir + ["--stack=xdp", f"--interface={device}", f"--address={OWN_IP}/24"], OWN_IP),
        "weir kernel": (weir, KERNEL_IP),
        "knot xdp": (["knotd", "-c", configs["xdp"]], KERNEL_IP),
        "knot sockets": (["knotd", "-c", configs["sockets"]], KERNEL_IP),
    }


@contextlib.contextmanager
def server(link, command, address):
    process = subprocess.Popen(link.server.command(*command),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent)
    try:
        deadline = time.monotonic() + READY_S
        ask = link.client.command("dig", "+tries=1", "+time=1", "+short", f"@{address}", "h1.example.com")
        while "192.0.2.1" not in subprocess.run(ask, check=False, capture_output=True, text=True).stdout:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"compare_dns: {command[0]} did not come up")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()
        # knotd leaves its program behind.
        subprocess.run(["ip", "-n", link.server.namespace, "link", "set", link.server.device, "xdp", "off"], check=False)
        time.sleep(0.2)


def load(link, process, address, folder, transport, rate, seconds):
    """Asked, answered, nanoseconds of the server's processor for each answer."""
    command = ["kxdpgun", "-t", str(seconds), "-Q", str(rate), "-i", f"{folder}/queries", "-F", CLIENT_CPU, address]
    for _ in range(TRIES):
        before = threads_ns(process.pid)
        text = run(*link.client.command(*command, *(["--tcp"] if transport == "tcp" else [])))
        used = threads_ns(process.pid) - before
        counts = re.search(r"total (?:queries|SYNs): +(\d+)[^$]*total replies: +(\d+)", text)
        if counts:
            asked, answered = map(int, counts.groups())
            return asked, answered, used / max(answered, 1)
    raise SystemExit(f"compare_dns: kxdpgun counts nothing: {text}")


def measure(link, command, address, folder, transport, seconds):
    with server(link, command, address) as process:
        best, lossless, cost = 0, 0, float("inf")
        for rate in RATES[transport]:
            asked, answered, cpu_ns = load(link, process, address, folder, transport, rate, seconds)
            best, cost = max(best, answered / seconds), min(cost, cpu_ns)
            if asked == answered:
                lossless = max(lossless, answered / seconds)
        return best, lossless, cost


def compare(link, folder, transport, options):
    all_servers = servers(options.bin_dir, folder, link.server.device)
    results = {name: [] for name in all_servers}
    for _ in range(options.rounds):
        for name, (command, address) in all_servers.items():
            results[name].append(measure(link, command, address, folder, transport, options.seconds))
    middle = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in results.items()}
    base = middle["knot xdp"]
    what = "UDP, queries" if transport == "udp" else "TCP, connections of one query"
    print(f"\n{what}: {options.rounds} rounds, {options.seconds} s for each of {len(RATES[transport])} rates:")
    print(f"{'server':13} {'median/s':>9} {'least':>8} {'most':>8} {'to knot xdp':>12} {'without loss':>13} "
          f"{'CPU ns each':>12} {'to knot xdp':>12}")
    for name, rounds in results.items():
        rate, _, cpu = middle[name]
        rates = [best for best, _, _ in rounds]
        print(f"{name:13} {rate:9.0f} {min(rates):8.0f} {max(rates):8.0f} {rate / base[0]:12.2f} "
              f"{max(lossless for _, lossless, _ in rounds):13.0f} {cpu:12.0f} {base[2] / cpu:12.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir", help="bazel info -c opt bazel-bin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--transport", choices=("udp", "tcp"), action="append", help="one of them alone")
    options = parser.parse_args()
    check_machine()
    # Full checksums: kxdpgun's XDP program sees frames as they were sent.
    link = Link(off=("tx",), server_ip=f"{KERNEL_IP}/24", client_ip=f"{CLIENT_IP}/24")
    with tempfile.TemporaryDirectory(prefix="weir-dns-") as folder, link.within():
        os.chmod(folder, 0o755)
        for name, text in (("zone", ZONE), ("queries", QUERIES)):
            with open(f"{folder}/{name}", "w", encoding="ascii") as file:
                file.write(text)
        print(f"veth, AF_XDP in copy mode; {listed(link.server.offloads())}; server on processor {SERVER_CPU}, kxdpgun on "
              f"{CLIENT_CPU}; NAPI in the sender's context, so each receives its frames on the other's processor")
        for transport in options.transport or ("udp", "tcp"):
            compare(link, folder, transport, options)


if __name__ == "__main__":
    main()
