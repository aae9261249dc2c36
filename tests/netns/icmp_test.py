"""ICMP of both versions, fragments and path MTUs between weir and Linux: what a Linux host would answer."""
import os
import re
import socket
import struct
import tempfile
import threading
import time

import harness
from harness import CLIENT_IP, DEVICE, WEIR_IP, binary, run, run_in

CLIENT_IP6, WEIR_IP6 = "fd91::1", "fd91::2"
FAR_IP, FAR_IP6 = "10.92.0.2", "fd92::2"


class BothVersions(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        run("ip", "-n", self.client, "-6", "addr", "add", f"{CLIENT_IP6}/64", "dev", DEVICE, "nodad")

    def xdp_flags(self, ip=WEIR_IP):
        return ["--stack=xdp", f"--interface={DEVICE}", f"--address={ip}/24,{WEIR_IP6}/64",
                f"--gateway={CLIENT_IP},{CLIENT_IP6}"]

    def udp(self, ip, port, namespace=None):
        with harness.inside(namespace or self.client):
            udp = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(udp.close)
        udp.settimeout(5)
        udp.connect((ip, port))
        return udp


class IcmpTest(BothVersions):
    def test_ping(self):
        with self.serve("udp_echo", "--port=7"):
            for family, ip in (("-4", WEIR_IP), ("-6", WEIR_IP6)):
                for size in ("56", "1473", "9000", "60000"):
                    done = run_in(self.client, "ping", family, "-n", "-c5", "-i0.1", "-s", size, ip)
                    self.assertIn("5 received", done.stdout)

    def test_flood(self):
        with self.serve("udp_echo", "--port=7"):
            for family, ip in (("-4", WEIR_IP), ("-6", WEIR_IP6)):
                for size, count in (("56", "5000"), ("5000", "2000"), ("60000", "300")):
                    done = run_in(self.client, "ping", family, "-n", "-f", "-q", "-c", count, "-s", size, ip)
                    self.assertIn(f" {count} received", done.stdout)

    def test_fragments_that_never_come(self):
        """A flood of first halves is bounded, and others are served meanwhile."""
        with harness.inside(self.client):
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
        self.addCleanup(raw.close)
        with self.serve("udp_echo", "--port=7") as server:
            for number in range(5000):
                header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, number + 1, 0x2000, 64, socket.IPPROTO_UDP, 0,
                                     socket.inet_aton(CLIENT_IP), socket.inet_aton(WEIR_IP))
                raw.sendto(header + bytes(1400), (WEIR_IP, 0))
                if number % 1000 == 0:
                    done = run_in(self.client, "ping", "-n", "-c2", "-i0.1", "-s", "20000", WEIR_IP)
                    self.assertIn("2 received", done.stdout)
            full = 'weir_packets_total outcome="IpReassemblyFull"'
            harness.wait_until(lambda: server.metrics()[full] >= 4000, "what was given up")

    def test_traceroute(self):
        with self.serve("udp_echo", "--port=7"):
            for family, ip in (("-4", WEIR_IP), ("-6", WEIR_IP6)):
                # -w: it gives up three times as late as the first answer came otherwise, which may be too early here.
                for method in ([], ["--icmp"], ["--tcp", "-p", "80"]):
                    done = run_in(self.client, "traceroute", family, "-n", "-m3", "-w5,0,0", *method, ip)
                    hops = done.stdout.splitlines()[1:]
                    self.assertEqual(1, len(hops), done.stdout)
                    self.assertRegex(hops[0], rf"^ 1  {ip}  [\d.]+ ms  [\d.]+ ms  [\d.]+ ms$")

    def test_nmap(self):
        """An open and two closed UDP ports, as of a Linux host."""
        with self.serve("udp_echo", "--port=7"):
            for family, ip in ((), WEIR_IP), (("-6",), WEIR_IP6):
                done = run_in(self.client, "nmap", *family, "-sU", "-n", "-Pn", "-p7,9,4000", "--max-retries=2", ip)
                self.assertRegex(done.stdout, r"\n7/udp +open +echo")
                self.assertRegex(done.stdout, r"\n9/udp +closed ")
                self.assertRegex(done.stdout, r"\n4000/udp +closed ")

    def test_large_datagrams(self):
        with self.serve("udp_echo", "--port=7"):
            for ip in (WEIR_IP, WEIR_IP6):
                udp = self.udp(ip, 7)
                udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                for size in (1472, 1473, 3000, 40_000, 65_507):
                    for _ in range(10):
                        data = os.urandom(size)
                        udp.send(data)
                        self.assertEqual(data, udp.recv(65_536), size)

    def test_port_unreachable(self):
        with self.serve("udp_echo", "--port=7"):
            for ip in (WEIR_IP, WEIR_IP6):
                udp = self.udp(ip, 9)
                udp.send(b"anybody?")
                with self.assertRaises(ConnectionRefusedError):
                    udp.recv(100)


class ClientTest(BothVersions):
    """weir asks, and the kernel answers."""

    def ask(self, server, *flags, stack="xdp"):
        own = self.xdp_flags() if stack == "xdp" else ["--stack=kernel"]
        return run_in(self.server, binary("udp_client"), *own, f"--server={server}", *flags, check=False)

    @harness.both_stacks
    def test_an_answer(self, stack):
        run("ip", "-n", self.server, "-6", "addr", "replace", "fd91::3/64", "dev", DEVICE, "nodad")
        for ip in (CLIENT_IP, CLIENT_IP6):
            with harness.inside(self.client):
                server = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
            with server:
                server.bind((ip, 4000))

                def answer_one():
                    data, peer = server.recvfrom(100)
                    server.sendto(b"well, " + data, peer)

                answer = threading.Thread(target=answer_one)
                answer.start()
                done = self.ask(f"[{ip}]:4000" if ":" in ip else f"{ip}:4000", "--say=hello", stack=stack)
                answer.join()
                self.assertEqual(0, done.returncode, done.stderr)
                self.assertEqual("well, hello", done.stdout.splitlines()[-1])

    @harness.both_stacks
    def test_nobody_listens(self, stack):
        """RFC 1122 §4.1.3.3: the port unreachable of the kernel is an error of the socket, at once."""
        run("ip", "-n", self.server, "-6", "addr", "replace", "fd91::3/64", "dev", DEVICE, "nodad")
        for ip in (CLIENT_IP, f"[{CLIENT_IP6}]"):
            begun = time.monotonic()
            done = self.ask(f"{ip}:4001", "--tries=30", stack=stack)
            self.assertGreater(25, time.monotonic() - begun)
            self.assertEqual(1, done.returncode, done.stdout)
            self.assertIn("ECONNREFUSED", done.stderr)


class PathMtuTest(BothVersions):
    """The client is a router now, and behind it is a host on a link of 1300 bytes, which does not say so in its MSS."""

    def setUp(self):
        super().setUp()
        self.far = f"{self.client}f"
        run("ip", "netns", "add", self.far)
        self.addCleanup(run, "ip", "netns", "del", self.far, check=False)
        run("ip", "link", "add", "far0", "netns", self.client, "type", "veth", "peer", "name", "eth0", "netns", self.far)
        for namespace, device, ip, ip6 in ((self.client, "far0", "10.92.0.1", "fd92::1"),
                                           (self.far, "eth0", FAR_IP, FAR_IP6)):
            run("ip", "-n", namespace, "addr", "add", f"{ip}/24", "dev", device)
            run("ip", "-n", namespace, "-6", "addr", "add", f"{ip6}/64", "dev", device, "nodad")
            run("ip", "-n", namespace, "link", "set", device, "mtu", "1300", "up")
        run("ip", "-n", self.far, "route", "add", "default", "via", "10.92.0.1", "advmss", "1460")
        run("ip", "-n", self.far, "-6", "route", "add", "default", "via", "fd92::1", "advmss", "1440")
        for setting in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            run_in(self.client, "sysctl", "-q", "-w", f"{setting}=1")

    def too_big(self):
        """How often the router had to say it: for IPv4, for IPv6."""
        counters = run_in(self.client, "nstat", "-a", "-s", "-z").stdout
        return [int(re.search(rf"^{name} +(\d+)", counters, re.MULTILINE).group(1))
                for name in ("IcmpOutDestUnreachs", "Icmp6OutPktTooBigs")]

    def test_tcp(self):
        content = os.urandom(5_000_000)
        with tempfile.TemporaryDirectory(prefix="weir-test-") as root:
            with open(f"{root}/big.bin", "wb") as file:
                file.write(content)
            with self.serve("http_server", f"--root={root}", "--port=80"):
                for ip in (WEIR_IP, f"[{WEIR_IP6}]"):
                    run_in(self.far, "curl", "-sS", "--fail", "--max-time", "30", "-o", f"{root}/got",
                           f"http://{ip}/big.bin")
                    with open(f"{root}/got", "rb") as got:
                        self.assertEqual(content, got.read())
                told = self.too_big()
                self.assertTrue(all(1 <= count < 100 for count in told), told)
                # Who comes next finds it known.
                for ip in (WEIR_IP, f"[{WEIR_IP6}]"):
                    run_in(self.far, "curl", "-sS", "--fail", "--max-time", "30", "-o", "/dev/null", f"http://{ip}/big.bin")
                self.assertEqual(told, self.too_big())

    def test_udp(self):
        with self.serve("udp_echo", "--port=7"):
            for ip in (WEIR_IP, WEIR_IP6):
                # The router must have an address of its own before it asks for weir's: what waits meanwhile would all
                # come at once.
                run_in(self.far, "ping", "-n", "-c1", "-w10", ip)
                udp = self.udp(ip, 7, namespace=self.far)
                udp.settimeout(1)
                for size in (1400, 1400, 5000, 40_000):
                    data = os.urandom(size)
                    for attempt in range(3):  # the first is lost where the router may not cut it
                        udp.send(data)
                        try:
                            self.assertEqual(data, udp.recv(65_536))
                            break
                        except TimeoutError:
                            self.assertEqual((0, 1400), (attempt, size))
            self.assertEqual([1, 1], self.too_big())


if __name__ == "__main__":
    harness.main()
