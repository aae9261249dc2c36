"""tcp_echo against a kernel client over a link that loses, delays and reorders: what both make of each other's SACKs."""
import fcntl
import heapq
import os
import random
import select
import socket
import struct
import threading
import time

import harness
from harness import receive_exactly, run

TAP = "bad0"


class BadLink:
    """Takes the client's address to a TAP device, and carries frames between that and the veth pair, badly.

    The kernels that tests run on have no netem.
    """

    def __init__(self, namespace, seed, loss=0.0, delay=0.0, reorder=0.0):
        self.random = random.Random(seed)
        self.loss, self.delay, self.reorder = loss, delay, reorder
        with harness.inside(namespace):
            self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            tunsetiff, iff_tap, iff_no_pi = 0x400454CA, 0x0002, 0x1000
            fcntl.ioctl(self.tap, tunsetiff, struct.pack("16sH22x", TAP.encode(), iff_tap | iff_no_pi))
            everything = 3
            self.packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(everything))
            self.packets.bind((harness.DEVICE, everything))
        run("ip", "-n", namespace, "addr", "flush", "dev", harness.DEVICE)
        run("ip", "-n", namespace, "addr", "add", f"{harness.CLIENT_IP}/24", "dev", TAP)
        run("ip", "-n", namespace, "link", "set", TAP, "up")
        self.frames, self.count, self.stopping = [], 0, False
        self.thread = threading.Thread(target=self.carry)
        self.thread.start()

    def take(self, target, frame):
        # ARP is not what is tested.
        if self.random.random() < self.loss and frame[12:14] != b"\x08\x06":
            return
        late = self.delay * (2 if self.random.random() < self.reorder else 1)
        self.count += 1
        heapq.heappush(self.frames, (time.monotonic() + late, self.count, target, frame))

    def carry(self):
        while not self.stopping:
            wait = self.frames[0][0] - time.monotonic() if self.frames else 0.1
            ready = select.select([self.tap, self.packets], [], [], max(wait, 0))[0]
            if self.tap in ready:
                self.take(self.packets, os.read(self.tap, 65536))
            if self.packets in ready:
                frame, address = self.packets.recvfrom(65536)
                if address[2] != socket.PACKET_OUTGOING:
                    self.take(self.tap, frame)
            while self.frames and self.frames[0][0] <= time.monotonic():
                _, _, target, frame = heapq.heappop(self.frames)
                try:
                    os.write(target if isinstance(target, int) else target.fileno(), frame)
                except OSError:
                    pass  # a full queue loses too

    def stop(self):
        self.stopping = True
        self.thread.join()
        os.close(self.tap)
        self.packets.close()


class LossTest(harness.NetnsTest):
    def exchange(self, size, loss, ecn=0, sack=1, timestamps=1, **link):
        """Echoes `size` bytes; returns the client's TCP options, the server's counters, and the seconds it took."""
        seed = int(os.environ.get("WEIR_TEST_SEED", time.time_ns() & 0xFFFFFFFF))
        print(f"seed {seed}")
        for name, value in (("ecn", ecn), ("sack", sack), ("timestamps", timestamps)):
            harness.run_in(self.client, "sysctl", "-qw", f"net.ipv4.tcp_{name}={value}")
        with self.serve("tcp_echo", "--port=7") as server:
            bad = BadLink(self.client, seed, loss=loss, **link)
            self.addCleanup(bad.stop)
            stream = self.connect(server.ip, 7, timeout=60)
            data = random.Random(seed).randbytes(size)
            begin = time.monotonic()
            sender = threading.Thread(target=lambda: (stream.sendall(data), stream.shutdown(socket.SHUT_WR)))
            sender.start()
            got = receive_exactly(stream, size + 1)
            sender.join()
            seconds = time.monotonic() - begin
            self.assertTrue(got == data)
            options = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)[5]  # tcpi_options
            metrics = server.metrics()
        print(f"{size} bytes in {seconds:.2f} s, " +
              ", ".join(f"{name} {metrics[f'weir_tcp_{name}_total']}"
                        for name in ("retransmits", "fast_recoveries", "timeouts", "loss_probes", "undone_reductions")))
        return options, metrics

    def test_options_are_agreed_on(self):
        timestamps, sack, window_scale, ecn, ecn_seen = 1, 2, 4, 8, 16  # TCPI_OPT_*
        self.assertEqual(self.exchange(10_000, 0, ecn=1)[0], timestamps | sack | window_scale | ecn | ecn_seen)

    def test_without_options(self):
        options, _ = self.exchange(300_000, 0.02, sack=0, timestamps=0, delay=0.002)
        self.assertEqual(options, 4)

    def test_losses_are_repaired_without_the_timer(self):
        _, metrics = self.exchange(1_500_000, 0.02, delay=0.005)
        self.assertGreater(metrics["weir_tcp_retransmits_total"], 0)
        self.assertLessEqual(metrics["weir_tcp_timeouts_total"], 3)

    def test_reordering_is_no_loss(self):
        _, metrics = self.exchange(1_500_000, 0, delay=0.005, reorder=0.02)
        self.assertLessEqual(metrics["weir_tcp_timeouts_total"], 1)

    def test_heavy_loss(self):
        self.exchange(100_000, 0.2, delay=0.001)


if __name__ == "__main__":
    harness.main()
