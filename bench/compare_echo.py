#!/usr/bin/env python3
"""TCP echo over loopback: weir's tcp_echo on kernel sockets against the peers, in one interleaved run.

    compare_echo.py BIN_DIR [--rounds=5] [--seconds=2]

Each round runs every server in turn (A B C A B C ...) on one processor and the same load generator on another, so that
what else the machine does falls on all of them. Prints the median, least and most requests per second, and the ratio of
the medians to the best peer's.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

PORT = 7801


def servers(bin_dir):
    return {
        "weir": [f"{bin_dir}/examples/tcp_echo/tcp_echo", f"--port={PORT}"],
        "epoll": [f"{bin_dir}/bench/peers/epoll_echo", str(PORT)],
        "asio": [f"{bin_dir}/bench/peers/asio_echo", str(PORT)],
    }


def measure(bin_dir, command, connections, size, seconds):
    """Requests per second of one server; the server is ended by its pid."""
    server = subprocess.Popen(["taskset", "-c", "0", *command], stdout=subprocess.PIPE, text=True)
    try:
        if "ready" not in server.stdout.readline():
            raise SystemExit(f"compare_echo: {command[0]} did not come up")
        with tempfile.NamedTemporaryFile(suffix=".json") as result:
            subprocess.run(["taskset", "-c", "1", f"{bin_dir}/bench/loadgen/loadgen", f"--target=127.0.0.1:{PORT}",
                            f"--connections={connections}", f"--size={size}", f"--duration={seconds}", "--warmup=0.5",
                            f"--json={result.name}"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return json.load(result)["rps"]
    finally:
        server.kill()
        server.wait()
        time.sleep(0.2)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir", help="bazel info -c opt bazel-bin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--size", type=int, default=512)
    options = parser.parse_args()
    if os.cpu_count() < 2:
        raise SystemExit("compare_echo: needs two processors: one for the server, one for the load")
    for connections in (64, 1000):
        rates = {name: [] for name in servers(options.bin_dir)}
        for _ in range(options.rounds):
            for name, command in servers(options.bin_dir).items():
                rates[name].append(measure(options.bin_dir, command, connections, options.size, options.seconds))
        best_peer = max(statistics.median(rate) for name, rate in rates.items() if name != "weir")
        print(f"\nTCP echo of {options.size} B, {connections} connections, {options.rounds} rounds of {options.seconds} s:")
        print(f"{'server':8} {'median/s':>10} {'least':>10} {'most':>10} {'to best peer':>13}")
        for name, rate in rates.items():
            middle = statistics.median(rate)
            print(f"{name:8} {middle:10.0f} {min(rate):10.0f} {max(rate):10.0f} {middle / best_peer:13.2f}")


if __name__ == "__main__":
    main()
