"""The same scripted session over weir's sockets and the kernel's: the answers must be the same, line by line.

The kernel's agent is kernel_reference.py, or the program that WEIR_KERNEL_AGENT names, such as kernel_agent of
shared/interop.
"""
import difflib
import os
import re
import sys
import tempfile
import traceback

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [FOLDER, os.path.join(FOLDER, "..", "netns")]

import harness  # noqa: E402
import session_errors  # noqa: E402
import session_options  # noqa: E402
import session_tcp  # noqa: E402
import session_udp  # noqa: E402
from session_world import AGENT4, AGENT6, PEER4, PEER6, World  # noqa: E402

DEVICE = harness.DEVICE
AGENT = os.path.join(os.environ.get("TEST_SRCDIR", "."), os.environ.get("TEST_WORKSPACE", "."), "tests", "interop",
                     "socket_agent")


class AgentTest(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory(prefix="weir-agent-")
        self.addCleanup(self.folder.cleanup)

    def hosts(self, agent_in, peer_in, kernel):
        """Addresses of the two ends; weir has its own."""
        run = harness.run
        run("ip", "-n", peer_in, "addr", "flush", "dev", DEVICE)
        run("ip", "-n", agent_in, "addr", "flush", "dev", DEVICE)
        harness.run_in(peer_in, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        for network, kind in enumerate(("unreachable", "prohibit", "blackhole"), 1):  # of session_errors.py
            run("ip", "-n", peer_in, "route", "replace", kind, f"10.99.{network}.0/24")
            run("ip", "-n", peer_in, "-6", "route", "replace", kind, f"fd99:{network}::/64")
        for name, ip4, ip6 in ((peer_in, PEER4, PEER6),) + (((agent_in, AGENT4, AGENT6),) if kernel else ()):
            run("ip", "-n", name, "addr", "add", f"{ip4}/24", "broadcast", "10.91.0.255", "dev", DEVICE)
            run("ip", "-n", name, "-6", "addr", "add", f"{ip6}/64", "dev", DEVICE, "nodad")
            harness.run_in(name, "sysctl", "-qw", "net.ipv4.ping_group_range=0 2147483647", "net.ipv4.icmp_ratelimit=0",
                           "net.ipv6.icmp.ratelimit=0")
            # Default routes as weir has them.
            for option, ours, theirs in (("-4", PEER4, AGENT4), ("-6", PEER6, AGENT6)):
                run("ip", "-n", name, option, "route", "replace", "default", "via",
                    ours if name == agent_in else theirs, check=False)

    def start(self, kernel, pair=None):
        """A running agent, and its namespaces."""
        agent_in, peer_in = pair or (self.server, self.client)
        self.hosts(agent_in, peer_in, kernel)
        path = os.path.join(self.folder.name, "kernel" if kernel else "weir")
        if kernel and os.environ.get("WEIR_KERNEL_AGENT"):
            command = ["sh", "-c", 'echo "weir: ready"; exec "$0" "$1"', os.environ["WEIR_KERNEL_AGENT"], path]
        elif kernel:
            command = [sys.executable, "-B", os.path.join(FOLDER, "kernel_reference.py"), path]
        else:
            command = [AGENT, "--stack=xdp", f"--interface={DEVICE}", f"--address={AGENT4}/24,{AGENT6}/64",
                       f"--gateway={PEER4},{PEER6}", f"--control={path}"]
        server = harness.Server(agent_in, AGENT4, command)
        self.addCleanup(server.kill)
        return server, path, peer_in

    def second_pair(self):
        pair = tuple(f"weir-{os.getpid()}-k{end}" for end in "sc")
        for namespace in pair:
            harness.run("ip", "netns", "add", namespace)
            self.addCleanup(harness.run, "ip", "netns", "del", namespace, check=False)
            harness.run("ip", "-n", namespace, "link", "set", "lo", "up")
        harness.run("ip", "link", "add", DEVICE, "netns", pair[0], "type", "veth", "peer", "name", DEVICE, "netns",
                    pair[1])
        for namespace in pair:
            harness.run("ip", "-n", namespace, "link", "set", DEVICE, "up")
        return pair


def run_script(script, path, peer_in):
    world = World(path, lambda: harness.inside(peer_in))
    try:
        script(world)
    except Exception:  # pylint: disable=broad-except
        world.lines.append("the script ended: " + traceback.format_exc())
    world.end()
    return world.lines


class SessionTest(AgentTest):
    def test_same_answers(self):
        only = os.environ.get("WEIR_SESSION", "")
        weir, weir_path, weir_peer = self.start(kernel=False)
        _, kernel_path, kernel_peer = self.start(kernel=True, pair=self.second_pair())
        lines = 0
        for script in session_tcp.ALL + session_udp.ALL + session_options.ALL + session_errors.ALL:
            if not re.search(only, script.__name__):
                continue
            with self.subTest(script=script.__name__):
                expected = run_script(script, kernel_path, kernel_peer)
                answered = run_script(script, weir_path, weir_peer)
                lines += len(expected)
                difference = list(difflib.unified_diff(expected, answered, "kernel", "weir", n=1, lineterm=""))
                self.assertFalse(any("the script ended" in line for line in expected), "\n".join(expected[-3:]))
                self.assertFalse(difference, "\n".join(difference))
        print(f"{lines} answers compared")
        weir.stop()


if __name__ == "__main__":
    harness.main()
