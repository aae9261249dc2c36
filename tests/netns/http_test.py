"""http_server, driven by curl, ab and wrk, and by requests that no decent client would send."""
import hashlib
import os
import re
import socket
import subprocess
import tempfile
import threading
import time

import harness
from harness import receive_exactly, run_in


class HttpTest(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        self.root = tempfile.TemporaryDirectory(prefix="weir-test-")
        self.addCleanup(self.root.cleanup)
        os.mkdir(f"{self.root.name}/sub")
        os.symlink("/etc/passwd", f"{self.root.name}/link.txt")
        self.files = {"index.html": b"<h1>page</h1>\n", "sub/index.html": b"sub\n", "empty.txt": b"",
                      "small.txt": b"0123456789", "middle.bin": os.urandom(50_000), "big.bin": os.urandom(10_000_000)}
        for name, content in self.files.items():
            with open(f"{self.root.name}/{name}", "wb") as file:
                file.write(content)

    def site(self, stack):
        return self.serve("http_server", f"--root={self.root.name}", "--port=80", stack=stack)

    def curl(self, url, *options):
        """Status and headers of one request, body included at the end."""
        return run_in(self.client, "curl", "-sSi", "--path-as-is", "--max-time", "20", *options, url).stdout

    def status(self, url, *options):
        return int(self.curl(url, *options).split()[1])

    @harness.both_stacks
    def test_files(self, stack):
        with self.site(stack) as server:
            for name, content in self.files.items():
                path = f"{self.root.name}/got"
                run_in(self.client, "curl", "-sS", "--fail", "-o", path, f"http://{server.ip}/{name}")
                with open(path, "rb") as got:
                    self.assertEqual(hashlib.sha256(got.read()).digest(), hashlib.sha256(content).digest(), name)
            self.assertIn("<h1>page</h1>", self.curl(f"http://{server.ip}/?query=1"))
            self.assertIn("sub\n", self.curl(f"http://{server.ip}/%73ub/"))

    @harness.both_stacks
    def test_semantics(self, stack):
        with self.site(stack) as server:
            url = f"http://{server.ip}"
            head = self.curl(url + "/small.txt", "-I")
            self.assertIn("Content-Length: 10", head)
            self.assertIn("Content-Type: text/plain", head)
            modified = re.search("Last-Modified: (.*)", head).group(1).strip()
            self.assertEqual(self.status(url + "/small.txt", "-H", f"If-Modified-Since: {modified}"), 304)
            self.assertEqual(self.status(url + "/small.txt", "-H", "If-Modified-Since: nonsense"), 200)
            self.assertIn("Location: /sub/", self.curl(url + "/sub"))
            self.assertEqual(self.status(url + "/missing"), 404)
            self.assertEqual(self.status(url + "/small.txt/x"), 404)
            for escape in ("/../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/sub/../../../../etc/passwd"):
                self.assertEqual(self.status(url + escape), 404, escape)
            self.assertEqual(self.status(url + "/", "-d", "body"), 405)
            self.assertEqual(self.status(url + "/" + "x" * 3000), 414)
            self.assertEqual(self.status(url + "/", "-H", "X: " + "y" * 6000), 200)
            for size in (9000, 20_000, 100_000):
                self.assertEqual(self.status(url + "/", "-H", "X: " + "y" * size), 431, size)
            self.assertEqual(self.status(url + "/", *[x for i in range(200) for x in ("-H", f"X{i}: {'y' * 50}")]), 431)
            self.assertEqual(self.status(url + "/", "-X", "GET", "-d", "x" * 100_000), 413)
            for escape in ("/link.txt", "//etc/passwd", "/..%2f..%2fetc/passwd"):
                self.assertEqual(self.status(url + escape), 404, escape)

    @harness.both_stacks
    def test_ranges(self, stack):
        with self.site(stack) as server:
            url = f"http://{server.ip}/small.txt"
            for asked, body, sent in (("2-4", "234", "2-4"), ("7-", "789", "7-9"), ("-3", "789", "7-9"),
                                      ("5-100", "56789", "5-9")):
                answer = self.curl(url, "-r", asked)
                self.assertIn("206 Partial Content", answer)
                self.assertIn(f"Content-Range: bytes {sent}/10", answer)
                self.assertTrue(answer.endswith("\n" + body), answer)
            for none in ("10-", "-0"):
                self.assertIn("Content-Range: bytes */10", self.curl(url, "-r", none))
            for ignored in ("bytes=7-3", "bytes=x-y", "lines=1-2", "bytes=0-1,4-5", "bytes=-"):
                self.assertEqual(self.status(url, "-H", f"Range: {ignored}"), 200, ignored)
            self.assertEqual(self.status(f"http://{server.ip}/empty.txt", "-r", "0-"), 416)
            part = run_in(self.client, "curl", "-sS", "-r", "9999990-", "-o",
                          f"{self.root.name}/part", f"http://{server.ip}/big.bin")
            self.assertEqual(part.returncode, 0)
            with open(f"{self.root.name}/part", "rb") as got:
                self.assertEqual(got.read(), self.files["big.bin"][-10:])

    def ask(self, server, request, pieces=1):
        """The answer to raw bytes, until the server closes."""
        stream = self.connect(server.ip, 80)
        size = max(1, len(request) // pieces)
        for at in range(0, len(request), size):
            stream.sendall(request[at:at + size])
        stream.shutdown(socket.SHUT_WR)
        return receive_exactly(stream, 1 << 30)

    @harness.both_stacks
    def test_raw_requests(self, stack):
        get = b"GET /small.txt HTTP/1.1\r\nHost: x\r\n\r\n"
        old_close = get[:-2] + b"Connection: close\r\n\r\n"
        with self.site(stack) as server:
            self.assertEqual(self.ask(server, get * 50).count(b"0123456789"), 50)  # pipelined
            self.assertTrue(self.ask(server, get, pieces=len(get)).endswith(b"0123456789"))  # byte by byte
            old = self.ask(server, b"GET /small.txt HTTP/1.0\r\n\r\n")
            self.assertIn(b"Connection: close", old)
            self.assertIn(b"400 Bad Request", self.ask(server, b"\x16\x03\x01 this is no HTTP\r\n\r\n"))
            self.assertIn(b"404", self.ask(server, b"GET /a%0d%0aX:%20y HTTP/1.1\r\nHost: x\r\n\r\n"))
            self.assertIn(b"400", self.ask(server, b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"))
            self.assertIn(b"400", self.ask(server, b"GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n"))
            for hosts in (b"", b"Host: a\r\nHost: b\r\n"):  # RFC 9112 §3.2
                self.assertIn(b" 400 ", self.ask(server, b"GET / HTTP/1.1\r\n" + hosts + b"\r\n"))
            self.assertIn(b" 505 ", self.ask(server, b"GET / HTTP/9.9\r\nHost: x\r\n\r\n"))
            for garbage in (b"GET\r\n\r\n", b"GET / HTTP/1.1\nbad header\n\n", os.urandom(600) + b"\r\n\r\n"):
                self.assertIn(b" 400 ", self.ask(server, garbage), garbage)
            # HEAD has the headers of GET, and no body that would be in the way of the next answer.
            both = self.ask(server, b"HEAD" + get[3:] + get).split(b"\r\n\r\n")
            self.assertEqual(both, [both[0], both[0], b"0123456789"])
            kept = b"GET /small.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
            self.assertEqual(self.ask(server, kept * 3).count(b"0123456789"), 3)
            self.assertEqual(self.ask(server, old_close + get).count(b"0123456789"), 1)  # nothing after the last
            many = b"".join(b"X-%d: y\r\n" % number for number in range(2000))
            self.assertIn(b" 431 ", self.ask(server, b"GET / HTTP/1.1\r\nHost: x\r\n" + many + b"\r\n"))
            self.assertEqual(self.ask(server, b""), b"")
            self.assertEqual(self.ask(server, get[:10]), b"")  # gave up in the middle

    @harness.both_stacks
    def test_many_at_once(self, stack):
        with self.site(stack) as server:
            digests = []

            def fetch():
                stream = self.connect(server.ip, 80)
                stream.sendall(b"GET /big.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = receive_exactly(stream, 1 << 30)
                digests.append(hashlib.sha256(answer.split(b"\r\n\r\n", 1)[1]).digest())

            threads = [threading.Thread(target=fetch) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(digests, [hashlib.sha256(self.files["big.bin"]).digest()] * 8)

    @harness.both_stacks
    def test_a_file_that_shrinks_ends_the_connection_only(self, stack):
        with open(f"{self.root.name}/big.bin", "wb") as file:
            file.write(self.files["big.bin"])
        with self.site(stack) as server:
            stream = self.connect(server.ip, 80)
            stream.sendall(b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n")
            receive_exactly(stream, 100_000)
            os.truncate(f"{self.root.name}/big.bin", 1000)
            self.assertLess(len(receive_exactly(stream, 10_000_000)), 9_900_000)
            self.assertEqual(self.status(f"http://{server.ip}/small.txt"), 200)

    @harness.both_stacks
    def test_clients_that_vanish(self, stack):
        with self.site(stack) as server:
            for text in (b"", b"GET / HT", b"GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n"):
                for leave in (socket.socket.close, harness.reset):
                    stream = self.connect(server.ip, 80)
                    stream.sendall(text)
                    leave(stream)
            self.assertEqual(self.status(f"http://{server.ip}/small.txt"), 200)

    @harness.both_stacks
    def test_stops_under_load(self, stack):
        for target in ("index.html", "big.bin"):
            with self.site(stack) as server:
                load = subprocess.Popen(["ip", "netns", "exec", self.client, "wrk", "-t1", "-c16", "-d3",
                                         f"http://{server.ip}/{target}"], stdout=subprocess.DEVNULL,
                                        preexec_fn=harness.die_with_parent)
                self.addCleanup(load.wait)
                time.sleep(1)
                server.stop()
                self.assertEqual(server.output().count("\n"), 1, server.output())  # weir: ready, and no complaint
                self.assertFalse(self.xdp_attached())

    def allocations(self, stack, requests):
        """How often the server called malloc in its life, with that many keep-alive requests in it."""
        report = f"{self.root.name}/mallocs"
        preload = os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"],
                               "tests/support/libmalloc_report.so")
        self.environment = {"LD_PRELOAD": preload, "WEIR_MALLOC_REPORT": report}
        with self.site(stack) as server:
            self.environment = {}
            run_in(self.client, "ab", "-q", "-k", f"-n{requests}", "-c16", f"http://{server.ip}/small.txt")
        with open(report) as text:
            return int(text.read())

    @harness.both_stacks
    def test_no_allocation_per_request(self, stack):
        few, many = self.allocations(stack, 1000), self.allocations(stack, 21_000)
        self.assertGreater(few, 50)  # what starting takes: the count counts
        # A file is looked at again each second, which allocates a little; 20,000 requests take about one.
        self.assertLess(many - few, 200)

    @harness.both_stacks
    def test_load_tools(self, stack):
        with self.site(stack) as server:
            url = f"http://{server.ip}/index.html"
            run_in(self.client, "ab", "-q", "-k", "-n500", "-c16", url)
            before = self.free_frames(server)
            for options in (("-k", "-n10000", "-c16"), ("-n2000", "-c16")):
                report = run_in(self.client, "ab", "-q", *options, url).stdout
                self.assertRegex(report, r"Failed requests: +0\n")
                self.assertNotIn("Non-2xx", report)
            report = run_in(self.client, "wrk", "-t1", "-c64", "-d2", url).stdout
            self.assertIn("Requests/sec", report)
            self.assertNotIn("Socket errors", report)
            self.assertNotIn("Non-2xx", report)
            # No frame is lost: only what the rings hold at the moment differs.
            self.assertAlmostEqual(self.free_frames(server), before, delta=64 if stack == "xdp" else 512)

    def free_frames(self, server):
        """Of the pool, when no connection is left but in TIME-WAIT; those on the Fill ring count as free."""
        def over():
            counters = server.metrics()
            if "weir_tcp_sockets" in counters:
                return counters["weir_tcp_sockets"] == counters["weir_tcp_time_wait"]
            return counters["weir_kernel_sockets"] == 1
        harness.wait_until(over, "the end of all connections")
        counters = server.metrics()
        fill = sum(value for name, value in counters.items() if name.startswith("weir_link_fill_depth"))
        return counters["weir_frames_free"] + fill


if __name__ == "__main__":
    harness.main()
