"""What no noise touches: system calls, frames and copied bytes, from the metrics page of a weir server."""
import re

METRICS = "127.0.0.1:7990"
# Name -> the metrics whose sum it is.
COUNTS = {
    "system_calls": ("uring_syscalls_total", "link_doorbells_total"),
    "frames_in": ("link_rx_frames_total",),
    "frames_out": ("link_tx_frames_total",),
    "copied_bytes": ("copied_bytes_total", "copied_out_bytes_total", "tcp_direct_copied_bytes_total",
                     "kernel_copied_bytes_total"),
    "resumes": ("resumes_total",),
}


def read(end):
    """Of all shards together."""
    page = end.inside("curl", "-sf", "--max-time", "5", f"http://{METRICS}/metrics")
    values = {}
    for name, value in re.findall(r"^weir_(\w+)\{[^}]*\} (\d+)$", page, re.MULTILINE):
        values[name] = values.get(name, 0) + int(value)
    return {name: sum(values.get(metric, 0) for metric in metrics) for name, metrics in COUNTS.items()}


def each(before, after, done):
    return {name: (after[name] - before[name]) / done for name in before}
