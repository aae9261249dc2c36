"""tcp_proxy between kernel clients and kernel servers, on both stacks and over both families: web fetches through it,
half-close, slow readers, targets that are not there, timeouts, resets, and its end."""
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import harness
from harness import receive_exactly, run_in, wait_until

CLIENT_IP6, WEIR_IP6, KERNEL_IP6 = "fd91::1", "fd91::2", "fd91::3"
SIZE = 3_000_000
PORT = 9000  # of the target


def bracketed(ip):
    return f"[{ip}]" if ":" in ip else ip


def digest(data):
    return hashlib.sha256(data).hexdigest()


class ProxyTest(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        for namespace, ip in ((self.client, CLIENT_IP6), (self.server, KERNEL_IP6)):
            harness.run("ip", "-n", namespace, "-6", "addr", "add", f"{ip}/64", "dev", harness.DEVICE, "nodad")

    def xdp_flags(self, ip=harness.WEIR_IP):
        return ["--stack=xdp", f"--interface={harness.DEVICE}", f"--address={ip}/24,{WEIR_IP6}/64"]

    def proxy(self, stack, *flags, target=f"{harness.CLIENT_IP}:{PORT}"):
        return self.serve("tcp_proxy", "--port=80", f"--target={target}", *flags, stack=stack)

    def listen(self, ip=harness.CLIENT_IP, backlog=64):
        """Where the proxy connects to."""
        with harness.inside(self.client):
            listener = socket.create_server((ip, PORT), backlog=backlog,
                                            family=socket.AF_INET6 if ":" in ip else socket.AF_INET)
        self.addCleanup(listener.close)
        listener.settimeout(20)
        return listener

    def through(self, server, listener):
        """Both ends of a connection through the proxy: the client's and the target's."""
        near = self.connect(server.ip, 80)
        far, _ = listener.accept()
        self.addCleanup(far.close)
        far.settimeout(20)
        return near, far

    def assert_reset(self, stream):
        with self.assertRaises(ConnectionResetError):
            while stream.recv(1 << 16):
                pass

    def fetch_pages(self, stack):
        """Pairs of families, the last ones different on both sides."""
        root = self.enterContext(tempfile.TemporaryDirectory(prefix="weir-test-"))
        page = os.urandom(SIZE)
        for name, content in (("page", page), ("small", b"<h1>small</h1>\n")):
            with open(f"{root}/{name}", "wb") as file:
                file.write(content)
        with open(f"{root}/nginx.conf", "w", encoding="ascii") as file:
            temporary = " ".join(f"{kind}_temp_path {root}/{kind};" for kind in
                                 ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            file.write(f"""daemon off; user root; worker_processes 1; pid {root}/pid; error_log stderr; events {{}}
                           http {{ access_log off; sendfile on; tcp_nopush on; {temporary}
                                   server {{ listen {PORT}; listen [::]:{PORT}; root {root}; }} }}""")
        self.start("nginx", "-c", f"{root}/nginx.conf", "-p", root)
        wait_until(lambda: f":{PORT} " in run_in(self.client, "ss", "-Hltn").stdout, "nginx")
        ours = (harness.WEIR_IP, WEIR_IP6) if stack == "xdp" else (harness.KERNEL_IP, KERNEL_IP6)
        theirs = (harness.CLIENT_IP, CLIENT_IP6)
        for ip, target in (*zip(ours, theirs), *zip(ours, reversed(theirs))):
            with self.subTest(to=ip, target=target), self.proxy(stack, target=f"{bracketed(target)}:{PORT}") as server:
                url, got = f"http://{bracketed(ip)}", f"{root}/got"
                run_in(self.client, "curl", "-sS", "--fail", "-o", got, f"{url}/page")
                with open(got, "rb") as file:
                    self.assertEqual(digest(file.read()), digest(page))
                os.remove(got)
                report = run_in(self.client, "ab", "-q", "-k", "-n1000", "-c64", f"{url}/small").stdout
                self.assertRegex(report, r"Failed requests: +0\n")
                self.assertNotIn("Non-2xx", report)
                # An IPv6 segment has room for less: an IPv4 one is copied there.
                if stack == "xdp" and (":" in ip) == (":" in target):
                    self.assertEqual(server.metrics()["weir_copied_bytes_total"], 0)

    def test_web_server_on_xdp(self):
        self.fetch_pages("xdp")

    def test_web_server_on_kernel_sockets(self):
        self.fetch_pages("kernel")

    def start(self, *command):
        """A peer that goes on by itself."""
        process = subprocess.Popen(["ip", "netns", "exec", self.client, *command], stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, preexec_fn=harness.die_with_parent)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

    @harness.both_stacks
    def test_half_close(self, stack):
        """Each side's FIN arrives as one, and what the other has to say after it does, too."""
        said, answered = os.urandom(SIZE), os.urandom(SIZE)
        with self.listen() as listener, self.proxy(stack) as server:
            for client_first in (True, False):
                near, far = self.through(server, listener)
                first, second = (near, far) if client_first else (far, near)
                sender = threading.Thread(target=lambda: (first.sendall(said), first.shutdown(socket.SHUT_WR)))
                sender.start()
                self.assertEqual(digest(receive_exactly(second, SIZE + 1)), digest(said))  # and then the FIN
                sender.join()
                sender = threading.Thread(target=lambda: (second.sendall(answered), second.close()))
                sender.start()
                self.assertEqual(digest(receive_exactly(first, SIZE + 1)), digest(answered))
                sender.join()
                first.close()
            if stack == "xdp":
                self.assertEqual(server.metrics()["weir_copied_bytes_total"], 0)
                wait_until(lambda: server.metrics()["weir_tcp_sockets"] == server.metrics()["weir_tcp_time_wait"],
                           "the end of the connections")

    @harness.both_stacks
    def test_64_connections_at_once(self, stack):
        def echo(stream):
            with stream:
                while data := stream.recv(1 << 16):
                    stream.sendall(data)

        def serve():
            while True:
                try:
                    stream, _ = listener.accept()
                except OSError:
                    return
                stream.settimeout(20)
                threading.Thread(target=echo, args=(stream,)).start()

        def ask(stream):
            data = os.urandom(300_000)
            sender = threading.Thread(target=lambda: (stream.sendall(data), stream.shutdown(socket.SHUT_WR)))
            sender.start()
            results.append(receive_exactly(stream, len(data) + 1) == data)
            sender.join()

        results = []
        with self.listen() as listener, self.proxy(stack) as server:
            acceptor = threading.Thread(target=serve)
            acceptor.start()
            streams = [self.connect(server.ip, 80) for _ in range(64)]
            threads = [threading.Thread(target=ask, args=(stream,)) for stream in streams]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
        self.assertEqual(results, [True] * 64)

    @harness.both_stacks
    def test_slow_reader_stops_the_sender(self, stack):
        """Both ways; what is under way stays within the buffers of four sockets, and another connection goes on."""
        bound, total = 16 << 20, 64 << 20
        with self.listen() as listener, self.proxy(stack) as server:
            for client_sends in (True, False):
                near, far = self.through(server, listener)
                sender, reader = (near, far) if client_sends else (far, near)
                block = os.urandom(1 << 20)
                sent = []

                def send():
                    for _ in range(total // len(block)):
                        sender.sendall(block)
                        sent.append(len(block))
                    sender.shutdown(socket.SHUT_WR)

                sender.settimeout(60)
                thread = threading.Thread(target=send)
                thread.start()
                seen = [-1]

                def stalled():
                    seen.append(sum(sent))
                    threading.Event().wait(0.5)
                    return seen[-1] == seen[-2]

                wait_until(stalled, "the sender's stop")
                self.assertLess(seen[-1], bound)
                other_near, other_far = self.through(server, listener)
                other_near.sendall(b"passing by")
                self.assertEqual(receive_exactly(other_far, 10), b"passing by")
                expected, got, left = hashlib.sha256(), hashlib.sha256(), total
                for _ in range(total // len(block)):
                    expected.update(block)
                while left > 0 and (data := reader.recv(1 << 20)):
                    got.update(data)
                    left -= len(data)
                thread.join()
                self.assertEqual((left, reader.recv(1)), (0, b""))
                self.assertEqual(got.hexdigest(), expected.hexdigest())

    @harness.both_stacks
    def test_target_down(self, stack):
        with self.proxy(stack) as server:
            for _ in range(3):
                with self.assertRaises(ConnectionResetError):  # it may come before connect(2) has returned
                    self.connect(server.ip, 80).recv(1)
            # It is tried anew for each connection.
            with self.listen() as listener:
                near, far = self.through(server, listener)
                near.sendall(b"there")
                self.assertEqual(receive_exactly(far, 5), b"there")

    @harness.both_stacks
    def test_connect_timeout(self, stack):
        with self.listen(backlog=0) as listener, self.proxy(stack, "--connect_timeout=1s") as server:
            # Linux drops the SYNs of whom a full accept queue has no room for.
            crowd = []
            for _ in range(2):
                with harness.inside(self.client):
                    one = socket.socket()
                self.addCleanup(one.close)
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
                crowd.append(one)
            near = self.connect(server.ip, 80)
            self.assert_reset(near)

    @harness.both_stacks
    def test_idle_timeout(self, stack):
        """One on which only the target talks stays; one on which nobody does is reset on both sides."""
        with self.listen() as listener, self.proxy(stack, "--idle_timeout=4s") as server:
            quiet_near, quiet_far = self.through(server, listener)
            near, far = self.through(server, listener)
            stop = threading.Event()
            talked = []

            def talk():
                while not stop.wait(0.2):
                    far.sendall(b"x")
                    talked.append(near.recv(1))

            thread = threading.Thread(target=talk)
            thread.start()
            self.assert_reset(quiet_near)
            self.assert_reset(quiet_far)
            threading.Event().wait(2)
            stop.set()
            thread.join()
            self.assertGreater(len(talked), 10)
            self.assertEqual(set(talked), {b"x"})

    @harness.both_stacks
    def test_reset_is_passed_on(self, stack):
        with self.listen() as listener, self.proxy(stack) as server:
            for client_resets in (True, False):
                near, far = self.through(server, listener)
                first, second = (near, far) if client_resets else (far, near)
                first.sendall(b"hello")
                self.assertEqual(receive_exactly(second, 5), b"hello")
                harness.reset(first)
                self.assert_reset(second)

    @harness.both_stacks
    def test_stop_lets_connections_end(self, stack):
        """After SIGTERM nobody is taken any more; a transfer goes on to its end, and who does not end is reset."""
        with self.listen() as listener, self.proxy(stack, "--drain=4s") as server:
            near, far = self.through(server, listener)
            idle_near, idle_far = self.through(server, listener)
            for one, other in ((near, far), (idle_near, idle_far)):
                one.sendall(b"hello")
                self.assertEqual(receive_exactly(other, 5), b"hello")
            server.process.send_signal(signal.SIGTERM)

            def refused():
                try:
                    self.connect(server.ip, 80).close()
                    return False
                except ConnectionError:
                    return True

            wait_until(refused, "the listener's end")
            data = os.urandom(SIZE)
            sender = threading.Thread(target=lambda: (far.sendall(data), far.close()))
            sender.start()
            self.assertEqual(digest(receive_exactly(near, SIZE + 1)), digest(data))
            sender.join()
            near.close()
            self.assert_reset(idle_near)
            self.assert_reset(idle_far)
            self.assertEqual(server.process.wait(timeout=30), 0, server.output())

    @harness.both_stacks
    def test_target_by_name(self, stack):
        """The namespace has an /etc/hosts of its own (ip-netns(8)); nobody listens on the first address in it."""
        folder = f"/etc/netns/{self.server}"
        os.makedirs(folder, exist_ok=True)
        self.addCleanup(lambda: os.path.isdir(folder) and shutil.rmtree(folder))
        with open(f"{folder}/hosts", "w", encoding="ascii") as file:
            file.write(f"{CLIENT_IP6} target\n{harness.CLIENT_IP} target\n")
        with self.listen() as listener, self.proxy(stack, target=f"target:{PORT}") as server:
            near, far = self.through(server, listener)
            near.sendall(b"hello")
            self.assertEqual(receive_exactly(far, 5), b"hello")

    def test_what_is_wrong_with_the_target_is_said(self):
        for target, what in (("", "takes HOST:PORT"), ("nowhere", "takes HOST:PORT"), ("host:99999", "takes HOST:PORT"),
                             ("fe80::1:80", "takes HOST:PORT"), ("name.invalid..:80", "name.invalid")):
            done = run_in(self.server, harness.binary("tcp_proxy"), "--port=80", f"--target={target}", check=False)
            self.assertEqual(done.returncode, 1, target)
            self.assertIn(what, done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)


if __name__ == "__main__":
    harness.main()
