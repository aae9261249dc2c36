"""One measurement: one server, one case, once."""
import dataclasses
import json
import subprocess
import tempfile

import counts
import servers
from veth_link import die_with_parent, processor_seconds

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
        before_s, before_napi_ns = processor_seconds(process.pid), link.server.napi_ns()
        load = subprocess.Popen(link.client.command(*command), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                                preexec_fn=die_with_parent)
        link.client.wait_and_pin_napi(napi)
        _, errors = load.communicate()
        cpu_ns = (processor_seconds(process.pid) - before_s) * 1e9 + link.server.napi_ns() - before_napi_ns
        if load.returncode != 0:
            raise Failed(errors.strip().splitlines()[-1] if errors.strip() else f"loadgen: exit code {load.returncode}")
        figures = json.load(result)
        done = max(1, figures["all_bytes"] / 1e3 if case.unit == MB_PER_S else figures["all_requests"])
        figures["cpu_ns"] = cpu_ns / done
        figures["counts"] = counts.each(counted, counts.read(link.server), done) if server.counted else {}
        return figures
