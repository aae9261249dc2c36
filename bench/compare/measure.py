"""One measurement: one server, one case, once."""
import contextlib
import dataclasses
import json
import os
import subprocess
import tempfile

import counts
import servers

WARMUP_S = 0.5
MB_PER_S = "MB/s"


@dataclasses.dataclass(frozen=True)
class Case:
    name: str
    flags: tuple  # of the load generator
    servers: object  # (bin_dir, device) -> list of Server
    unit: str = "requests/s"
    load: float = 0  # part of what the server answers in the closed loop of `closed`; 0: is a closed loop
    closed: str = ""
    port_offset: int = 0  # from servers.PORT

    def rate(self, figures):
        return figures["bytes_per_s"] / 1e6 if self.unit == MB_PER_S else figures["rps"]


class Failed(Exception):
    """The load generator met an error: no figure."""


def processor_ns(pid):
    """What it has run on a processor so far, with threads of it that have ended."""
    with open(f"/proc/{pid}/stat") as stat:
        user, system = stat.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) * (10**9 // os.sysconf("SC_CLK_TCK"))


def napi_ns(end):
    """The same of its device's NAPI, whose threads come and go with programs on the device."""
    total = 0
    for pid in end.napi_threads():
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/schedstat") as schedstat:
                total += int(schedstat.read().split()[0])
    return total


def measure(link, bin_dir, case, server, seconds, rate=0):
    """What loadgen's --json says, with `cpu_ns`, of the server and its device's NAPI, and `counts`, for each request (bulk:
    each kB)."""
    with servers.running(link.server, server) as process, tempfile.NamedTemporaryFile(suffix=".json") as result:
        command = servers.load_command(bin_dir, link.client.device, server, case.port_offset, *case.flags,
                                       *server.load_flags, f"--duration={seconds}", f"--warmup={WARMUP_S}",
                                       f"--json={result.name}")
        if rate > 0:
            command.append(f"--rate={rate:.0f}")
        napi = link.client.napi_threads()
        counted = counts.read(link.server) if server.counted else {}
        before = processor_ns(process.pid) + napi_ns(link.server)
        load = subprocess.Popen(link.client.command(*command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                preexec_fn=servers.die_with_parent)
        link.client.wait_and_pin_napi(napi)
        _, errors = load.communicate()
        cpu_ns = processor_ns(process.pid) + napi_ns(link.server) - before
        if load.returncode != 0:
            raise Failed(errors.strip().splitlines()[-1] if errors.strip() else f"loadgen: exit code {load.returncode}")
        figures = json.load(result)
        done = max(1, figures["all_bytes"] / 1e3 if case.unit == MB_PER_S else figures["all_requests"])
        figures["cpu_ns"] = cpu_ns / done
        figures["counts"] = counts.each(counted, counts.read(link.server), done) if server.counted else {}
        return figures
