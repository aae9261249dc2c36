"""What is measured: the cases in the order in which they are shown."""
import servers
from measure import MB_PER_S, Case

SIZE = 64
CONNECTIONS = 64


def tcp_and_limit(bin_dir, device):
    """The reflector answers datagrams of the same size and number: what the device allows, whatever the protocol."""
    return [*servers.tcp_echo_servers(bin_dir, device), servers.reflector(bin_dir, device)]


def with_busy(bin_dir, device):
    return [*tcp_and_limit(bin_dir, device), servers.busy_tcp_echo_server(bin_dir, device)]


def echo_flags(connections):
    return f"--connections={connections}", f"--size={SIZE}"


def rr(connections, of=tcp_and_limit):
    return Case(f"rr, {connections}", ("--mode=rr", *echo_flags(connections)), of)


def loaded(part):
    """Open loop: requests are due at a part of the rate that this server reached in the closed loop."""
    return Case(f"latency at {part:.0%}", ("--mode=rr", *echo_flags(CONNECTIONS)), servers.tcp_echo_servers,
                load=part, closed=f"rr, {CONNECTIONS}")


def all_cases():
    flags = echo_flags(CONNECTIONS)
    return [
        rr(1, with_busy),
        rr(CONNECTIONS),
        rr(1000),
        Case(f"crr, {CONNECTIONS}", ("--mode=crr", *flags), servers.tcp_echo_servers, unit="connections/s"),
        Case(f"udp_rr, {CONNECTIONS}", ("--mode=udp_rr", *flags), servers.udp_echo_servers),
        Case("bulk up", ("--mode=stream", "--direction=up"), servers.bulk_servers, unit=MB_PER_S),
        Case("bulk down", ("--mode=stream", "--direction=down"), servers.bulk_servers, unit=MB_PER_S, port_offset=1),
        loaded(0.5),
        loaded(0.8),
    ]
