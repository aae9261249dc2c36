"""dns_server, driven by dig, dnsperf and kxdpgun, and by queries that no resolver would send."""
import os
import re
import shutil
import socket
import struct
import tempfile

import harness
from harness import DEVICE, receive_exactly, run, run_in

CLIENT_IP6, WEIR_IP6, KERNEL_IP6 = "fd91::1", "fd91::2", "fd91::3"
SOA = "example.com. 300 IN SOA ns1.example.com. hostmaster.example.com. 1 7200 3600 1209600 300"
MANY = 60  # addresses, more than 512 bytes hold
BIG = 60000  # bytes of data, about as many as a message over TCP has

ZONE = f"""$TTL 3600
@ SOA ns1 hostmaster 1 7200 3600 1209600 300
@ NS ns1
@ MX 10 mail
ns1 A 192.0.2.1
mail A 192.0.2.20
mail AAAA 2001:db8::20
www A 192.0.2.10
www AAAA 2001:db8::10
text TXT "one string" "and another"
odd TYPE65400 \\# 3 010203
_sip._tcp SRV 1 2 5060 mail
alias CNAME www
*.wild A 192.0.2.30
a.b A 192.0.2.40
sub NS ns.sub
ns.sub A 192.0.2.50
moved DNAME www
""" + "".join(f"many A 192.0.2.{i}\n" for i in range(MANY)) + "".join(
    f'big TXT {i} "{"x" * 240}"\n' for i in range(BIG // 256))

# name, type -> status, flags, answer, authority, additional
EXPECTED = [
    ("www", "A", "NOERROR", "aa", ["www.example.com. 3600 IN A 192.0.2.10"], [], []),
    ("WwW", "AAAA", "NOERROR", "aa", ["WwW.example.com. 3600 IN AAAA 2001:db8::10"], [], []),
    ("text", "TXT", "NOERROR", "aa", ['text.example.com. 3600 IN TXT "one string" "and another"'], [], []),
    ("odd", "TYPE65400", "NOERROR", "aa", ["odd.example.com. 3600 IN TYPE65400 \\# 3 010203"], [], []),
    ("", "MX", "NOERROR", "aa", ["example.com. 3600 IN MX 10 mail.example.com."], [],
     ["mail.example.com. 3600 IN A 192.0.2.20", "mail.example.com. 3600 IN AAAA 2001:db8::20"]),
    ("_sip._tcp", "SRV", "NOERROR", "aa", ["_sip._tcp.example.com. 3600 IN SRV 1 2 5060 mail.example.com."], [],
     ["mail.example.com. 3600 IN A 192.0.2.20", "mail.example.com. 3600 IN AAAA 2001:db8::20"]),
    ("alias", "A", "NOERROR", "aa", ["alias.example.com. 3600 IN CNAME www.example.com.",
                                     "www.example.com. 3600 IN A 192.0.2.10"], [], []),
    ("x.y.wild", "A", "NOERROR", "aa", ["x.y.wild.example.com. 3600 IN A 192.0.2.30"], [], []),
    ("x.moved", "A", "NOERROR", "aa", ["moved.example.com. 3600 IN DNAME www.example.com.",
                                       "x.moved.example.com. 3600 IN CNAME x.www.example.com."], [], []),
    ("x.sub", "A", "NOERROR", "", [], ["sub.example.com. 3600 IN NS ns.sub.example.com."],
     ["ns.sub.example.com. 3600 IN A 192.0.2.50"]),
    ("www", "TXT", "NOERROR", "aa", [], [SOA], []),
    ("b", "A", "NOERROR", "aa", [], [SOA], []),
    ("nothing", "A", "NXDOMAIN", "aa", [], [SOA], []),
    ("", "ANY", "NOERROR", "aa", ["example.com. 3600 IN NS ns1.example.com."], [],
     ["ns1.example.com. 3600 IN A 192.0.2.1"]),
    ("", "AXFR", "REFUSED", "", [], [], []),
]


def query(name=b"\x03www\x07example\x03com\x00", identity=0x1234, flags=0, questions=1, tail=b"\0\1\0\1"):
    return struct.pack("!HHHHHH", identity, flags, questions, 0, 0, 0) + name + tail


class DnsTest(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        for namespace, ip in ((self.client, CLIENT_IP6), (self.server, KERNEL_IP6)):
            run("ip", "-n", namespace, "-6", "addr", "add", f"{ip}/64", "dev", DEVICE, "nodad")
        self.folder = tempfile.TemporaryDirectory(prefix="weir-test-")
        self.addCleanup(self.folder.cleanup)
        self.zone = self.file("zone", ZONE)

    def file(self, name, text):
        with open(f"{self.folder.name}/{name}", "w", encoding="ascii") as file:
            file.write(text)
        return file.name

    def dns(self, stack, *flags):
        both = [f"--address={harness.WEIR_IP}/24,{WEIR_IP6}/64"] if stack == "xdp" else []
        return self.serve("dns_server", f"--zone={self.zone}", "--origin=example.com", *both, *flags, stack=stack)

    def addresses(self, stack):
        return (harness.WEIR_IP, WEIR_IP6) if stack == "xdp" else (harness.KERNEL_IP, KERNEL_IP6)

    def dig(self, ip, name, *options):
        """Status, flags (of aa and tc), and the three sections as lists of lines with single blanks."""
        name = f"{name}.example.com".removeprefix(".")
        out = run_in(self.client, "dig", "+noall", "+comments", "+answer", "+authority", "+additional", "+tries=1",
                     "+time=10", "+norec", f"@{ip}", name, *options).stdout
        found = re.search(r"status: (\w+),.*\n;; flags: ([a-z ]*);", out)
        self.assertIsNotNone(found, f"{name} {options}: {out}")
        flags = " ".join(flag for flag in found.group(2).split() if flag in ("aa", "tc"))
        sections = {"ANSWER": [], "AUTHORITY": [], "ADDITIONAL": []}
        lines = None
        for line in out.splitlines():
            begin = re.fullmatch(r";; (\w+) SECTION:", line)
            if begin:
                lines = sections[begin.group(1)]
            elif line and not line.startswith(";"):
                lines.append(re.sub(r"\s+", " ", line))
        return found.group(1), flags, *sections.values()

    @harness.both_stacks
    def test_answers(self, stack):
        with self.dns(stack) as server:
            for ip in self.addresses(stack):
                for name, kind, *expected in EXPECTED:
                    for transport in (("+notcp", "+ignore"), ("+tcp",)):
                        got = self.dig(ip, name, "-t", kind, *transport)
                        self.assertEqual([got[0], got[1], *got[2:]], expected, (ip, name, kind, transport))
            self.assertEqual(self.dig(server.ip, "www", "-c", "CH")[0], "REFUSED")
            out = run_in(self.client, "dig", f"@{server.ip}", "+norec", "www.example.org").stdout
            self.assertIn("status: REFUSED", out)

    @harness.both_stacks
    def test_edns_and_truncation(self, stack):
        with self.dns(stack) as server:
            ip = server.ip
            self.assertEqual(self.dig(ip, "many", "+noedns", "+ignore"), ("NOERROR", "aa tc", [], [], []))
            self.assertEqual(len(self.dig(ip, "many", "+noedns")[2]), MANY)  # dig goes on over TCP
            self.assertEqual(len(self.dig(ip, "many", "+bufsize=4096", "+ignore")[2]), MANY)
            self.assertEqual(self.dig(ip, "big", "TXT", "+bufsize=4096", "+ignore")[1], "aa tc")
            self.assertEqual(len(self.dig(ip, "big", "TXT", "+tcp")[2]), BIG // 256)
            out = run_in(self.client, "dig", f"@{ip}", "+edns=1", "+noednsneg", "www.example.com").stdout
            self.assertIn("status: BADVERS", out)
            out = run_in(self.client, "dig", f"@{ip}", "+dnssec", "+cookie", "+nsid", "www.example.com").stdout
            self.assertRegex(out, "EDNS: version: 0, flags: do; udp: 1232")
            out = run_in(self.client, "dig", f"@{ip}", "+opcode=notify", "a.example.com").stdout
            self.assertIn("status: NOTIMP", out)

    def ask_udp(self, ip, message, timeout=5):
        with harness.inside(self.client):
            udp = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
        with udp:
            udp.settimeout(timeout)
            udp.connect((ip, 53))
            udp.send(message)
            return udp.recv(65536)

    @harness.both_stacks
    def test_malformed(self, stack):
        with self.dns(stack):
            for ip in self.addresses(stack):
                formerr, good = 1, query()
                for message in (query(questions=0), query(questions=2), query(name=b"\xc0\x0c"), good + b"x", good[:-1],
                                query(name=b"\x40" + b"x" * 64 + b"\0"), query(name=b"\3www" * 64 + b"\0"), good[:12]):
                    answer = self.ask_udp(ip, message)
                    got = answer[:2], answer[2] & 0x80, answer[3] & 15
                    self.assertEqual(got, (b"\x12\x34", 0x80, formerr), message)
                for message in (b"", b"x", good[:11], query(flags=0x8000)):
                    with self.assertRaises(TimeoutError):
                        self.ask_udp(ip, message, timeout=0.3)
                for _ in range(200):
                    try:
                        self.ask_udp(ip, os.urandom(60), timeout=0.001)
                    except TimeoutError:
                        pass
                self.assertEqual(self.ask_udp(ip, good)[3] & 15, 0)

    def read_answers(self, stream, count):
        answers = []
        for _ in range(count):
            size, = struct.unpack("!H", receive_exactly(stream, 2))
            answers.append(receive_exactly(stream, size))
        return answers

    @harness.both_stacks
    def test_one_connection(self, stack):
        with self.dns(stack) as server:
            stream = self.connect(server.ip, 53)
            many = b"".join(struct.pack("!H", len(query())) + query(identity=i) for i in range(3000))
            stream.sendall(many)
            answers = self.read_answers(stream, 3000)
            self.assertEqual([struct.unpack("!H", a[:2])[0] for a in answers], list(range(3000)))
            self.assertEqual({a[2:] for a in answers}, {answers[0][2:]})

    @harness.both_stacks
    def test_a_query_in_many_pieces(self, stack):
        message = query(name=b"\x01x" * 60 + b"\7example\3com\0")
        with self.dns(stack) as server:
            stream = self.connect(server.ip, 53)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for _ in range(2):
                for byte in struct.pack("!H", len(message)) + message:
                    stream.sendall(bytes([byte]))
                self.assertEqual(self.read_answers(stream, 1)[0][3] & 15, 3)  # NXDOMAIN

    @harness.both_stacks
    def test_connections_that_end(self, stack):
        framed = struct.pack("!H", len(query())) + query()
        with self.dns(stack, "--tcp_idle_timeout=1", "--tcp_connections=3") as server:
            for bad in (b"\0\0", b"\0\x0b" + b"x" * 11, b"\xff\xff"):
                stream = self.connect(server.ip, 53)
                stream.sendall(framed + bad)
                self.assertEqual(len(self.read_answers(stream, 1)), 1)
                try:
                    self.assertEqual(stream.recv(1), b"")
                except ConnectionResetError:
                    pass  # what came behind the length was not read
            # The peer's end is not the end of what it asked for.
            stream = self.connect(server.ip, 53)
            stream.sendall(framed * 100)
            stream.shutdown(socket.SHUT_WR)
            self.assertEqual(len(self.read_answers(stream, 100)), 100)
            self.assertEqual(stream.recv(1), b"")
            silent = [self.connect(server.ip, 53) for _ in range(3)]
            silent[1].sendall(framed[:5])
            surplus = self.connect(server.ip, 53)
            self.assertEqual(surplus.recv(1), b"")
            for stream in silent:
                self.assertEqual(stream.recv(1), b"")
            # Their clients do not close; after as long again their places are free all the same.
            again = ("dig", "+tcp", "+tries=1", "+time=5", "+short", f"@{server.ip}", "www.example.com")
            harness.wait_until(lambda: "192.0.2.10" in run_in(self.client, *again, check=False).stdout, "a free place")

    @harness.both_stacks
    def test_dnsperf(self, stack):
        queries = self.file("queries", "".join(f"{name}.example.com {kind}\n".removeprefix(".") for name, kind in (
            ("www", "A"), ("", "MX"), ("x.wild", "A"), ("nothing", "A"), ("x.sub", "A"), ("alias", "AAAA"))))
        with self.dns(stack) as server:
            for options in ((), ("-e",), ("-m", "tcp", "-c", "10")):
                out = run_in(self.client, "dnsperf", "-s", server.ip, "-d", queries, "-l", "1.5", "-Q", "3000",
                             *options).stdout
                self.assertRegex(out, r"Queries lost: +0 ")
                sent, = re.search(r"Queries sent: +(\d+)", out).groups()
                codes = dict(re.findall(r"(NOERROR|NXDOMAIN|[A-Z]+) (\d+) \(", out.split("Response codes:")[1]))
                self.assertEqual(set(codes), {"NOERROR", "NXDOMAIN"}, out)
                self.assertAlmostEqual(int(codes["NXDOMAIN"]), int(sent) / 6, delta=2)
                self.assertEqual(sum(int(count) for count in codes.values()), int(sent))

    def kxdpgun(self, ip, queries, *options):
        """What it counted, by name, and the responses, by RCODE."""
        done = run_in(self.client, "kxdpgun", "-t", "1.5", "-i", queries, *options, ip, check=False)
        if done.returncode != 0 or "queries:" not in done.stdout.replace("SYNs", "queries"):
            said = (done.stderr or done.stdout or "nothing").strip().splitlines()[-1]
            self.skipTest(f"SKIPPED: kxdpgun does not run here: {said}")
        counts = {name: int(count) for name, count in re.findall(r"total (\w+): +(\d+)", done.stdout)}
        return counts, {name: int(count) for name, count in re.findall(r"responded (\w+): +(\d+)", done.stdout)}

    @harness.both_stacks
    def test_kxdpgun(self, stack):
        if shutil.which("kxdpgun", path=os.environ["PATH"] + ":/usr/sbin:/sbin") is None:
            self.skipTest("SKIPPED: kxdpgun is missing: apt-get install knot-dnsutils")
        queries = self.file("queries", "www.example.com. A\nexample.com. MX E\nx.wild.example.com. A D\n"
                                       "nothing.example.com. A\n")
        with self.dns(stack) as server:
            for ip in self.addresses(stack):
                self.dig(ip, "www")  # neighbours know each other
                counts, codes = self.kxdpgun(ip, queries, "-Q", "4000")
                self.assertEqual(counts["replies"], counts["queries"], (counts, codes))
                self.assertEqual(set(codes), {"NOERROR", "NXDOMAIN"})
                self.assertAlmostEqual(codes["NXDOMAIN"], counts["queries"] / 4, delta=10)
                counts, codes = self.kxdpgun(ip, queries, "-Q", "1500", "--tcp")
                self.assertEqual({counts["SYNs"]}, set(counts.values()), (counts, codes))
                self.assertEqual(set(codes), {"NOERROR", "NXDOMAIN"})
            if stack == "xdp":
                harness.wait_until(lambda: server.metrics()["weir_tcp_sockets"] == 0, "the end of all connections")

    def test_a_zone_with_errors(self):
        wrong = self.file("wrong", "$ORIGIN example.com.\n@ 60 SOA ns h 1 2 3 4 5\n@ 60 NS ns\nns 60 A 192.0.2.999\n")
        for flags, says in (([f"--zone={wrong}"], f"{wrong}:4: "),
                            (["--zone=/nonexistent"], "/nonexistent"), ([], "--zone"),
                            ([f"--zone={self.zone},{wrong}"], f"{wrong}:4: "),
                            ([f"--zone={self.zone}", "--origin=a,b"], "--origin"),
                            ([f"--zone={self.zone},{self.zone}", "--origin=a.example,a.example"], "is in")):
            done = run_in(self.server, harness.binary("dns_server"), *flags, check=False)
            self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
            self.assertRegex(done.stderr, f"^weir: .*{re.escape(says)}.*\n$")


if __name__ == "__main__":
    harness.main()
