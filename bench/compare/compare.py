#!/usr/bin/env python3
"""weir's servers next to others, over a veth pair, with one load generator, in one interleaved run.

    compare.py BIN_DIR [--rounds=5] [--seconds=2] [--only=SUBSTRING] [--results=DIR]        as root

Each round runs every server in turn (A B C A B C ...). The server, with its device's NAPI, is on processor 0, the load
generator with its device's on processor 1. Prints a table of each case; with --results writes latest.json, latest.md and
plots (SVG and PNG, by gnuplot) to that folder. bench/README.md says what the figures mean.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import statistics
import sys

sys.path.append(str(pathlib.Path(__file__).parent.parent))  # veth_link
import cases  # noqa: E402
import plots  # noqa: E402
import report  # noqa: E402
import servers  # noqa: E402
from measure import Failed, measure  # noqa: E402
from napi_end import NapiEnd  # noqa: E402
from veth_link import Link, NotReady, check_machine  # noqa: E402


def run_case(link, case, options, results):
    """{server: [figures of a round, ...]}; a server that is missing or fails has {"missing": why} in place of them."""
    rows = {}
    for number in range(options.rounds):
        for server in case.servers(options.bin_dir, link.server.device):
            rounds = rows.setdefault(server.name, [])
            if isinstance(rounds, dict):
                continue
            rate = 0
            if case.load:
                closed = results.get(case.closed, {}).get(server.name)
                if not isinstance(closed, list):
                    continue
                rate = case.load * statistics.median(figures["rps"] for figures in closed)
            try:
                figures = measure(link, options.bin_dir, case, server, options.seconds, rate)
                rounds.append(figures | {"rate": case.rate(figures)})
            except (NotReady, Failed) as error:
                rows[server.name] = {"missing": str(error)}
                print(f"compare: {case.name}, {server.name}, round {number + 1}: {error}", file=sys.stderr)
    return {name: rounds for name, rounds in rows.items() if rounds}


def machine(link):
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(":")[1].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    return {
        "date": datetime.date.today().isoformat(), "kernel": platform.release(), "processor": model,
        "processors": os.cpu_count(), "offloads": {"server": link.server.offloads(), "client": link.client.offloads()},
        "pinning": f"server and its device's NAPI (threaded) on processor {link.server.processor}, load generator and its "
                   f"device's on {link.client.processor}",
        "link": "veth, MTU 1500; AF_XDP in copy mode; the load generator on weir's own stack",
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bin_dir", help="bazel info -c opt bazel-bin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2, help="of a measurement")
    parser.add_argument("--only", default="", help="the cases whose names contain this")
    parser.add_argument("--results", type=pathlib.Path, help="folder for latest.json, latest.md and plots")
    options = parser.parse_args()
    check_machine()
    results = {}
    with Link(server_ip=f"{servers.KERNEL_IP}/{servers.PREFIX}", end=NapiEnd).within() as link:
        about = machine(link) | {"rounds": options.rounds, "seconds": options.seconds}
        print(report.heading(about), flush=True)
        chosen = [case for case in cases.all_cases() if options.only in case.name]
        for case in chosen:
            results[case.name] = run_case(link, case, options, results)
            print(report.table(case, results), flush=True)
    if options.results:
        options.results.mkdir(parents=True, exist_ok=True)
        (options.results / "latest.json").write_text(json.dumps({"about": about, "cases": results}, indent=1) + "\n")
        (options.results / "latest.md").write_text(report.page(about, chosen, results))
        plots.write(options.results, chosen, results)
        print(f"compare: latest.json, latest.md and plots are in {options.results}")


if __name__ == "__main__":
    main()
