"""Several shards over one interface: its queues as many as the shards, fewer and more; flows go to their shard whichever
queue they come to, nothing is lost, and afterwards the interface is as it was."""
import concurrent.futures
import os
import re
import socket
import subprocess
import tempfile
import threading

import harness
from harness import receive_exactly, run, run_in, wait_until

CLIENT_IP6, WEIR_IP6, KERNEL_IP6 = "fd91::1", "fd91::2", "fd91::3"
SHARDS = 2


def bracketed(ip):
    return f"[{ip}]" if ":" in ip else ip


class ShardsTest(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        for namespace in (self.server, self.client):
            run("ip", "-n", namespace, "link", "del", harness.DEVICE, check=False)

    def cable(self, queues):
        """A pair with so many queues at both ends; the client spreads what it sends over them, by flow."""
        for namespace in (self.server, self.client):
            run("ip", "-n", namespace, "link", "del", harness.DEVICE, check=False)
        sides = ["numrxqueues", str(queues), "numtxqueues", str(queues)]
        run("ip", "link", "add", harness.DEVICE, "netns", self.server, *sides, "type", "veth", "peer", "name",
            harness.DEVICE, "netns", self.client, *sides)
        for namespace, ip, ip6 in ((self.client, harness.CLIENT_IP, CLIENT_IP6),
                                   (self.server, harness.KERNEL_IP, KERNEL_IP6)):
            run_in(namespace, "ethtool", "-L", harness.DEVICE, "rx", str(queues), "tx", str(queues), check=False)
            run("ip", "-n", namespace, "addr", "add", f"{ip}/24", "dev", harness.DEVICE)
            run("ip", "-n", namespace, "-6", "addr", "add", f"{ip6}/64", "dev", harness.DEVICE, "nodad")
            run("ip", "-n", namespace, "link", "set", harness.DEVICE, "up")

    def xdp_flags(self, ip=harness.WEIR_IP):
        return ["--stack=xdp", f"--interface={harness.DEVICE}", f"--address={ip}/24,{WEIR_IP6}/64"]

    def by_shard(self, server, name):
        """A metric's values, in the order of the shards."""
        page = run_in(server.namespace, "curl", "-sS", "--fail", f"http://{harness.METRICS}/metrics").stdout
        pattern = re.compile(rf'^weir_{name}{{shard="(\d+)"[^}}]*}} (\d+)$', re.MULTILINE)
        return [int(value) for _, value in sorted((int(shard), value) for shard, value in pattern.findall(page))]

    def each_cable(self):
        for queues in (1, 2, 4):
            with self.subTest(queues=queues):
                self.cable(queues)
                before = self.device()
                yield queues
                after = self.device()
                self.assertEqual(before, after)

    def client_socket(self, ip, kind):
        with harness.inside(self.client):
            made = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, kind)
        self.addCleanup(made.close)
        made.settimeout(20)
        return made

    def echo_once(self, stream, data):
        sender = threading.Thread(target=stream.sendall, args=(data,))
        sender.start()
        got = receive_exactly(stream, len(data))
        sender.join()
        self.assertEqual(got, data)

    def test_tcp_echo(self):
        for _ in self.each_cable():
            with self.serve("tcp_echo", "--port=7", f"--shards={SHARDS}") as server:
                self.assertIn(f"{SHARDS} shards, each with", server.output())
                streams = []
                for n in range(48):
                    ip = (harness.WEIR_IP, WEIR_IP6)[n % 2]
                    stream = self.client_socket(ip, socket.SOCK_STREAM)
                    stream.connect((ip, 7))
                    streams.append(stream)
                with concurrent.futures.ThreadPoolExecutor(8) as pool:
                    list(pool.map(lambda stream: self.echo_once(stream, os.urandom(100_000)), streams))
                accepted = self.by_shard(server, "tcp_accepted_total")
                self.assertEqual(sum(accepted), len(streams))
                self.assertTrue(all(accepted), accepted)  # with 48 keyed flows 1 in 2^47 runs fails for nothing
                self.assertEqual(server.metrics()["weir_tcp_resets_out_total"], 0)
                for stream in streams:
                    stream.close()

    def test_udp_echo(self):
        for _ in self.each_cable():
            with self.serve("udp_echo", "--port=7", f"--shards={SHARDS}") as server:
                for ip in (harness.WEIR_IP, WEIR_IP6):
                    for n in range(24):
                        peer = self.client_socket(ip, socket.SOCK_DGRAM)
                        peer.connect((ip, 7))
                        for size in (1, 1000, 20_000):  # the last in fragments
                            data = os.urandom(size)
                            peer.send(data)
                            self.assertEqual(peer.recv(65536), data)
                        # In order: what one flow sends goes one way.
                        burst = [bytes([n, i]) for i in range(20)]
                        for data in burst:
                            peer.send(data)
                        self.assertEqual([peer.recv(100) for _ in burst], burst)
                resumed = self.by_shard(server, "resumes_total")
                self.assertEqual(len(resumed), SHARDS)

    def test_ping(self):
        for _ in self.each_cable():
            with self.serve("udp_echo", "--port=7", f"--shards={SHARDS}") as server:
                for ip in (harness.WEIR_IP, WEIR_IP6):
                    for size in ("56", "60000"):
                        report = run_in(self.client, "ping", "-c5", "-i0.2", "-W5", f"-s{size}", ip).stdout
                        self.assertIn("5 packets transmitted, 5 received, 0% packet loss", report)
                        self.assertNotIn("DUP", report)
                self.assertEqual(server.metrics().get('weir_packets_total outcome="IpReassemblyTimeout"', 0), 0)

    def test_closed_ports(self):
        """A segment or datagram that no shard has a socket for is answered, once."""
        for _ in self.each_cable():
            with self.serve("udp_echo", "--port=7", f"--shards={SHARDS}"):
                for ip in (harness.WEIR_IP, WEIR_IP6):
                    for _ in range(8):
                        with self.assertRaises(ConnectionRefusedError):
                            self.client_socket(ip, socket.SOCK_STREAM).connect((ip, 9))
                        peer = self.client_socket(ip, socket.SOCK_DGRAM)
                        peer.connect((ip, 9))
                        peer.send(b"anybody?")
                        with self.assertRaises(ConnectionRefusedError):
                            peer.recv(100)

    def test_http(self):
        root = tempfile.TemporaryDirectory(prefix="weir-test-")
        self.addCleanup(root.cleanup)
        content = os.urandom(2_000_000)
        for name, data in (("big", content), ("small.html", b"<h1>small</h1>\n")):
            with open(f"{root.name}/{name}", "wb") as file:
                file.write(data)
        for _ in self.each_cable():
            with self.serve("http_server", f"--root={root.name}", "--port=80", f"--shards={SHARDS}") as server:
                for ip in (harness.WEIR_IP, WEIR_IP6):
                    for _ in range(4):
                        run_in(self.client, "curl", "-sS", "--fail", "-o", f"{root.name}/got",
                               f"http://{bracketed(ip)}/big")
                        with open(f"{root.name}/got", "rb") as file:
                            self.assertEqual(file.read(), content)
                    report = run_in(self.client, "wrk", "-t1", "-c32", "-d1", f"http://{bracketed(ip)}/small.html").stdout
                    self.assertIn("Requests/sec", report)
                    self.assertNotIn("Socket errors", report)
                    self.assertNotIn("Non-2xx", report)
                    report = run_in(self.client, "ab", "-q", "-n1000", "-c16", f"http://{bracketed(ip)}/small.html").stdout
                    self.assertRegex(report, r"Failed requests: +0\n")
                values = server.metrics()
                for outcome in ("HandOverFull", "HandOverNoFrame", "TcpNoSocket"):
                    self.assertEqual(values[f'weir_packets_total outcome="{outcome}"'], 0, outcome)
                self.assertEqual(values['weir_steer_frames_total interface="weir0" action="pass_no_socket"'], 0)
                self.assertGreater(values["weir_taken_over_frames_total"], 0)

    def test_outgoing_connections(self):
        """tcp_proxy connects from the shard that accepted; the answers come back to it."""
        for _ in self.each_cable():
            with harness.inside(self.client):
                listener = socket.create_server((harness.CLIENT_IP, 9000), backlog=64)
            listener.settimeout(20)
            try:
                with self.serve("tcp_proxy", "--port=80", f"--target={harness.CLIENT_IP}:9000", f"--shards={SHARDS}") as server:
                    pairs = []
                    for _ in range(32):
                        near = self.connect(server.ip, 80)
                        far, _ = listener.accept()
                        far.settimeout(20)
                        pairs.append((near, far))
                    for near, far in pairs:
                        for sender, receiver in ((near, far), (far, near)):
                            data = os.urandom(50_000)
                            sender.sendall(data)
                            self.assertEqual(receive_exactly(receiver, len(data)), data)
                    accepted = self.by_shard(server, "tcp_accepted_total")
                    self.assertTrue(all(accepted), accepted)
                    for near, far in pairs:
                        near.close()
                        self.assertEqual(far.recv(1), b"")
                        far.close()
            finally:
                listener.close()

    def test_more_shards_than_queues(self):
        """Three of four shards have no queue; and with one shard, all queues are its."""
        for queues, shards in ((1, 4), (4, 1), (2, 3)):
            with self.subTest(queues=queues, shards=shards):
                self.cable(queues)
                with self.serve("tcp_echo", "--port=7", f"--shards={shards}") as server:
                    streams = [self.connect(server.ip, 7) for _ in range(64)]
                    for stream in streams:
                        self.echo_once(stream, os.urandom(20_000))
                    accepted = self.by_shard(server, "tcp_accepted_total")
                    self.assertEqual(len(accepted), shards)
                    self.assertEqual(sum(accepted), len(streams))
                    self.assertTrue(all(accepted), accepted)
                    for stream in streams:
                        stream.close()
                self.assertFalse(self.xdp_attached())

    def test_capture_and_busy_poll(self):
        with tempfile.NamedTemporaryFile(prefix="weir-test-") as capture:
            self.cable(2)
            with self.serve("udp_echo", "--port=7", "--shards=2", "--poll=busy", f"--pcap={capture.name}"):
                run_in(self.client, "ping", "-c3", "-i0.2", harness.WEIR_IP)
            listing = subprocess.run(["tcpdump", "-nr", capture.name, "icmp"], capture_output=True, text=True, check=True)
            self.assertEqual(listing.stdout.count("ICMP echo re"), 6)

    def test_one_shard_that_cannot_come_up(self):
        """A queue is taken: one line, and the interface is as it was."""
        self.cable(2)
        before = self.device()
        done = run_in(self.server, harness.binary("tcp_echo"), *self.xdp_flags(), "--shards=2", "--frames=1", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertEqual(before, self.device())
        with self.serve("tcp_echo", "--port=7", "--shards=2"):
            self.assertTrue(self.xdp_attached())
            done = run_in(self.server, harness.binary("tcp_echo"), *self.xdp_flags(harness.CLIENT_IP), "--shards=2",
                          check=False)
            self.assertEqual(done.returncode, 1)
            self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        wait_until(lambda: not self.xdp_attached(), "the end of the attachment")
        self.assertEqual(before, self.device())


if __name__ == "__main__":
    harness.main()
