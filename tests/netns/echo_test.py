"""tcp_echo and udp_echo against kernel sockets: sizes, closes, windows, errors."""
import os
import random
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
    def test_resets(self, stack):
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            for _ in range(50):
                stream = self.connect(server.ip, 7)
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                stream.sendall(b"x" * 10_000)
                stream.close()
            with self.assertRaises(ConnectionRefusedError):
                self.connect(server.ip, 8)
            self.assertEqual(self.exchange(self.connect(server.ip, 7), b"still here"), b"still here")

    @harness.both_stacks
    def test_small_segments(self, stack):
        data = os.urandom(300_000)
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            with harness.inside(self.client):
                stream = socket.socket()
            self.addCleanup(stream.close)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            stream.settimeout(30)
            stream.connect((server.ip, 7))
            self.assertTrue(self.exchange(stream, data) == data)

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


if __name__ == "__main__":
    harness.main()
