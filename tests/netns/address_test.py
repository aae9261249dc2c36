"""Addresses that others give, or have: leases of dnsmasq, its router advertisements, conflicts; and what ndisc6 and
arping see of them."""
import contextlib
import json
import re
import socket
import subprocess
import tempfile
import unittest

import harness
from harness import CLIENT_IP, DEVICE, KERNEL_IP, METRICS, WEIR_IP, binary, run, run_in

ROUTER_IP6, PREFIX, WEIR_IP6, KERNEL_IP6 = "fd91::1", "fd91::", "fd91::2", "fd91::3"
FAR_IP, FAR_IP6 = "192.0.2.1", "2001:db8:99::1"  # behind the router
LEASES = "10.91.0.100,10.91.0.101,255.255.255.0,120"


class AddressTest(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        run("ip", "-n", self.client, "addr", "add", f"{ROUTER_IP6}/64", "dev", DEVICE, "nodad")
        for ip in (f"{FAR_IP}/32", f"{FAR_IP6}/128"):
            run("ip", "-n", self.client, "addr", "add", ip, "dev", "lo")
        harness.wait_until(lambda: self.link_local(self.client), "the router's link-local address")

    def addresses(self, namespace):
        return json.loads(run("ip", "-n", namespace, "-j", "-6", "addr", "show", "dev", DEVICE).stdout)[0]["addr_info"]

    def link_local(self, namespace):
        """Of the kernel; nothing while it is tentative."""
        return next((a["local"] for a in self.addresses(namespace) if a["scope"] == "link" and not a.get("tentative")),
                    None)

    @contextlib.contextmanager
    def dnsmasq(self, *options):
        """Serves what `options` say; gives a function that returns its log."""
        with tempfile.NamedTemporaryFile("w+", prefix="weir-test-") as log, \
                tempfile.NamedTemporaryFile(prefix="weir-test-") as leases:
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.client, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
                 "--port=0", f"--interface={DEVICE}", "--bind-interfaces", "--user=root", "--pid-file=",
                 "--log-facility=-", "--log-dhcp", "--no-ping", "--dhcp-sequential-ip",
                 f"--dhcp-leasefile={leases.name}", *options], stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                preexec_fn=harness.die_with_parent)

            def text():
                with open(log.name, encoding="utf-8") as file:
                    return file.read()
            try:
                harness.wait_until(lambda: "DHCP" in text() or process.poll() is not None, "dnsmasq")
                self.assertIsNone(process.poll(), text())
                yield text
            finally:
                process.kill()
                process.wait()

    def weir(self, *flags, patience=25):
        """tcp_echo with only these addresses."""
        return harness.Server(self.server, None, [binary("tcp_echo"), "--port=7", f"--metrics={METRICS}", "--stack=xdp",
                                                  f"--interface={DEVICE}", *flags], patience=patience)

    def address_of(self, server, pattern):
        match = re.search(pattern, server.output())
        self.assertIsNotNone(match, server.output())
        return match.group(1)

    def assert_echoes(self, ip):
        with harness.inside(self.client):
            stream = socket.create_connection((ip, 7), timeout=20)
        with stream:
            stream.sendall(b"hello")
            self.assertEqual(b"hello", harness.receive_exactly(stream, 5))

    def test_a_lease(self):
        """RFC 2131: had before the program is ready, renewed, given back."""
        with self.dnsmasq(f"--dhcp-range={LEASES}", "--dhcp-option=option:T1,30", "--dhcp-option=option:T2,60",
                          f"--dhcp-option=option:router,{CLIENT_IP}") as log:
            server = self.weir("--address=dhcp")
            self.addCleanup(server.kill)
            ip = self.address_of(server, r"weir: ready: .* (10\.91\.0\.100)/24")
            run_in(self.client, "ping", "-c1", "-W5", ip)
            run_in(self.client, "ping", "-c1", "-W5", "-I", FAR_IP, ip)  # answered through the router of the lease
            run_in(self.client, "ping", "-c1", "-W5", KERNEL_IP)
            self.assert_echoes(ip)
            harness.wait_until(lambda: log().count("DHCPACK") >= 2, "a renewal", patience=60)
            self.assertEqual(1, log().count("DHCPDISCOVER("), log())
            self.assert_echoes(ip)
            server.stop()
            harness.wait_until(lambda: f"DHCPRELEASE({DEVICE}) {ip}" in log(), "the release")

    def test_classless_routes(self):
        """RFC 3442: as the server says, and not through the router that it names besides."""
        far = "198.51.100.1"
        run("ip", "-n", self.client, "addr", "add", f"{far}/32", "dev", "lo")
        # Many, so that dnsmasq needs more than one option for them (RFC 3396).
        others = "".join(f",10.{number}.0.0/16,{CLIENT_IP}" for number in range(100, 130))
        with self.dnsmasq(f"--dhcp-range={LEASES}", "--dhcp-option=option:router,10.91.0.250",
                          f"--dhcp-option=option:classless-static-route{others},{FAR_IP}/32,{CLIENT_IP}"):
            server = self.weir("--address=dhcp")
            self.addCleanup(server.kill)
            ip = self.address_of(server, r"weir: ready: .* (10\.91\.0\.100)/24")
            run_in(self.client, "ping", "-c1", "-W5", "-I", FAR_IP, ip)
            done = run_in(self.client, "ping", "-c1", "-W2", "-I", far, ip, check=False)
            self.assertIn("100% packet loss", done.stdout)
            self.assertLess(0, server.metrics()['weir_packets_total outcome="NoRoute"'])
            server.stop()

    def test_a_leased_address_that_another_host_has(self):
        """RFC 5227 §2.1.1, RFC 2131 §3.1.5: declined, and another is asked for."""
        run("ip", "-n", self.client, "addr", "add", "10.91.0.100/24", "dev", DEVICE)
        with self.dnsmasq(f"--dhcp-range={LEASES}") as log:
            server = self.weir("--address=dhcp", patience=40)
            self.addCleanup(server.kill)
            self.address_of(server, r"weir: ready: .* (10\.91\.0\.101)/24")
            self.assertIn(f"weir: {DEVICE}: another host has 10.91.0.100, which is not used\n", server.output())
            self.assertIn(f"DHCPDECLINE({DEVICE}) 10.91.0.100", log())
            run_in(self.client, "ping", "-c1", "-W5", "10.91.0.101")
            server.stop()

    def test_nobody_gives_one(self):
        done = run_in(self.server, binary("tcp_echo"), "--stack=xdp", f"--interface={DEVICE}", "--address=dhcp,slaac",
                      check=False)
        self.assertEqual(1, done.returncode)
        self.assertEqual("", done.stdout)
        self.assertEqual(f"weir: --address: no lease from a DHCP server on {DEVICE}, no prefix from a router on "
                         f"{DEVICE} in 30 s\n", done.stderr)

    def test_a_stop_ends_the_waiting(self):
        process = subprocess.Popen(["ip", "netns", "exec", self.server, binary("tcp_echo"), "--stack=xdp",
                                    f"--interface={DEVICE}", "--address=dhcp"], preexec_fn=harness.die_with_parent)
        self.addCleanup(process.kill)
        harness.wait_until(self.xdp_attached, "the program's start")
        with harness.inside(self.client):
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        self.addCleanup(tap.close)
        tap.settimeout(30)
        while tap.recv(2000)[36:38] != b"\x00\x43":  # to port 67: it asks, so it listens to signals
            pass
        process.terminate()
        self.assertEqual(0, process.wait(timeout=20))

    def test_router_advertisements(self):
        """RFC 4862: an address of each prefix for weir, and one for the kernel on the same interface."""
        with self.dnsmasq("--enable-ra", f"--dhcp-range={PREFIX},ra-only,64,1800"):
            server = self.weir("--address=slaac")
            self.addCleanup(server.kill)
            ip = self.address_of(server, r"weir: ready: .* (fd91::[0-9a-f:]+)/64")
            link_local = self.address_of(server, r"weir: ready: .* (fe80::[0-9a-f:]+)/64")
            harness.wait_until(lambda: any(a.get("dynamic") for a in self.addresses(self.server)), "the kernel's own")
            kernels = [a["local"] for a in self.addresses(self.server)]
            self.assertNotIn(ip, kernels)
            self.assertNotIn(link_local, kernels)
            for address in (ip, f"{link_local}%{DEVICE}", next(a for a in kernels if a.startswith("fd91"))):
                run_in(self.client, "ping", "-c1", "-W5", address)
            run_in(self.client, "ping", "-c1", "-W5", "-I", FAR_IP6, ip)  # answered through the router
            self.assert_echoes(ip)
            self.assertLess(0, server.metrics()[f'weir_tap_frames_total interface="{DEVICE}"'])
            server.stop()
            again = self.weir("--address=slaac")
            self.addCleanup(again.kill)
            self.assertIn(f" {ip}/64", again.output())  # RFC 7217 §4: the same after each start
            again.stop()

    def test_both_and_static_ones(self):
        with self.dnsmasq(f"--dhcp-range={LEASES}", "--enable-ra", f"--dhcp-range={PREFIX},ra-only,64,1800"):
            server = self.weir(f"--address=dhcp,slaac@{DEVICE},{WEIR_IP}/24,{WEIR_IP6}/64")
            self.addCleanup(server.kill)
            for ip in (WEIR_IP, WEIR_IP6, "10.91.0.100"):
                self.assertIn(f" {ip}/", server.output())
                run_in(self.client, "ping", "-c1", "-W5", ip)
            server.stop()

    def test_a_link_local_gateway(self):
        router = self.link_local(self.client)
        for gateway in (router, f"{router}%{DEVICE}"):
            server = self.weir(f"--address={WEIR_IP6}/64", f"--gateway={gateway}")
            self.addCleanup(server.kill)
            run_in(self.client, "ping", "-c1", "-W5", "-I", FAR_IP6, WEIR_IP6)
            server.stop()

    def test_an_address_that_another_host_has(self):
        """RFC 4862 §5.4.5: given up, and said; the others go on."""
        run("ip", "-n", self.client, "addr", "add", f"{WEIR_IP6}/64", "dev", DEVICE, "nodad")
        server = self.weir(f"--address={WEIR_IP}/24,{WEIR_IP6}/64,{KERNEL_IP6}/64")
        self.addCleanup(server.kill)
        line = f"weir: {DEVICE}: another host has {WEIR_IP6}, which is not used\n"
        harness.wait_until(lambda: line in server.output(), "the line about it")
        self.assertLess(0, server.metrics()['weir_packets_total outcome="NdpConflict"'])
        for ip in (WEIR_IP, KERNEL_IP6):
            run_in(self.client, "ping", "-c1", "-W5", ip)
        server.stop()

    def test_as_linux_does(self):
        """ndisc6 and arping say of weir what they say of the kernel on the same interface."""
        run("ip", "-n", self.server, "addr", "add", f"{KERNEL_IP6}/64", "dev", DEVICE, "nodad")
        server = self.weir(f"--address={WEIR_IP}/24,{WEIR_IP6}/64")
        self.addCleanup(server.kill)

        def same(ours, kernels, *command):
            answers = []
            for ip in (ours, kernels):
                done = run_in(self.client, *command, ip, *([DEVICE] if command[0] == "ndisc6" else []), check=False)
                text = re.sub(r"[0-9.]+ ?(ms|usec)|\(0x[0-9a-f]+\)", "", done.stdout).replace(ip, "IP")
                answers.append((done.returncode, text))
            self.assertEqual(answers[0], answers[1])
            return answers[0]

        self.assertEqual(0, same(WEIR_IP, KERNEL_IP, "arping", "-c2", "-w5", "-I", DEVICE)[0])
        # Duplicate address detection: from 0.0.0.0, and 1 when somebody answers.
        self.assertEqual(1, same(WEIR_IP, KERNEL_IP, "arping", "-D", "-c2", "-w5", "-I", DEVICE)[0])
        code, text = same(WEIR_IP6, KERNEL_IP6, "ndisc6", "-1")
        self.assertEqual(0, code, text)
        self.assertIn("Target link-layer address:", text)
        server.stop()


if __name__ == "__main__":
    harness.main()
