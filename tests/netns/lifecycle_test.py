"""Coming up, going away, and everything that can be wrong at the start."""
import errno
import os
import signal
import socket
import threading
import time

import harness
from harness import CLIENT_IP, DEVICE, KERNEL_IP, WEIR_IP, binary, receive_exactly, run, run_in


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
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
            for thread in os.listdir(f"/proc/{server.pid}/task"):
                with open(f"/proc/{server.pid}/task/{thread}/status") as status:
                    effective = [line for line in status if line.startswith("CapEff:")]
                self.assertEqual(int(effective[0].split()[1], 16), 0)

    @harness.both_stacks
    def test_stops_under_load(self, stack):
        with self.serve("tcp_echo", "--port=7", stack=stack) as server:
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

    def test_two_shards_on_kernel_sockets(self):
        with self.serve("tcp_echo", "--port=7", "--shards=2", stack="kernel") as server:
            for _ in range(20):
                stream = self.connect(server.ip, 7)
                stream.sendall(b"hello")
                self.assertEqual(receive_exactly(stream, 5), b"hello")


class BadInputTest(harness.NetnsTest):
    """Each: one line that says what is wrong, exit code 1, the interface as it was."""

    def refused(self, *flags, says, program="tcp_echo", wrapper=(), preexec_fn=None):
        before = self.device_flags()
        done = run_in(self.server, *wrapper, binary(program), *flags, check=False, timeout=20, preexec_fn=preexec_fn)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("weir: "), lines[0])
        self.assertIn(says, lines[0])
        self.assertEqual(self.device_flags(), before)

    def test_interface(self):
        address = f"--address={WEIR_IP}/24"
        self.refused("--stack=xdp", "--interface=nowhere", address, says="no interface named nowhere")
        self.refused("--stack=xdp", address, says="--interface")
        self.refused("--stack=xdp", f"--interface={DEVICE}.5000", address, says="VLAN")
        run("ip", "-n", self.server, "link", "set", DEVICE, "down")
        self.refused(*self.xdp_flags(), says="is down")
        self.assertFalse(self.xdp_attached())

    def test_addresses(self):
        base = ["--stack=xdp", f"--interface={DEVICE}"]
        self.refused(*base, says="--address")
        self.refused(*base, "--address=10.0.0", says="--address")
        self.refused(*base, "--address=10.0.0.2/33", says="0 to 32")
        self.refused(*base, "--address=fe80::1/64", says="IPv6")
        self.refused(*self.xdp_flags(), "--gateway=192.0.2.1", says="--gateway")
        self.refused(*base, "--address=10.0.0.255/24", says="--address")
        self.refused(*self.xdp_flags(), f"--gateway={WEIR_IP}", says="--gateway")
        self.refused(*self.xdp_flags(), "--mtu=100", says="--mtu")
        self.refused(*self.xdp_flags(), "--mtu=9000", says="--mtu")
        self.assertFalse(self.xdp_attached())

    def test_choices(self):
        self.refused("--stack=both", says="kernel, xdp")
        self.refused("--poll=never", says="adaptive, busy, wait")
        self.refused(*self.xdp_flags(), "--zero_copy=perhaps", says="auto, on, off")
        self.refused(*self.xdp_flags(), "--xdp_attach=hard", says="auto, native, generic")
        self.refused("--shards=0", says="--shards")
        self.refused("--shards=-1", says="--shards")
        self.refused(*self.xdp_flags(), "--shards=2", says="--shards")
        self.refused("--metrics=nonsense", says="--metrics")
        self.refused("stray", says="stray")
        self.refused("--root=/does/not/exist", program="http_server", says="/does/not/exist")

    def test_flags(self):
        self.refused("--no_such_flag=1", says="no_such_flag")
        self.refused("--port=many", says="many")
        shown = run_in(self.server, binary("tcp_echo"), "--help")
        self.assertIn("--interface", shown.stdout)

    def test_zero_copy_that_the_driver_lacks(self):
        self.refused(*self.xdp_flags(), "--zero_copy=on", says="zero-copy")
        self.assertFalse(self.xdp_attached())

    def test_taken(self):
        with self.serve("tcp_echo", "--port=7"):
            self.refused(*self.xdp_flags(), says="XDP program")
            self.assertTrue(self.xdp_attached())
        with self.serve("tcp_echo", "--port=7", stack="kernel"):
            self.refused("--port=7", says="cannot listen on")
            self.refused("--port=8", f"--metrics={harness.METRICS}", says="--metrics")

    def test_a_kernel_that_lacks_something(self):
        socket_call, bpf_call, io_uring_setup = 41, 321, 425
        af_xdp = 44
        lacks = harness.without_system_call
        self.refused(*self.xdp_flags(), says="AF_XDP", preexec_fn=lacks(socket_call, errno.EAFNOSUPPORT, af_xdp))
        self.refused(*self.xdp_flags(), says="--stack=kernel", preexec_fn=lacks(bpf_call, errno.ENOSYS))
        self.refused(*self.xdp_flags(), says="--stack=kernel", preexec_fn=lacks(bpf_call, errno.EPERM))
        for error in (errno.ENOSYS, errno.EPERM):
            self.refused("--port=7", says="io_uring", preexec_fn=lacks(io_uring_setup, error))
        self.assertFalse(self.xdp_attached())

    def test_without_privileges(self):
        drop = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        self.refused(*self.xdp_flags(), says="needs root", wrapper=drop)
        self.assertFalse(self.xdp_attached())


if __name__ == "__main__":
    harness.main()
