"""Frames that no decent host sends, through the real XDP program and rings: counted drops, and the server goes on."""
import contextlib
import os
import random
import socket
import struct
import time

import harness
from harness import CLIENT_IP, DEVICE, WEIR_IP


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class HostileTest(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        with harness.inside(self.client):
            self.raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self.raw.bind((DEVICE, 0))
        self.addCleanup(self.raw.close)
        self.client_mac = self.raw.getsockname()[4]
        text = harness.run_in(self.server, "cat", f"/sys/class/net/{DEVICE}/address").stdout.strip()
        self.server_mac = bytes.fromhex(text.replace(":", ""))

    def ethernet(self, kind, payload, tags=()):
        header = self.server_mac + self.client_mac
        for vid in tags:
            header += struct.pack("!HH", 0x8100, vid)
        return header + struct.pack("!H", kind) + payload

    def ipv4(self, protocol, payload, **change):
        field = {"first": 0x45, "length": 20 + len(payload), "fragment": 0x4000, "source": CLIENT_IP, "sum": None}
        field.update(change)
        head = struct.pack("!BBHHHBBH4s4s", field["first"], 0, field["length"], 1, field["fragment"], 64, protocol, 0,
                           socket.inet_aton(field["source"]), socket.inet_aton(WEIR_IP))
        right = checksum(head) if field["sum"] is None else field["sum"]
        return self.ethernet(0x0800, head[:10] + struct.pack("!H", right) + head[12:] + payload)

    def transport(self, protocol, segment, at, wrong=0):
        pseudo = socket.inet_aton(CLIENT_IP) + socket.inet_aton(WEIR_IP) + struct.pack("!BBH", 0, protocol, len(segment))
        value = checksum(pseudo + segment) ^ wrong
        return segment[:at] + struct.pack("!H", value) + segment[at + 2:]

    def udp(self, data, wrong=0, length=None):
        head = struct.pack("!HHHH", 5000, 7, 8 + len(data) if length is None else length, 0)
        return self.ipv4(17, self.transport(17, head + data, 6, wrong))

    def tcp(self, flags, port=7, wrong=0, offset=5, **change):
        head = struct.pack("!HHIIBBHHH", 5000, port, 1000, 2000, offset << 4, flags, 1000, 0, 0)
        return self.ipv4(6, self.transport(6, head, 16, wrong), **change)

    def icmp(self, kind=8, wrong=0, data=b"x" * 56):
        message = struct.pack("!BBHHH", kind, 0, 0, 1, 1) + data
        return self.ipv4(1, message[:2] + struct.pack("!H", checksum(message) ^ wrong) + message[4:])

    def arp(self, operation=1, tags=()):
        arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, self.client_mac, socket.inet_aton(CLIENT_IP),
                          bytes(6), socket.inet_aton(WEIR_IP))
        return self.ethernet(0x0806, arp, tags)

    def outcomes(self, server, expected):
        """Waits for the metrics to show at least these counts."""
        for _ in range(50):
            metrics = server.metrics()
            missing = {name: (count, metrics[f'weir_packets_total outcome="{name}"']) for name, count in expected.items()
                       if metrics[f'weir_packets_total outcome="{name}"'] < count}
            if not missing:
                return
            time.sleep(0.1)
        self.fail(f"outcome: (expected, counted): {missing}")

    def still_serves(self):
        with harness.inside(self.client):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(udp.close)
        udp.settimeout(5)
        udp.sendto(b"alive?", (WEIR_IP, 7))
        self.assertEqual(udp.recv(100), b"alive?")

    def test_counted_drops(self):
        with self.serve("udp_echo", "--port=7") as server:
            syn = 0x02
            cases = {
                "IpChecksum": [self.ipv4(17, b"x" * 20, sum=0x1234)],
                "IpHeaderLength": [self.ipv4(17, b"x" * 20, first=0x44), self.ipv4(17, b"x" * 20, length=19)],
                "IpTruncated": [self.ipv4(17, b"x" * 20, length=1000)],
                "IpVersion": [self.ipv4(17, b"x" * 20, first=0x55)],
                "IpMartianSource": [self.ipv4(17, b"x" * 20, source=source)
                                    for source in ("127.0.0.1", WEIR_IP, "224.0.0.1", "255.255.255.255")],
                "IpFragmentMalformed": [self.ipv4(17, b"x" * 7, fragment=0x2000), self.ipv4(17, b"x" * 24, fragment=0x1fff)],
                "IpProtocol": [self.ipv4(200, b"x" * 20)],
                "UdpChecksum": [self.udp(b"data", wrong=1)],
                "UdpTruncated": [self.udp(b"data", length=7), self.udp(b"data", length=100)],
                "TcpChecksum": [self.tcp(syn, wrong=0x100)],
                "TcpHeaderLength": [self.tcp(syn, offset=4), self.tcp(syn, offset=15)],
                "TcpNoSocket": [self.tcp(syn), self.tcp(0x10), self.tcp(syn | 0x01), self.tcp(syn | 0x04)],
                "IcmpChecksum": [self.icmp(wrong=0x10)],
                "IcmpTruncated": [self.ipv4(1, b"\x08\0\0\0"), self.icmp(kind=13, data=b"x" * 11)],
                "IcmpNoSocket": [self.icmp(kind=0)],  # an echo reply that nobody waits for
                "IcmpType": [self.icmp(kind=14)],
                "IcmpRedirect": [self.icmp(kind=5)],
                "ArpMalformed": [self.arp(operation=9), self.arp(operation=0)],
                "ArpUnsolicited": [self.arp(operation=2)],
            }
            for frames in cases.values():
                for frame in frames:
                    self.raw.send(frame)
            self.outcomes(server, {name: len(frames) for name, frames in cases.items()})
            self.still_serves()

    def test_every_truncation(self):
        with self.serve("udp_echo", "--port=7"):
            for frame in (self.udp(b"data" * 10), self.tcp(0x02), self.ipv4(1, b"\x08\0" + b"x" * 40)):
                for size in range(14, len(frame)):
                    self.raw.send(frame[:size])
            self.still_serves()

    def test_random_frames(self):
        seed = int(os.environ.get("WEIR_TEST_SEED", time.time_ns() & 0xFFFFFFFF))
        print(f"seed {seed}")
        chance = random.Random(seed)
        with self.serve("udp_echo", "--port=7"):
            for _ in range(20_000):
                kind = chance.choice((0x0800, 0x0806, 0x86DD, chance.randrange(65536)))
                frame = bytearray(self.ipv4(chance.choice((1, 6, 17)), chance.randbytes(chance.randrange(200))))
                if chance.random() < 0.3:
                    frame = bytearray(self.ethernet(kind, chance.randbytes(chance.randrange(1500))))
                for _ in range(chance.randrange(4)):
                    frame[chance.randrange(12, len(frame))] = chance.randrange(256)
                self.raw.send(frame[:1514])
            self.still_serves()

    def test_random_tcp_headers(self):
        """With right checksums, from a few ports, so that they hit connections; a real one lives among them."""
        seed = int(os.environ.get("WEIR_TEST_SEED", time.time_ns() & 0xFFFFFFFF))
        print(f"seed {seed}")
        chance = random.Random(seed)
        with self.serve("tcp_echo", "--port=7") as server:
            stream = self.connect(server.ip, 7)
            for number in range(10_000):
                port = stream.getsockname()[1] if chance.random() < 0.3 else 50000 + chance.randrange(64)
                # A guess at the real connection's numbers would be an honest reset; all others must not matter.
                flags = chance.randrange(256) & ~(0x04 if port < 50000 else 0)
                words = chance.choice((4, 5, 5, 5, 6, 8, 10, 15))
                seq, ack = chance.randrange(1 << 32), chance.randrange(1 << 32)
                window, urgent = chance.randrange(1 << 16), chance.randrange(1 << 16)
                head = struct.pack("!HHIIBBHHH", port, 7, seq, ack, words << 4, flags, window, 0, urgent)
                self.raw.send(self.ipv4(6, self.transport(6, head + chance.randbytes(chance.randrange(60)), 16)))
                if number % 500 == 0:
                    stream.sendall(b"%6d" % number)
                    self.assertEqual(harness.receive_exactly(stream, 6), b"%6d" % number)

    def test_oversized(self):
        with self.serve("udp_echo", "--port=7"):
            for frame in (self.udp(b"data"), self.tcp(0x02), self.icmp(), self.arp()):
                for more in (1, 46, 1000, 1514 - len(frame)):
                    self.raw.send(frame + b"\xee" * more)
            # The peer's device takes more than ours; still more does not go beside XDP.
            harness.run("ip", "-n", self.client, "link", "set", DEVICE, "mtu", "3400")
            for size in (1515, 1519, 1800, 2048, 3000, 3414):
                for frame in (self.udp(b"x" * (size - 42)), self.icmp(data=b"x" * (size - 42))):
                    with contextlib.suppress(OSError):  # ENOBUFS: the receiving device refused it at once
                        self.raw.send(frame)
            harness.run("ip", "-n", self.client, "link", "set", DEVICE, "mtu", "1500")
            self.still_serves()

    def test_vlan(self):
        """weir0.100 is VLAN 100 of weir0, though there is no such device: tagged in, tagged out, nothing else."""
        address = f"--address={WEIR_IP}/24"
        server = harness.Server(self.server, WEIR_IP, [harness.binary("udp_echo"), "--port=7", "--stack=xdp",
                                                       f"--interface={DEVICE}.100", address])
        try:
            # The kernel takes the tag out of what it hands to a packet socket and tells it beside the data.
            sol_packet, packet_auxdata = 263, 8
            self.raw.setsockopt(sol_packet, packet_auxdata, 1)
            self.raw.settimeout(5)
            for tags in ((200,), (), (100, 7), (100,)):
                self.raw.send(self.arp(tags=tags))
            vids = []
            while not vids:
                frame, auxiliary, _, _ = self.raw.recvmsg(2048, 256)
                if frame[:6] == self.client_mac and frame[6:12] == self.server_mac:
                    vids = [struct.unpack("IIIHHHH", data[:20])[5] for _, kind, data in auxiliary if kind == packet_auxdata]
            self.assertEqual(vids, [100])
            server.stop()
        finally:
            server.kill()


if __name__ == "__main__":
    harness.main()
