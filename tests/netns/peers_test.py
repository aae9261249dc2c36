"""Unmodified programs at the other end, over IPv4 and IPv6: curl, wget, wrk and ab fetch from weir; nc and socat send to
it, receive from it and both, as clients and as servers; and weir fetches from web servers on kernel sockets, nginx among
them, and sends to and receives from iperf3."""
import hashlib
import os
import subprocess
import tempfile

import harness
from harness import run_in, wait_until

CLIENT_IP6, WEIR_IP6 = "fd91::1", "fd91::2"
SIZE = 3_000_000


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def bracketed(ip):
    return f"[{ip}]" if ":" in ip else ip


class PeersTest(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        harness.run("ip", "-n", self.client, "-6", "addr", "add", f"{CLIENT_IP6}/64", "dev", harness.DEVICE, "nodad")
        self.root = tempfile.TemporaryDirectory(prefix="weir-test-")
        self.addCleanup(self.root.cleanup)
        for name in ("theirs", "ours"):
            with open(self.path(name), "wb") as file:
                file.write(os.urandom(SIZE))
        with open(self.path("small.html"), "wb") as file:
            file.write(b"<h1>small</h1>\n")

    def path(self, name):
        return f"{self.root.name}/{name}"

    def xdp_flags(self, ip=harness.WEIR_IP):
        return ["--stack=xdp", f"--interface={harness.DEVICE}", f"--address={ip}/24,{WEIR_IP6}/64"]

    def both_families(self):
        for ours, theirs in ((harness.WEIR_IP, harness.CLIENT_IP), (WEIR_IP6, CLIENT_IP6)):
            with self.subTest(address=ours):
                yield ours, theirs

    def start(self, *command, output="/dev/null", stdin="/dev/null"):
        """A peer on kernel sockets that goes on by itself."""
        with open(output, "wb") as out, open(stdin, "rb") as source:
            process = subprocess.Popen(["ip", "netns", "exec", self.client, *command], stdin=source, stdout=out,
                                       stderr=subprocess.PIPE, preexec_fn=harness.die_with_parent)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        self.addCleanup(process.stderr.close)
        return process

    def wait_for_listener(self, port):
        wait_until(lambda: f":{port} " in run_in(self.client, "ss", "-Hltn").stdout, f"a listener on port {port}")

    def pipe(self, *flags):
        """weir's tcp_pipe, to its end."""
        run_in(self.server, harness.test_binary("tcp_pipe"), *self.xdp_flags(), *flags)

    def finish(self, process):
        self.assertEqual(process.wait(timeout=60), 0, process.stderr.read())

    def test_web_clients(self):
        with self.serve("http_server", f"--root={self.root.name}", "--port=80") as server:
            for ip, _ in self.both_families():
                url, got = f"http://{bracketed(ip)}", self.path("got")
                for fetch in (("curl", "-sS", "--fail", "-o", got), ("wget", "-q", "--no-proxy", "-O", got)):
                    run_in(self.client, *fetch, f"{url}/theirs")
                    self.assertEqual(digest(got), digest(self.path("theirs")), fetch[0])
                    os.remove(got)
                for options in (("-n2000", "-c16"), ("-k", "-n5000", "-c16")):
                    report = run_in(self.client, "ab", "-q", *options, f"{url}/small.html").stdout
                    self.assertRegex(report, r"Failed requests: +0\n")
                    self.assertNotIn("Non-2xx", report)
                report = run_in(self.client, "wrk", "-t1", "-c32", "-d1", f"{url}/small.html").stdout
                self.assertIn("Requests/sec", report)
                self.assertNotIn("Socket errors", report)
                self.assertNotIn("Non-2xx", report)
            self.assertGreater(server.metrics()["weir_tcp_accepted_total"], 4000)

    def test_clients_of_an_echo_server(self):
        with self.serve("tcp_echo", "--port=7"):
            for ip, _ in self.both_families():
                for command in (("nc", "-N", ip, "7"), ("socat", "-t30", "-", f"TCP:{bracketed(ip)}:7")):
                    self.finish(self.start(*command, stdin=self.path("theirs"), output=self.path("got")))
                    self.assertEqual(digest(self.path("got")), digest(self.path("theirs")), command[0])

    def test_clients_that_send_and_receive_different_things(self):
        for ip, _ in self.both_families():
            for command in (("nc", "-N", ip, "7"), ("socat", "-t30", "-", f"TCP:{bracketed(ip)}:7")):
                got_there, got_here = self.path("got-there"), self.path("got-here")
                server = harness.Server(self.server, ip, [
                    harness.test_binary("tcp_pipe"), "--listen=7", f"--send={self.path('ours')}",
                    f"--receive={got_here}", *self.xdp_flags()])
                try:
                    self.finish(self.start(*command, stdin=self.path("theirs"), output=got_there))
                    self.assertEqual(server.process.wait(timeout=60), 0, server.output())
                finally:
                    server.kill()
                self.assertEqual(digest(got_there), digest(self.path("ours")), command[0])
                self.assertEqual(digest(got_here), digest(self.path("theirs")), command[0])

    def test_servers_that_send_and_receive_different_things(self):
        for _, ip in self.both_families():
            family = "6" if ":" in ip else "4"
            # Not nc: one that listens ends with the peer's FIN, whatever it still has to send.
            got_there, got_here = self.path("got-there"), self.path("got-here")
            peer = self.start("socat", "-t30", "-", f"TCP{family}-LISTEN:7002,reuseaddr", stdin=self.path("theirs"),
                              output=got_there)
            self.wait_for_listener(7002)
            self.pipe(f"--connect={bracketed(ip)}:7002", f"--send={self.path('ours')}", f"--receive={got_here}")
            self.finish(peer)
            self.assertEqual(digest(got_there), digest(self.path("ours")))
            self.assertEqual(digest(got_here), digest(self.path("theirs")))

    def test_sends_to_nc(self):
        for _, ip in self.both_families():
            family = "-6" if ":" in ip else "-4"
            peer = self.start("nc", "-l", family, "7001", stdin="/dev/null", output=self.path("got"))
            self.wait_for_listener(7001)
            self.pipe(f"--connect={bracketed(ip)}:7001", f"--send={self.path('ours')}")
            self.finish(peer)
            self.assertEqual(digest(self.path("got")), digest(self.path("ours")))

    def test_one_way(self):
        """Only sent, or only received: the other direction is a FIN from the start."""
        for _, ip in self.both_families():
            family = "6" if ":" in ip else "4"
            for sender in (True, False):
                got = self.path("got")
                command = ("socat", "-u", f"TCP{family}-LISTEN:7003,reuseaddr", "-") if sender else (
                    "socat", "-u", "-", f"TCP{family}-LISTEN:7003,reuseaddr")
                peer = self.start(*command, stdin="/dev/null" if sender else self.path("theirs"),
                                  output=got if sender else "/dev/null")
                self.wait_for_listener(7003)
                self.pipe(f"--connect={bracketed(ip)}:7003",
                          *([f"--send={self.path('ours')}"] if sender else [f"--receive={got}"]))
                self.finish(peer)
                self.assertEqual(digest(got), digest(self.path("ours" if sender else "theirs")))

    def test_fetches_from_a_web_server(self):
        self.start("python3", "-m", "http.server", "--bind", "::", "--directory", self.root.name, "8000")
        self.wait_for_listener(8000)
        with open(self.path("request"), "w", encoding="ascii") as file:
            file.write("GET /theirs HTTP/1.0\r\n\r\n")
        for _, ip in self.both_families():
            self.pipe(f"--connect={bracketed(ip)}:8000", f"--send={self.path('request')}",
                      f"--receive={self.path('answer')}")
            with open(self.path("answer"), "rb") as file:
                head, _, body = file.read().partition(b"\r\n\r\n")
            self.assertIn(b" 200 OK", head)
            self.assertEqual(hashlib.sha256(body).hexdigest(), digest(self.path("theirs")))

    def test_fetches_from_nginx(self):
        with open(self.path("nginx.conf"), "w", encoding="ascii") as file:
            file.write(f"""
                daemon off; user root; worker_processes 1; pid {self.path("nginx.pid")}; error_log stderr;
                events {{}}
                http {{
                    access_log off; client_body_temp_path {self.path("body")}; proxy_temp_path {self.path("proxy")};
                    fastcgi_temp_path {self.path("fastcgi")}; uwsgi_temp_path {self.path("uwsgi")};
                    scgi_temp_path {self.path("scgi")}; sendfile on; tcp_nopush on;
                    server {{ listen 8001; listen [::]:8001; root {self.root.name}; }}
                }}""")
        self.start("nginx", "-c", self.path("nginx.conf"), "-p", self.root.name)
        self.wait_for_listener(8001)
        with open(self.path("request"), "w", encoding="ascii") as file:
            file.write("GET /theirs HTTP/1.1\r\nHost: peer\r\n\r\n" * 2)
            file.write("GET /ours HTTP/1.1\r\nHost: peer\r\nConnection: close\r\n\r\n")
        for _, ip in self.both_families():
            # A client that has sent its FIN has gone away for nginx, which then breaks off, to kernel clients, too.
            self.pipe(f"--connect={bracketed(ip)}:8001", "--nohalf_close", f"--send={self.path('request')}",
                      f"--receive={self.path('answer')}")
            with open(self.path("answer"), "rb") as file:
                rest = file.read()
            for name in ("theirs", "theirs", "ours"):  # one connection for all of them
                head, _, rest = rest.partition(b"\r\n\r\n")
                self.assertIn(b" 200 OK", head)
                self.assertEqual(hashlib.sha256(rest[:SIZE]).hexdigest(), digest(self.path(name)))
                rest = rest[SIZE:]
            self.assertEqual(rest, b"")

    def test_iperf3(self):
        self.start("iperf3", "-s", "-p", "5201")
        self.wait_for_listener(5201)
        for _, ip in self.both_families():
            for direction in ("--noreverse", "--reverse"):
                done = run_in(self.server, harness.test_binary("iperf3_client"), *self.xdp_flags(),
                              f"--target={bracketed(ip)}:5201", "--bytes=20000000", direction)
                self.assertIn("the server counted", done.stdout)


if __name__ == "__main__":
    harness.main()
