"""Coming up, and going away, whichever way."""
import os
import re
import signal
import socket
import threading
import time

import harness
from harness import CLIENT_IP, DEVICE, KERNEL_IP, WEIR_IP, receive_exactly, run, run_in


class LifecycleTest(harness.NetnsTest):
    def test_kill_leaves_nothing_and_the_kernel_answers_again(self):
        # The kernel has the same address: weir takes it over while it runs.
        run("ip", "-n", self.server, "addr", "add", f"{WEIR_IP}/24", "dev", DEVICE)
        with harness.inside(self.server):
            kernel = socket.create_server((WEIR_IP, 80))
        self.addCleanup(kernel.close)
        with self.serve("tcp_echo", "--port=7") as server:
            self.assertTrue(self.xdp_attached())
            run_in(self.client, "ping", "-c1", "-W2", WEIR_IP)
            echo = self.connect(WEIR_IP, 7)
            echo.sendall(b"weir")
            self.assertEqual(receive_exactly(echo, 4), b"weir")
            with self.assertRaises(ConnectionRefusedError):
                self.connect(WEIR_IP, 80)
            os.kill(server.pid, signal.SIGKILL)
            server.process.wait()
        for _ in range(50):  # the kernel takes its time to free a dead process
            if not self.xdp_attached():
                break
            time.sleep(0.1)
        self.assertFalse(self.xdp_attached())
        run_in(self.client, "ping", "-c1", "-W2", WEIR_IP)
        self.connect(WEIR_IP, 80)  # now it is the kernel's

    def test_kill_under_load(self):
        before = self.device()
        for _ in range(3):
            with self.serve("tcp_echo", "--port=7") as server:
                streams = [self.connect(server.ip, 7) for _ in range(8)]

                def load(stream):
                    try:
                        while True:
                            stream.sendall(b"x" * 50_000)
                            stream.recv(1 << 16)
                    except OSError:
                        pass

                threads = [threading.Thread(target=load, args=(stream,)) for stream in streams]
                for thread in threads:
                    thread.start()
                time.sleep(0.3)
                server.kill()
                for stream in streams:
                    stream.shutdown(socket.SHUT_RDWR)
                for thread in threads:
                    thread.join()
            harness.wait_until(lambda: self.device() == before, "the interface as it was")

    def test_every_other_end(self):
        before = self.device()
        for end in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV):
            with self.serve("tcp_echo", "--port=7") as server:
                run_in(self.client, "ping", "-c1", "-W2", server.ip)
                server.process.send_signal(end)
                code = server.process.wait(timeout=30)
                self.assertEqual(code == 0, end in (signal.SIGINT, signal.SIGTERM), server.output())
            harness.wait_until(lambda: self.device() == before, "the interface as it was")

    def test_starts_again_at_once(self):
        for _ in range(5):
            with self.serve("tcp_echo", "--port=7") as server:
                run_in(self.client, "ping", "-c1", "-W2", server.ip)
            self.assertFalse(self.xdp_attached())

    def test_kernel_address_on_the_same_interface_goes_on(self):
        with harness.inside(self.server):
            kernel = socket.create_server((KERNEL_IP, 80))
        self.addCleanup(kernel.close)
        with self.serve("tcp_echo", "--port=7"):
            run_in(self.client, "ping", "-c1", "-W2", KERNEL_IP)
            self.connect(KERNEL_IP, 80)
            run_in(self.server, "ping", "-c1", "-W2", CLIENT_IP)

    @harness.both_stacks
    def test_capabilities_are_dropped(self, stack):
        with self.serve("tcp_echo", "--port=7", "--shards=2", stack=stack) as server:
            for thread in os.listdir(f"/proc/{server.pid}/task"):
                with open(f"/proc/{server.pid}/task/{thread}/status") as text:
                    status = dict(line.rstrip("\n").split(":\t", 1) for line in text)
                for capabilities in ("CapEff", "CapPrm", "CapInh", "CapAmb"):
                    self.assertEqual(int(status[capabilities], 16), 0, f"{status['Name']}: {capabilities}")
                self.assertEqual(status["NoNewPrivs"], "1")

    @harness.both_stacks
    def test_stops_under_load(self, stack):
        for shards in (1, 2):
            with self.subTest(shards=shards):
                self.stop_under_load(stack, shards)

    def stop_under_load(self, stack, shards):
        with self.serve("tcp_echo", "--port=7", f"--shards={shards}", stack=stack) as server:
            streams = [self.connect(server.ip, 7) for _ in range(16)]
            stopping = threading.Event()

            def load(stream):
                try:
                    while not stopping.is_set():
                        stream.sendall(b"x" * 1000)
                        receive_exactly(stream, 1000)
                except OSError:
                    pass

            threads = [threading.Thread(target=load, args=(stream,)) for stream in streams]
            for thread in threads:
                thread.start()
            time.sleep(0.5)
            server.stop()
            stopping.set()
            for stream in streams:
                stream.close()
            for thread in threads:
                thread.join()

    @harness.both_stacks
    def test_idle_connections_cost_nothing(self, stack):
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            streams = [self.connect(server.ip, 7) for _ in range(100)]
            for stream in streams:
                stream.sendall(b"x")
                receive_exactly(stream, 1)
            before = server.metrics()
            time.sleep(2)
            after = server.metrics()
            # Asking for the metrics takes a handful of system calls, and some turns of spinning before each sleep; a
            # loop that does not sleep would have made hundreds of thousands, a timer of a millisecond two thousand.
            for name, most in (("turns", 10_000), ("sleeps", 100), ("uring_syscalls", 200)):
                self.assertLess(after[f"weir_{name}_total"] - before[f"weir_{name}_total"], most, name)

    @harness.both_stacks
    def test_metrics_page(self, stack):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))  # of the source tree
        with open(f"{root}/netstack/drop_reason.def") as text:
            reasons = re.findall(r"^DROP_REASON\(k(\w+),", text.read(), re.MULTILINE)
        self.assertGreater(len(reasons), 50)
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            streams = [self.connect(server.ip, 7) for _ in range(3)]
            for stream in streams:
                stream.sendall(b"x")
                receive_exactly(stream, 1)
            # The port takes anything, and goes on.
            for text in (b"", b"\r\n\r\n", bytes(100_000), b"GET / HTTP/1.1\r\nX: " + b"x" * 9000):
                with harness.inside(self.server):
                    client = socket.create_connection(("127.0.0.1", 9100), timeout=20)
                try:
                    client.sendall(text)
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(1 << 16):
                        pass
                except OSError:
                    pass
                client.close()
            metrics = server.metrics()
        listed = re.findall(r'^weir_packets_total outcome="(\w+)"$', "\n".join(metrics), re.MULTILINE)
        self.assertEqual(listed, reasons if stack == "xdp" else [])
        if stack == "xdp":
            self.assertEqual(metrics["weir_tcp_accepted_total"], 3)
            self.assertTrue([name for name in metrics if name.startswith("weir_steer_frames_total")])
        else:
            self.assertEqual(metrics["weir_kernel_sockets"], 4)  # and the listener

    @harness.both_stacks
    def test_sigusr1_shows_what_tasks_wait_for(self, stack):
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            stream = self.connect(server.ip, 7)
            stream.sendall(b"x")
            receive_exactly(stream, 1)
            os.kill(server.pid, signal.SIGUSR1)
            for _ in range(50):
                if "tcp receive" in server.output():
                    break
                time.sleep(0.1)
            self.assertIn("tcp accept", server.output())
            self.assertIn("tcp receive", server.output())
            stream.sendall(b"y")
            self.assertEqual(receive_exactly(stream, 1), b"y")  # it goes on

    def test_poll_modes_and_capture(self):
        capture = f"/tmp/weir-test-{os.getpid()}.pcap"
        self.addCleanup(lambda: os.path.exists(capture) and os.unlink(capture))
        for mode in ("busy", "wait", "adaptive"):
            with self.serve("tcp_echo", "--port=7", f"--poll={mode}", f"--pcap={capture}") as server:
                run_in(self.client, "ping", "-c2", "-i0.2", "-W2", server.ip)
        text = run("tcpdump", "-nr", capture).stdout
        self.assertIn("ICMP echo request", text)
        self.assertIn("ICMP echo reply", text)

    @harness.both_stacks
    def test_says_how_much_memory_it_has(self, stack):
        for flags, frames, size in (([], 16384, 2048), (["--frames=1024"], 1024, 2048),
                                    (["--frames=5000", "--frame_size=4096"], 5000, 4096)):
            with self.serve("tcp_echo", "--port=7", *flags, stack=stack) as server:
                self.assertRegex(server.output(), f"; 1 shard with {frames} frames of {size} bytes, "
                                                  rf"{frames * size >> 20} MiB in (2 MiB pages \(\w+\)|4 KiB pages)\n")
                self.assertEqual(server.metrics()["weir_frames"], frames)
                stream = self.connect(server.ip, 7)
                stream.sendall(b"x" * 100_000)
                self.assertEqual(receive_exactly(stream, 100_000), b"x" * 100_000)

    def test_udp_spreads_over_shards(self):
        """Each has a socket on the port (SO_REUSEPORT), and a flow stays with one of them."""
        with self.serve("udp_echo", "--port=7", "--shards=2", stack="kernel") as server:
            def resumes():
                page = run_in(self.server, "curl", "-sS", f"http://{harness.METRICS}/metrics").stdout
                return [int(n) for n in re.findall(r'weir_resumes_total\{shard="\d"\} (\d+)', page)]

            before = resumes()
            self.assertEqual(2, len(before))
            for number in range(40):
                with harness.inside(self.client), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
                    udp.settimeout(20)
                    udp.connect((server.ip, 7))
                    for _ in range(5):
                        udp.send(b"%d" % number)
                        self.assertEqual(udp.recv(100), b"%d" % number)
            for was, now in zip(before, resumes()):
                self.assertGreater(now - was, 25)  # of 200 datagrams, in 40 flows

    def test_two_shards_on_kernel_sockets(self):
        with self.serve("tcp_echo", "--port=7", "--shards=2", stack="kernel") as server:
            for _ in range(20):
                stream = self.connect(server.ip, 7)
                stream.sendall(b"hello")
                self.assertEqual(receive_exactly(stream, 5), b"hello")


if __name__ == "__main__":
    harness.main()
