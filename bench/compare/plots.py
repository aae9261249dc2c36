"""Plots by gnuplot, as SVG and PNG: throughput.* has a panel for each case, with the device's limit as a line; latency.*
the quantiles of each server at a part of its own load."""
import json
import subprocess

import report

COLOURS = {"weir xdp": "#1b6ca8", "weir xdp, busy": "#0b3c5d", "weir kernel": "#6fb1e0", "epoll": "#999999",
           "io_uring": "#777777", "Asio": "#bbbbbb", "recvmmsg": "#888888", "blocking": "#888888", "reflector": "#d98c2b"}
QUANTILES = ("p50", "p90", "p99", "p999", "max")
PANEL = (420, 300)  # pixels
COLUMNS = 3


def quoted(text):
    return json.dumps(text)


def bars(number, case, results):
    """One panel: a bar with its least and most for each server."""
    rows = report.measured(results[case.name])
    lines = [f"$data{number} << EOD"]
    for place, (name, rounds) in enumerate(rows.items()):
        rates = [figures["rate"] for figures in rounds]
        colour = int(COLOURS.get(name, "#555555")[1:], 16)
        lines.append(f"{place} {report.median(rounds, 'rate')} {min(rates)} {max(rates)} {colour} {quoted(name)}")
    device = report.limit(rows)
    limit = f", {device} with lines lw 2 lc rgb '#d98c2b' dt 2 title 'reflector'" if device else ""
    lines += ["EOD", f"set title {quoted(case.name)}", f"set ylabel {quoted(case.unit)}",
              f"set xrange [-0.6:{len(rows) - 0.4}]",
              f"plot $data{number} using 1:2:(0.7):5:xtic(6) with boxes lc rgb variable notitle, "
              f"'' using 1:2:3:4 with yerrorbars pt -1 lc rgb '#333333' notitle{limit}"]
    return lines


def throughput(cases, results):
    shown = [case for case in cases if not case.load and len(report.measured(results[case.name])) > 1]
    rows = -(-len(shown) // COLUMNS)
    size = (PANEL[0] * COLUMNS, PANEL[1] * max(rows, 1))
    lines = ["set style fill solid", "set yrange [0:*]", "set xtics rotate by -30", "set key top left samplen 2",
             f"set multiplot layout {max(rows, 1)},{COLUMNS}"]
    for number, case in enumerate(shown):
        lines += bars(number, case, results)
    return size, lines + ["unset multiplot"]


def latency(cases, results):
    shown = [case for case in cases if case.load and report.measured(results[case.name])]
    lines = ["set logscale y", "set ylabel 'us'", "set key top left",
             f"set xtics ({', '.join(f'{quoted(name)} {at}' for at, name in enumerate(QUANTILES))})",
             f"set multiplot layout 1,{max(len(shown), 1)}"]
    for panel, case in enumerate(shown):
        rows = report.measured(results[case.name])
        curves = []
        for number, (name, rounds) in enumerate(rows.items()):
            block = f"$curve{panel}_{number}"
            lines.append(f"{block} << EOD")
            lines += [f"{at} {report.latency(rounds, key)}" for at, key in enumerate(QUANTILES)]
            lines.append("EOD")
            curves.append(f"{block} with linespoints lw 2 pt {number + 1} lc rgb '{COLOURS.get(name, '#555555')}' "
                          f"title {quoted(name)}")
        lines += [f"set title {quoted(case.name)}", f"set xrange [-0.2:{len(QUANTILES) - 0.8}]", "plot " + ", ".join(curves)]
    return (2 * PANEL[0] * max(len(shown), 1), 2 * PANEL[1]), lines + ["unset multiplot"]


def write(folder, cases, results):
    for name, draw in (("throughput", throughput), ("latency", latency)):
        (width, height), lines = draw(cases, results)
        for kind, terminal in (("svg", f"svg noenhanced size {width},{height} background 'white'"),
                               ("png", f"pngcairo noenhanced size {width},{height}")):
            script = [f"set terminal {terminal}", f"set output {quoted(str(folder / f'{name}.{kind}'))}", *lines, "set output"]
            try:
                subprocess.run(["gnuplot"], input="\n".join(script) + "\n", check=True, text=True)
            except FileNotFoundError:
                print("compare: no plots: gnuplot is missing (bazel/setup.sh installs it)")
                return
