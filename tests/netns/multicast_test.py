"""Groups and broadcasts between weir and the kernel, through socat; reports and queries as they are on the link."""
import contextlib
import ipaddress
import socket
import struct
import subprocess

import harness
from harness import CLIENT_IP, DEVICE, WEIR_IP, run, run_in

GROUP4, GROUP6 = "239.1.2.3", "ff15::1:2:3"
CLIENT_IP6, WEIR_IP6, KERNEL_IP6 = "fd91::1", "fd91::2", "fd91::3"
ETH_P_ALL = 3
IGMP, ICMP6, HOP_BY_HOP = 2, 58, 0


def ethernet(group, ether_type, packet):
    return group + bytes.fromhex("020000000099") + ether_type.to_bytes(2, "big") + packet


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def igmp_query(source, group=None, max_response=10):
    """An IGMPv3 query (RFC 3376 §4.1) as an Ethernet frame; max_response in tenths of a second."""
    destination = group or "224.0.0.1"
    asked = socket.inet_aton(group or "0.0.0.0")
    message = struct.pack("!BBH4sBBH", 0x11, max_response, 0, asked, 2, 125, 0)
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    header = struct.pack("!BBHHHBBH4s4s", 0x46, 0xC0, 24 + len(message), 0, 0, 1, IGMP, 0, socket.inet_aton(source),
                         socket.inet_aton(destination)) + b"\x94\x04\0\0"
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    low = int(ipaddress.ip_address(destination)) & 0x7FFFFF
    return ethernet(bytes.fromhex("01005e") + low.to_bytes(3, "big"), 0x0800, header + message)


def mld_query(source, group=None, max_response_ms=1000):
    """An MLDv2 query (RFC 3810 §5.1) as an Ethernet frame."""
    destination = socket.inet_pton(socket.AF_INET6, group or "ff02::1")
    asked = socket.inet_pton(socket.AF_INET6, group or "::")
    source = socket.inet_pton(socket.AF_INET6, source)
    message = struct.pack("!BBHHH16sBBH", 130, 0, 0, max_response_ms, 0, asked, 2, 125, 0)
    pseudo = source + destination + struct.pack("!II", len(message), ICMP6)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    alert = struct.pack("!BBBBHBB", ICMP6, 0, 5, 2, 0, 1, 0)
    header = struct.pack("!IHBB", 6 << 28, len(alert) + len(message), HOP_BY_HOP, 1) + source + destination
    return ethernet(bytes.fromhex("3333") + destination[12:], 0x86DD, header + alert + message)


def report_of(frame):
    """[(type, group)] of an IGMPv3 or MLDv2 report, or None."""
    if frame[12:14] == b"\x08\0" and frame[14] == 0x46 and frame[14 + 9] == IGMP:
        message, size = frame[14 + 24:], 4
        expected = frame[14 + 8] == 1 and frame[14 + 20:14 + 24] == b"\x94\x04\0\0" and checksum(message) == 0
    elif frame[12:14] == b"\x86\xdd" and frame[14 + 6] == HOP_BY_HOP and frame[14 + 40] == ICMP6:
        message, size = frame[14 + 48:], 16
        expected = frame[14 + 7] == 1
    else:
        return None
    if message[0] not in (0x22, 143):
        return None
    records, at = [], 8
    for _ in range(struct.unpack("!H", message[6:8])[0]):
        kind, _, sources = struct.unpack("!BBH", message[at:at + 4])
        records.append((kind if expected else "malformed", str(ipaddress.ip_address(message[at + 4:at + 4 + size]))))
        at += 4 + size + sources * size
    return records


class MulticastTest(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        for namespace, ip in ((self.client, CLIENT_IP6), (self.server, KERNEL_IP6)):
            run("ip", "-n", namespace, "-6", "addr", "add", f"{ip}/64", "dev", DEVICE, "nodad")
            run("ip", "-n", namespace, "route", "add", "224.0.0.0/4", "dev", DEVICE)

    def serve_both(self, name, *flags, stack="xdp"):
        if stack == "xdp":
            flags = (f"--address={WEIR_IP}/24,{WEIR_IP6}/64,fe80::99/64", *flags)
        return self.serve(name, *flags, stack=stack)

    @contextlib.contextmanager
    def socat(self, *arguments):
        """socat in the client's namespace, its output a pipe."""
        process = subprocess.Popen(["ip", "netns", "exec", self.client, "socat", *arguments], stdout=subprocess.PIPE,
                                   stdin=subprocess.DEVNULL, preexec_fn=harness.die_with_parent)
        try:
            yield process
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def tap(self):
        """All frames of the client's end of the link."""
        with harness.inside(self.client):
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.addCleanup(tap.close)
        tap.bind((DEVICE, 0))
        tap.settimeout(20)
        return tap

    def wait_for_record(self, tap, record):
        while True:
            frame, address = tap.recvfrom(2048)
            if address[2] == socket.PACKET_OUTGOING:
                continue
            records = report_of(frame) or []
            self.assertNotIn("malformed", [kind for kind, _ in records])
            if record in records:
                return

    def cases(self):
        """(stack, the group and port, socat's address to send there, and its way to listen)."""
        for stack in ("xdp", "kernel"):
            yield (stack, f"{GROUP4}:5000", f"UDP4-DATAGRAM:{GROUP4}:5000,ip-multicast-if={CLIENT_IP}",
                   f"UDP4-RECV:5000,ip-add-membership={GROUP4}:{CLIENT_IP}")
            yield (stack, f"[{GROUP6}]:5000", f"UDP6-DATAGRAM:[{GROUP6}]:5000",
                   f"UDP6-RECV:5000,ipv6-join-group=[{GROUP6}]:{DEVICE}")

    def test_both_ways(self):
        for stack, group, to_group, listen in self.cases():
            with self.subTest(stack=stack, group=group):
                with self.socat("-u", listen, "STDOUT") as listener, \
                        self.serve_both("multicast", f"--group={group}", "--say=from weir", stack=stack) as server:
                    self.assertEqual(listener.stdout.read(len("from weir")), b"from weir")
                    # It hears itself, and the kernel's program.
                    harness.wait_until(lambda: "from weir" in server.output(), "its own datagram")
                    run_in(self.client, "sh", "-c", f"printf 'from socat' | socat -u STDIN '{to_group}'")
                    harness.wait_until(lambda: "from socat" in server.output(), "socat's datagram")

    def test_answers_to_a_group(self):
        for stack, group, to_group, _ in self.cases():
            with self.subTest(stack=stack, group=group):
                with self.serve_both("udp_echo", "--port=5000", f"--group={GROUP4},{GROUP6}", stack=stack):
                    answer = run_in(self.client, "sh", "-c", f"printf 'anybody?' | socat -t2 STDIO '{to_group}'").stdout
                    self.assertEqual(answer, "anybody?")
                    # Another group, which nobody joined.
                    other = to_group.replace(GROUP4, "239.1.2.4").replace(GROUP6, "ff15::1:2:4")
                    answer = run_in(self.client, "sh", "-c", f"printf 'anybody?' | socat -t1 STDIO '{other}'").stdout
                    self.assertEqual(answer, "")

    def test_broadcast(self):
        to_all = f"UDP4-DATAGRAM:255.255.255.255:5000,broadcast,so-bindtodevice={DEVICE}"
        for to in ("255.255.255.255", "10.91.0.255"):
            with self.socat("-u", "UDP4-RECV:5000", "STDOUT") as listener, \
                    self.serve_both("multicast", f"--group={to}:5000", "--say=from weir") as server:
                self.assertEqual(listener.stdout.read(len("from weir")), b"from weir")
                harness.wait_until(lambda: "from weir" in server.output(), "its own datagram")
                run_in(self.client, "sh", "-c", f"printf 'from socat' | socat -u STDIN '{to_all}'")
                harness.wait_until(lambda: "from socat" in server.output(), "socat's datagram")

    def test_reports_and_queries(self):
        """Memberships are reported, and reported when a router asks (RFC 3376 §5, RFC 3810 §6)."""
        is_exclude, to_include, to_exclude = 2, 3, 4
        tap = self.tap()
        with self.serve_both("udp_echo", "--port=5000", f"--group={GROUP4},{GROUP6}") as server:
            self.wait_for_record(tap, (to_exclude, GROUP4))
            self.wait_for_record(tap, (to_exclude, GROUP6))
            for query, group in ((igmp_query(CLIENT_IP), GROUP4), (igmp_query(CLIENT_IP, GROUP4), GROUP4),
                                 (mld_query("fe80::77"), GROUP6), (mld_query("fe80::77", GROUP6), GROUP6)):
                tap.send(query)
                self.wait_for_record(tap, (is_exclude, group))
            # From beyond the link: not answered, and counted.
            wrong = bytearray(igmp_query(CLIENT_IP, GROUP4))
            wrong[14 + 8:14 + 12] = bytes([2, IGMP, 0, 0])
            wrong[14 + 10:14 + 12] = struct.pack("!H", checksum(bytes(wrong[14:14 + 24])))
            tap.send(wrong)
            harness.wait_until(lambda: server.metrics()['weir_packets_total outcome="IgmpMalformed"'] == 1, "its count")
            server.stop()  # and it says goodbye
            self.wait_for_record(tap, (to_include, GROUP4))


if __name__ == "__main__":
    harness.main()
