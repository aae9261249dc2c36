"""tcp_echo and udp_echo against kernel sockets: sizes, closes, windows, errors."""
import contextlib
import os
import random
import shutil
import socket
import struct
import threading
import time

import harness
from harness import receive_exactly, run_in


class TcpEchoTest(harness.NetnsTest):
    def exchange(self, stream, data):
        """Sends all of `data` while reading it back; returns what came."""
        sender = threading.Thread(target=lambda: (stream.sendall(data), stream.shutdown(socket.SHUT_WR)))
        sender.start()
        got = receive_exactly(stream, len(data) + 1)
        sender.join()
        return got

    @harness.both_stacks
    def test_sizes_and_half_close(self, stack):
        seed = int(os.environ.get("WEIR_TEST_SEED", time.time_ns() & 0xFFFFFFFF))
        print(f"seed {seed}")
        chance = random.Random(seed)
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            for size in [0, 1, 1459, 1460, 1461, 65536] + [chance.randrange(1, 300_000) for _ in range(20)]:
                data = chance.randbytes(size)
                self.assertEqual(self.exchange(self.connect(server.ip, 7), data), data, size)

    @harness.both_stacks
    def test_64_connections_at_once(self, stack):
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            failures = []

            def one(stream):
                data = os.urandom(1_000_000)
                if self.exchange(stream, data) != data:
                    failures.append(stream)

            streams = [self.connect(server.ip, 7, timeout=60) for _ in range(64)]
            threads = [threading.Thread(target=one, args=(stream,)) for stream in streams]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])

    @harness.both_stacks
    def test_a_reader_that_waits(self, stack):
        """The client does not read until both windows are closed; then everything arrives."""
        data = os.urandom(20_000_000)
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            for _ in range(3):
                stream = self.connect(server.ip, 7, timeout=30)
                sender = threading.Thread(target=lambda: (stream.sendall(data), stream.shutdown(socket.SHUT_WR)))
                sender.start()
                time.sleep(0.7)
                self.assertTrue(receive_exactly(stream, len(data) + 1) == data)
                sender.join()

    @harness.both_stacks
    def test_what_waits_for_a_slow_reader_is_bounded(self, stack):
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            small = lambda s: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
            stream = self.connect(server.ip, 7, before=small)
            data = os.urandom(32 << 20)
            stream.setblocking(False)
            sent, still_since = 0, time.monotonic()
            while time.monotonic() - still_since < 1.5:  # long enough for probes of the closed window
                try:
                    sent += stream.send(data[sent:sent + (1 << 16)])
                    still_since = time.monotonic()
                except BlockingIOError:
                    time.sleep(0.05)
            self.assertLess(sent, len(data))
            stream.settimeout(30)
            self.assertTrue(receive_exactly(stream, sent) == data[:sent])

    @harness.both_stacks
    def test_short_connections_and_ports_used_again(self, stack):
        def from_one_port(stream):
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind(("", 20000))

        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            for number in range(300):
                data = b"%d" % number
                self.assertEqual(self.exchange(self.connect(server.ip, 7), data), data)
            for _ in range(10):
                stream = self.connect(server.ip, 7, before=from_one_port)
                stream.sendall(b"x")
                receive_exactly(stream, 1)
                harness.reset(stream)

    @harness.both_stacks
    def test_resets(self, stack):
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            for _ in range(50):
                stream = self.connect(server.ip, 7)
                stream.sendall(b"x" * 10_000)
                harness.reset(stream)
            with self.assertRaises(ConnectionRefusedError):
                self.connect(server.ip, 8)
            self.assertEqual(self.exchange(self.connect(server.ip, 7), b"still here"), b"still here")

    @harness.both_stacks
    def test_small_segments(self, stack):
        data = os.urandom(300_000)
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            def small(stream):
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)

            stream = self.connect(server.ip, 7, before=small)
            self.assertTrue(self.exchange(stream, data) == data)
            info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            send_mss, receive_mss = struct.unpack_from("II", info, 16)
            self.assertLessEqual(max(send_mss, receive_mss), 536)

    def test_mtu_and_attach_modes(self):
        data = os.urandom(1_000_000)
        for flags in (["--mtu=576"], ["--mtu=1499"], ["--xdp_attach=native"], ["--zero_copy=off"]):
            with self.serve("tcp_echo", "--port=7", *flags) as server:
                self.assertTrue(self.exchange(self.connect(server.ip, 7), data) == data)
        # The kernel hands generic XDP a sender's segmentation offload as one frame, which no UMEM frame holds; for
        # native XDP it switches that off itself.
        run_in(self.client, "ethtool", "-K", harness.DEVICE, "tso", "off", "gso", "off")
        with self.serve("tcp_echo", "--port=7", "--xdp_attach=generic") as server:
            self.assertIn("(generic, copy)", server.output())
            self.assertTrue(self.exchange(self.connect(server.ip, 7), data) == data)

    def test_no_byte_is_copied(self):
        with self.serve("tcp_echo", "--port=7") as server:
            data = os.urandom(5_000_000)
            self.assertTrue(self.exchange(self.connect(server.ip, 7), data) == data)
            self.assertEqual(server.metrics()["weir_copied_bytes_total"], 0)


class UdpEchoTest(harness.NetnsTest):
    def socket_to(self, ip, port):
        with harness.inside(self.client):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(udp.close)
        udp.settimeout(5)
        udp.connect((ip, port))
        return udp

    @harness.both_stacks
    def test_sizes(self, stack):
        with self.serve("udp_echo", "--port=7", stack=stack) as server:
            udp = self.socket_to(server.ip, 7)
            for size in [0, 1, 2, 3, 17, 18, 19, 511, 1471, 1472] + list(range(100, 1400, 97)):
                data = os.urandom(size)
                udp.send(data)
                self.assertEqual(udp.recv(65536), data)
            for number in range(1000):
                udp.send(struct.pack("I", number))
                self.assertEqual(udp.recv(100), struct.pack("I", number))

    @harness.both_stacks
    def test_bursts(self, stack):
        with self.serve("udp_echo", "--port=7", stack=stack) as server:
            many = [self.socket_to(server.ip, 7) for _ in range(100)]
            # ARP first: in the client's kernel, what waits for an answer can be overtaken.
            many[0].send(b"")
            self.assertEqual(many[0].recv(100), b"")
            for number, udp in enumerate(many):
                udp.send(b"%d" % number)
            for number, udp in enumerate(many):
                self.assertEqual(udp.recv(100), b"%d" % number)
            for _ in range(20):
                data = [os.urandom(size) for size in range(50)]
                for datagram in data:
                    many[0].send(datagram)
                self.assertEqual([many[0].recv(100) for _ in data], data)

    def first_large(self, udp):
        udp.settimeout(0.5)
        for _ in range(20):
            udp.send(b"x" * 3000)
            with contextlib.suppress(TimeoutError):
                self.assertEqual(udp.recv(65536), b"x" * 3000)
                udp.settimeout(5)
                return
        self.fail("nothing larger than a frame was echoed")

    @harness.both_stacks
    def test_fragments(self, stack):
        with self.serve("udp_echo", "--port=7", stack=stack) as server:
            udp = self.socket_to(server.ip, 7)
            if stack == "kernel":  # the first ones that are larger than a frame are cut off, and then not echoed
                self.first_large(udp)
            for size in (1473, 3000, 8192, 40_000, 65_507):
                data = os.urandom(size)
                udp.send(data)
                self.assertEqual(udp.recv(65536), data)

    @harness.both_stacks
    def test_closed_port(self, stack):
        with self.serve("udp_echo", "--port=7", stack=stack) as server:
            udp = self.socket_to(server.ip, 8)
            udp.send(b"anybody?")
            with self.assertRaises(ConnectionRefusedError):
                udp.recv(100)

    def test_ping(self):
        with self.serve("udp_echo", "--port=7") as server:
            for size in (0, 1, 56, 1000, 1471, 1472):
                run_in(self.client, "ping", "-c1", "-W2", "-M", "do", "-s", str(size), server.ip)
            neighbours = run_in(self.client, "ip", "neigh", "show", server.ip).stdout
            mac = run_in(self.server, "cat", f"/sys/class/net/{harness.DEVICE}/address").stdout.strip()
            self.assertIn(mac, neighbours)
            run_in(self.client, "ping", "-c1", "-W2", "-T", "tsonly", server.ip)  # with IP options
            if shutil.which("arping"):
                self.assertIn(mac, run_in(self.client, "arping", "-c1", server.ip).stdout.lower())


if __name__ == "__main__":
    harness.main()
