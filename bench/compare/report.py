"""Results as Markdown."""
import statistics

from measure import MB_PER_S
from veth_link import listed

QUANTILES = ("p50", "p99", "p999")


def median(rounds, key):
    return statistics.median(figures[key] for figures in rounds)


def latency(rounds, key):
    return statistics.median(figures["latency_us"][key] for figures in rounds)


def heading(about):
    off = [f"{end}: {listed(offloads)}" for end, offloads in about["offloads"].items()]
    return (f"{about['date']}, Linux {about['kernel']}, {about['processors']} processors ({about['processor']}); "
            f"{about['rounds']} interleaved rounds of {about['seconds']:g} s, medians.\n{about['link']}; {about['pinning']}.\n"
            f"Offloads at the {'; at the '.join(off)}.")


def measured(rows):
    """Without the servers that are missing or failed."""
    return {name: rounds for name, rounds in rows.items() if isinstance(rounds, list)}


def best_kernel_server(rows):
    """Of those that are not weir."""
    peers = [median(rounds, "rate") for name, rounds in measured(rows).items()
             if not name.startswith("weir") and name != "reflector"]
    return max(peers, default=None)


def limit(rows):
    rounds = measured(rows).get("reflector")
    return median(rounds, "rate") if rounds else None


def ratio(rate, to):
    return f"{rate / to:.2f}" if to else ""


def each(case):
    return "kB" if case.unit == MB_PER_S else case.unit.split("s/")[0]


def table(case, results):
    rows = results[case.name]
    best, device = best_kernel_server(rows), limit(rows)
    lines = [f"\n### {case.name}\n",
             f"| server | {case.unit} | least | most | to the best other | to the reflector | CPU ns a {each(case)} | p50 us | p99 us "
             "| p99.9 us |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for name, rounds in rows.items():
        if not isinstance(rounds, list):
            lines.append(f"| {name} | none: {rounds['missing']} | | | | | | | | |")
            continue
        rates = [figures["rate"] for figures in rounds]
        rate = statistics.median(rates)
        lines.append(
            f"| {name} | {rate:,.0f} | {min(rates):,.0f} | {max(rates):,.0f} | {ratio(rate, best)} | {ratio(rate, device)} "
            f"| {median(rounds, 'cpu_ns'):,.0f} "
            "| " + " | ".join(f"{latency(rounds, key):,.0f}" if rounds[0]["requests"] else "" for key in QUANTILES) + " |")
    return "\n".join(lines) + "\n" + counts_table(case, results)


def counts_table(case, results):
    """What weir's servers did for each request, or nothing."""
    counted = [(name, rounds) for name, rounds in measured(results[case.name]).items() if rounds[0]["counts"]]
    if not counted:
        return ""
    names = list(counted[0][1][0]["counts"])
    lines = ["", f"| a {each(case)} | {' | '.join(name.replace('_', ' ') for name in names)} |", "|---" * (len(names) + 1) + "|"]
    for server, rounds in counted:
        values = [statistics.median(figures["counts"][name] for figures in rounds) for name in names]
        lines.append(f"| {server} | {' | '.join(f'{value:.3g}' for value in values)} |")
    return "\n".join(lines)


def page(about, cases, results):
    return heading(about) + "\n" + "\n".join(table(case, results) for case in cases) + "\n"
