"""The servers that are compared, and how one runs."""
import contextlib
import dataclasses
import os
import time

import counts
from veth_link import NotReady, start

CLIENT_IP, OWN_IP, KERNEL_IP = "10.93.0.1", "10.93.0.2", "10.93.0.3"  # OWN_IP: of a server with a stack of its own
PREFIX = 24
PORT = 7803
TRIES = 20  # the port, or the device's queue, of the server before may be busy for a moment yet
PAUSE_S = 0.1


@dataclasses.dataclass(frozen=True)
class Server:
    name: str
    command: tuple
    address: str = KERNEL_IP
    load_flags: tuple = ()  # of the load generator, behind the case's
    counted: bool = False  # it has a metrics page


def weir(bin_dir, program, device, *flags):
    """(on its own stack, on kernel sockets)"""
    command = (f"{bin_dir}/{program}", f"--port={PORT}", f"--metrics={counts.METRICS}", *flags)
    own_stack = ("--stack=xdp", f"--interface={device}", f"--address={OWN_IP}/{PREFIX}")
    return (Server("weir xdp", command + own_stack, OWN_IP, counted=True), Server("weir kernel", command, counted=True))


def tcp_echo_servers(bin_dir, device):
    peers = f"{bin_dir}/bench/peers"
    return [*weir(bin_dir, "examples/tcp_echo/tcp_echo", device)] + [
        Server(name, (f"{peers}/{program}", str(PORT)))
        for name, program in (("epoll", "epoll_echo"), ("io_uring", "uring_echo"), ("Asio", "asio_echo"))]


def busy_tcp_echo_server(bin_dir, device):
    server, _ = weir(bin_dir, "examples/tcp_echo/tcp_echo", device, "--poll=busy")
    return dataclasses.replace(server, name="weir xdp, busy")


def udp_echo_servers(bin_dir, device):
    peers = f"{bin_dir}/bench/peers"
    return [reflector(bin_dir, device), *weir(bin_dir, "examples/udp_echo/udp_echo", device),
            Server("recvmmsg", (f"{peers}/mmsg_echo", str(PORT)))]


def bulk_servers(bin_dir, device):
    """They read and drop on PORT, and write on the next."""
    return [*weir(bin_dir, "bench/loadgen/bulk_server", device),
            Server("blocking", (f"{bin_dir}/bench/peers/bulk_server", str(PORT)))]


def reflector(bin_dir, device):
    """What the device can do: frames with their addresses exchanged, and no stack."""
    return Server("reflector", (f"{bin_dir}/bench/peers/xsk_reflector", f"--interface={device}", f"--address={OWN_IP}"),
                  OWN_IP, ("--mode=udp_rr",))


@contextlib.contextmanager
def running(end, server):
    """The server at its end of the link, up, with its device's NAPI at its side."""
    if not os.access(server.command[0], os.X_OK):
        raise NotReady(f"{server.command[0]} is not there")
    for left in reversed(range(TRIES)):
        before = end.napi_threads()
        try:
            process = start(end, server.command)
            break
        except NotReady:
            if left == 0:
                raise
            time.sleep(PAUSE_S)
    try:
        if server.address == OWN_IP:
            end.wait_and_pin_napi(before)
        yield process
    finally:
        process.kill()
        process.communicate()
        end.pin_napi()  # without a program the device has others again


def load_command(bin_dir, device, server, port_offset, *flags):
    """The load generator for it, which always runs on weir's own stack: it costs the least."""
    return [f"{bin_dir}/bench/loadgen/loadgen", "--stack=xdp", f"--interface={device}",
            # A new connection for each request leaves a port in TIME-WAIT each time; ports last for less than a second of them.
            "--tcp=tw_reuse=1,ip_local_port_range=1024 65535,max_tw_buckets=30000",
            f"--address={CLIENT_IP}/{PREFIX}", f"--target={server.address}:{PORT + port_offset}", *flags]
