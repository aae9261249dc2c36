"""Links with an MTU beyond a frame: packets in several frames, both ways, with Linux on the other side."""
import contextlib
import itertools
import os
import random
import socket
import struct
import threading
import time

import harness
from harness import CLIENT_IP, DEVICE, WEIR_IP, receive_exactly, run, run_in


class JumboTest(harness.NetnsTest):
    def set_mtu(self, mtu):
        for namespace in (self.server, self.client):
            run("ip", "-n", namespace, "link", "set", DEVICE, "mtu", str(mtu))

    def udp_socket(self):
        with harness.inside(self.client):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(udp.close)
        udp.settimeout(5)
        udp.connect((WEIR_IP, 7))
        return udp

    def exchange(self, data):
        """Sends all of `data` while reading it back; returns what came, and the MSS of both ways."""
        stream = self.connect(WEIR_IP, 7)
        sender = threading.Thread(target=lambda: (stream.sendall(data), stream.shutdown(socket.SHUT_WR)))
        sender.start()
        got = receive_exactly(stream, len(data) + 1)
        sender.join()
        return got, struct.unpack_from("II", stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 16)

    def largest_frames(self, capture, source):
        """Of the packets that `source` sent, as the server's capture has them: lengths of IP payloads of TCP."""
        text = run("tcpdump", "-nr", capture, "tcp", "and", "src", source).stdout
        return max(int(line.rsplit("length ", 1)[1].split(":")[0].split()[0]) for line in text.splitlines())

    def test_tcp(self):
        seed = int(os.environ.get("WEIR_TEST_SEED", time.time_ns() & 0xFFFFFFFF))
        print(f"seed {seed}")
        chance = random.Random(seed)
        for mtu, frame_size, attach in ((9000, 4096, "auto"), (9000, 2048, "native"), (9000, 4096, "generic"),
                                        (3400, 4096, "auto"), (3400, 2048, "auto"), (5001, 4096, "auto"),
                                        (9216, 2048, "auto")):
            with self.subTest(mtu=mtu, frame_size=frame_size, attach=attach):
                self.set_mtu(mtu)
                capture = f"/tmp/weir-test-{os.getpid()}.pcap"
                self.addCleanup(lambda: os.path.exists(capture) and os.unlink(capture))
                offloads = "off" if attach == "generic" else "on"
                run_in(self.client, "ethtool", "-K", DEVICE, "tso", offloads, "gso", offloads)
                with self.serve("tcp_echo", "--port=7", f"--frame_size={frame_size}", f"--xdp_attach={attach}",
                                f"--pcap={capture}") as server:
                    self.assertIn(f"frames of {frame_size} bytes", server.output())
                    for size in (1, 1792, 8947, 8948, 8949, 3_000_000, chance.randrange(1, 300_000)):
                        data = chance.randbytes(size)
                        got, (send_mss, _) = self.exchange(data)
                        self.assertTrue(got == data, size)
                        self.assertEqual(send_mss, mtu - 52)  # what weir announced, less timestamps
                    metrics = server.metrics()
                    self.assertEqual(metrics[f'weir_link_kernel_rx_dropped_total interface="{DEVICE}"'], 0)
                    self.assertEqual(metrics['weir_packets_total outcome="TcpChecksum"'], 0)
                # The peer sends segments as large as the link; weir's own lie in a frame.
                self.assertEqual(self.largest_frames(capture, CLIENT_IP), mtu - 52)
                self.assertLessEqual(self.largest_frames(capture, WEIR_IP), frame_size - 128)

    def test_udp_and_ping(self):
        for mtu, flags in ((9000, []), (9000, ["--frame_size=2048"]), (3400, []), (9216, ["--frame_size=2048"])):
            with self.subTest(mtu=mtu, flags=flags):
                self.set_mtu(mtu)
                with self.serve("udp_echo", "--port=7", *flags) as server:
                    udp = self.udp_socket()
                    udp.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO: in one packet or not at all
                    sizes = [0, 1, 1472, 1729, 1750, 1751, 1893, 2000, mtu - 29, mtu - 28]
                    for size in sizes + [random.randrange(1500, mtu - 27) for _ in range(100)]:
                        data = os.urandom(size)
                        udp.send(data)
                        self.assertEqual(udp.recv(65536), data)
                    self.assertEqual(server.metrics()[f'weir_link_kernel_rx_dropped_total interface="{DEVICE}"'], 0)
                    udp.setsockopt(socket.IPPROTO_IP, 10, 0)
                    for size in (mtu - 27, 20_000, 65_507):
                        data = os.urandom(size)
                        udp.send(data)
                        self.assertEqual(udp.recv(65536), data)
                    for size in (56, 1765, 3300, mtu - 100, mtu - 28):
                        run_in(self.client, "ping", "-c2", "-i0.1", "-W2", "-M", "do", "-s", str(size), WEIR_IP)
                    done = run_in(self.client, "ping", "-q", "-f", "-c2000", "-M", "do", "-s", str(mtu - 28), WEIR_IP)
                    self.assertIn(" 0% packet loss", done.stdout)

    def test_first_datagram_waits_for_arp(self):
        """What is larger than a frame waits for its neighbour as what is not."""
        self.set_mtu(9000)
        with self.serve("udp_echo", "--port=7"):
            udp = self.udp_socket()
            for _ in range(5):
                run("ip", "-n", self.client, "neigh", "flush", "dev", DEVICE)
                data = os.urandom(8900)
                udp.send(data)
                self.assertEqual(udp.recv(65536), data)

    def test_mtu_flag(self):
        """On a wide link, but for narrow packets: then it is as on a narrow link."""
        self.set_mtu(9000)
        data = os.urandom(500_000)
        for mtu in (576, 1500, 3818, 3819, 9000):
            with self.serve("tcp_echo", "--port=7", f"--mtu={mtu}") as server:
                got, (send_mss, _) = self.exchange(data)
                self.assertTrue(got == data)
                self.assertEqual(send_mss, mtu - 52)
                self.assertIn(f"frames of {2048 if mtu <= 1770 else 4096} bytes", server.output())
        self.set_mtu(20000)
        with contextlib.ExitStack() as stack:
            stack.callback(self.set_mtu, 1500)
            done = run_in(self.server, harness.binary("tcp_echo"), *self.xdp_flags(), "--mtu=9217", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, r"\Aweir: --mtu=9217: weir0 has 20000, and 9216 is the most\n\Z")
            with self.serve("tcp_echo", "--port=7"):
                got, (send_mss, _) = self.exchange(data)
                self.assertTrue(got == data)
                self.assertEqual(send_mss, 9216 - 52)

    def test_many_at_once(self):
        self.set_mtu(9000)
        with self.serve("tcp_echo", "--port=7") as server:
            failures = []

            def one():
                data = os.urandom(2_000_000)
                if self.exchange(data)[0] != data:
                    failures.append(1)

            threads = [threading.Thread(target=one) for _ in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(failures, [])
            ends = (server.metrics()["weir_frames"] - server.metrics()["weir_frames_free"] for _ in itertools.count())
            # All that is out lies in the Fill ring.
            harness.wait_until(lambda: next(ends) <= 4096, "the frames of what ended")


if __name__ == "__main__":
    harness.main()
