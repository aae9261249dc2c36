"""examples/router between two Linux hosts, each in a namespace of its own: what they do through a Linux router works."""
import contextlib
import os
import subprocess
import tempfile
import unittest

import harness
from harness import run, run_in

LEFT, RIGHT = "10.92.1", "10.92.2"
LEFT6, RIGHT6 = "fd92:1:", "fd92:2:"


class RouterTest(unittest.TestCase):
    def setUp(self):
        names = {}
        for end in "lrm":  # left and right host, the router in the middle
            names[end] = f"weir-{os.getpid()}-{end}{id(self) % 10000}"
            run("ip", "netns", "add", names[end])
            run("ip", "-n", names[end], "link", "set", "lo", "up")
            self.addCleanup(run, "ip", "netns", "del", names[end], check=False)
        self.left, self.right, self.router = names["l"], names["r"], names["m"]
        for host, device, net, net6 in ((self.left, "left0", LEFT, LEFT6), (self.right, "right0", RIGHT, RIGHT6)):
            run("ip", "link", "add", device, "netns", self.router, "type", "veth", "peer", "name", "eth0", "netns", host)
            run("ip", "-n", self.router, "link", "set", device, "up")
            run("ip", "-n", host, "link", "set", "eth0", "up")
            run("ip", "-n", host, "addr", "add", f"{net}.2/24", "dev", "eth0")
            run("ip", "-n", host, "-6", "addr", "add", f"{net6}:2/64", "dev", "eth0", "nodad")
            run("ip", "-n", host, "route", "add", "default", "via", f"{net}.1")
            run("ip", "-n", host, "-6", "route", "add", "default", "via", f"{net6}:1")

    @contextlib.contextmanager
    def routing(self, *flags):
        server = harness.Server(self.router, f"{LEFT}.1", [
            harness.binary("router"), "--interface=left0,right0", f"--metrics={harness.METRICS}",
            f"--address={LEFT}.1/24,{RIGHT}.1/24@right0,{LEFT6}:1/64,{RIGHT6}:1/64@right0", *flags])
        try:
            yield server
            if server.process.poll() is None:
                server.stop()
        finally:
            server.kill()

    def bulk(self, address):
        """3 MiB from left to right, byte for byte."""
        family = "TCP6" if ":" in address else "TCP4"
        sent = os.urandom(3 << 20)
        with tempfile.NamedTemporaryFile() as received:
            listen = subprocess.Popen(
                ["ip", "netns", "exec", self.right, "socat", "-u", f"{family}-LISTEN:7000,reuseaddr", "-"],
                stdout=received, preexec_fn=harness.die_with_parent)
            self.addCleanup(listen.kill)
            subprocess.run(["ip", "netns", "exec", self.left, "socat", "-u", "-",
                            f"{family}:{address}:7000,retry=50,interval=0.1"],
                           input=sent, check=True, timeout=60, preexec_fn=harness.die_with_parent)
            listen.wait(timeout=60)
            with open(received.name, "rb") as file:
                self.assertEqual(sent, file.read())

    def test_ping_and_tcp(self):
        with self.routing() as router:
            for address in (f"{RIGHT}.2", f"{LEFT}.1", f"{RIGHT}.1", f"{RIGHT6}:2", f"{LEFT6}:1", f"{RIGHT6}:1"):
                done = run_in(self.left, "ping", "-c3", "-i0.2", "-W2", address)
                self.assertIn(" 0% packet loss", done.stdout)
            for address in (f"{RIGHT}.2", f"[{RIGHT6}:2]"):
                self.bulk(address)
            self.assertGreater(router.metrics()["weir_forwarded_packets_total"], 4000)
        self.assertRegex(router.output(), r"router: \d+ packets forwarded")

    def test_time_exceeded(self):
        """RFC 1812 §5.3.1, RFC 4443 §3.3: the router tells who sent a packet whose time is up."""
        with self.routing():
            for address, hop in ((f"{RIGHT}.2", f"{LEFT}.1"), (f"{RIGHT6}:2", f"{LEFT6}:1")):
                done = run_in(self.left, "ping", "-c1", "-W2", "-t1", address, check=False)
                self.assertIn(f"From {hop}", done.stdout)
                self.assertRegex(done.stdout, "Time to live exceeded|Hop limit")

    def test_no_route(self):
        """RFC 1812 §5.2.7.1, RFC 4443 §3.1."""
        with self.routing():
            for address in ("10.99.0.1", "fd99::1"):
                done = run_in(self.left, "ping", "-c1", "-W2", address, check=False)
                self.assertRegex(done.stdout, "Net Unreachable|No route")

    def test_path_mtu(self):
        """RFC 1191 §4, RFC 4443 §3.2: the router says what fits into the narrower link."""
        run("ip", "-n", self.router, "link", "set", "right0", "mtu", "1400")
        run("ip", "-n", self.right, "link", "set", "eth0", "mtu", "1400")
        with self.routing():
            for address, hop in ((f"{RIGHT}.2", f"{LEFT}.1"), (f"{RIGHT6}:2", f"{LEFT6}:1")):
                done = run_in(self.left, "tracepath", "-n", "-m5", address)
                self.assertRegex(done.stdout, rf"1: +{hop} .*\n(.*\n)*.*pmtu 1400")
                self.assertRegex(done.stdout, rf"2: +{address} .*reached")

    def set_mtu(self, left, right):
        for namespace, device, mtu in ((self.router, "left0", left), (self.left, "eth0", left),
                                       (self.router, "right0", right), (self.right, "eth0", right)):
            run("ip", "-n", namespace, "link", "set", device, "mtu", str(mtu))

    def test_jumbo(self):
        """Packets that are larger than a frame, as they came; and to a narrower link in fragments, or not at all."""
        self.set_mtu(9000, 9000)
        for size in ("2048", "4096"):
            with self.routing(f"--frame_size={size}") as router:
                for address, overhead in ((f"{RIGHT}.2", 28), (f"{RIGHT6}:2", 48)):
                    for payload in (1722, 1723, 4000, 8900, 9000 - overhead):
                        done = run_in(self.left, "ping", "-c2", "-i0.1", "-W2", "-M", "do", "-s", str(payload), address)
                        self.assertIn(" 0% packet loss", done.stdout)
                for address in (f"{RIGHT}.2", f"[{RIGHT6}:2]"):
                    self.bulk(address)
                metrics = router.metrics()
                self.assertEqual(0, metrics["weir_copied_bytes_total"])
                # 3 MiB twice in large segments, with their ACKs, and not in small ones.
                self.assertLess(metrics["weir_forwarded_packets_total"], 2 * 3 * (3 << 20) // 8900)
        self.set_mtu(9000, 1500)
        with self.routing():
            done = run_in(self.left, "ping", "-c1", "-W2", "-M", "dont", "-s", "8900", f"{RIGHT}.2")
            self.assertIn(" 0% packet loss", done.stdout)
            done = run_in(self.left, "ping", "-c1", "-W2", "-M", "do", "-s", "8900", f"{RIGHT}.2", check=False)
            self.assertRegex(done.stdout, r"mtu ?= ?1500")
            for address in (f"{RIGHT}.2", f"[{RIGHT6}:2]"):
                self.bulk(address)

    def test_filter(self):
        with tempfile.NamedTemporaryFile("w", suffix=".rules") as rules:
            rules.write(f"forward proto icmp src {LEFT}.0/24 accept\nforward proto icmpv6 accept\npolicy forward drop\n"
                        "input proto icmp limit 1/s burst 2 accept\ninput proto icmp drop\n")
            rules.flush()
            with self.routing(f"--filter={rules.name}") as router:
                run_in(self.left, "ping", "-c2", "-i0.2", "-W2", f"{RIGHT6}:2")
                done = run_in(self.left, "ping", "-c2", "-i0.2", "-W1", f"{RIGHT}.2", check=False)
                self.assertIn("100% packet loss", done.stdout)  # the answers do not come from the left
                done = run_in(self.left, "ping", "-c10", "-i0.02", "-W1", f"{LEFT}.1", check=False)
                self.assertRegex(done.stdout, r"10 packets transmitted, [23] received")
                metrics = router.metrics()
                rule = f"weir_filter_packets_total rule=\"1: forward proto icmp src {LEFT}.0/24 accept\""
                self.assertEqual(2, metrics[rule], metrics)
                self.assertGreaterEqual(metrics["weir_packets_total outcome=\"HookDropped\""], 9)

    def test_a_bad_filter(self):
        with tempfile.NamedTemporaryFile("w", suffix=".rules") as rules:
            rules.write("input proto tcp accept\n\ninput proto tpc drop\n")
            rules.flush()
            done = run_in(self.router, harness.binary("router"), "--interface=left0", f"--address={LEFT}.1/24",
                          f"--filter={rules.name}", check=False)
            self.assertEqual(1, done.returncode)
            self.assertRegex(done.stderr, rf"^weir: --filter: {rules.name}:3: .*tpc.*\n$")

    def test_a_further_route(self):
        run("ip", "-n", self.right, "addr", "add", "10.93.0.1/32", "dev", "lo")
        with self.routing(f"--route=10.93.0.0/16 via {RIGHT}.2"):
            self.assertIn(" 0% packet loss", run_in(self.left, "ping", "-c2", "-i0.2", "-W2", "10.93.0.1").stdout)


if __name__ == "__main__":
    harness.main()
