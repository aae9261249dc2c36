"""TCP Fast Open (RFC 7413) with Linux at the other end, as client and as server, over IPv4 and IPv6 and both of weir's stacks.

Each time there are three connections: the first brings the cookie, the others' data goes with the SYN, which the kernel's
own counters tell of."""
import os
import socket
import struct
import subprocess
import tempfile
import threading

import harness
from harness import run, run_in

CLIENT_IP6, WEIR_IP6, KERNEL_IP6 = "fd91::1", "fd91::2", "fd91::3"
CONNECTIONS = 3
REQUEST, ANSWER = b"question " * 20, b"answer " * 20_000
MSG_FASTOPEN, TCP_FASTOPEN = 0x20000000, 23


class FastOpenTest(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        run("ip", "-n", self.client, "-6", "addr", "add", f"{CLIENT_IP6}/64", "dev", harness.DEVICE, "nodad")
        run("ip", "-n", self.server, "-6", "addr", "add", f"{KERNEL_IP6}/64", "dev", harness.DEVICE, "nodad")
        for namespace in (self.server, self.client):
            run("ip", "netns", "exec", namespace, "sysctl", "-q", "-w", "net.ipv4.tcp_fastopen=3",
                "net.ipv4.tcp_fastopen_blackhole_timeout_sec=0")
        self.root = tempfile.TemporaryDirectory(prefix="weir-test-")
        self.addCleanup(self.root.cleanup)
        for name, data in (("request", REQUEST), ("answer", ANSWER)):
            with open(self.path(name), "wb") as file:
                file.write(data)

    def path(self, name):
        return f"{self.root.name}/{name}"

    def pipe(self, stack, *flags):
        """The command of a weir program that has Fast Open on."""
        address = f"{harness.WEIR_IP}/24,{WEIR_IP6}/64"
        mine = ["--stack=kernel"] if stack == "kernel" else [
            "--stack=xdp", f"--interface={harness.DEVICE}", f"--address={address}", "--tcp=fastopen=3"]
        return [harness.test_binary("tcp_pipe"), "--fast_open", f"--connections={CONNECTIONS}", *mine, *flags]

    def got(self):
        with open(self.path("got"), "rb") as file:
            return file.read()

    def counter(self, name):
        """One of the client namespace's kernel counters, since it began."""
        for line in run_in(self.client, "nstat", "-asz", name).stdout.splitlines():
            if line.startswith(name + " "):
                return int(line.split()[1])
        raise AssertionError(f"no counter {name}")

    def addresses(self, stack):
        return ((harness.KERNEL_IP, KERNEL_IP6) if stack == "kernel" else (harness.WEIR_IP, WEIR_IP6))

    @harness.both_stacks
    def test_the_kernel_connects(self, stack):
        for ip in self.addresses(stack):
            active = self.counter("TcpExtTCPFastOpenActive")
            server = harness.Server(self.server, ip, self.pipe(
                stack, "--listen=7", f"--send={self.path('answer')}", f"--receive={self.path('got')}"))
            try:
                for _ in range(CONNECTIONS):
                    with harness.inside(self.client):
                        stream = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
                    with stream:
                        # Not settimeout(): then it does not block, and the first sendto(), without a cookie, would not wait.
                        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
                            stream.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 20, 0))
                        self.assertEqual(stream.sendto(REQUEST, MSG_FASTOPEN, (ip, 7)), len(REQUEST))
                        stream.shutdown(socket.SHUT_WR)
                        self.assertEqual(harness.receive_exactly(stream, len(ANSWER) + 1), ANSWER)
                    harness.wait_until(lambda: self.got() == REQUEST, "the request")
                self.assertEqual(server.process.wait(timeout=30), 0, server.output())
            finally:
                server.kill()
            self.assertEqual(self.counter("TcpExtTCPFastOpenActive") - active, CONNECTIONS - 1)
            self.assertEqual(server.output().count("data of the SYN taken"), CONNECTIONS - 1, server.output())

    @harness.both_stacks
    def test_the_kernel_listens(self, stack):
        for ip in (harness.CLIENT_IP, CLIENT_IP6):
            family = socket.AF_INET6 if ":" in ip else socket.AF_INET
            passive = self.counter("TcpExtTCPFastOpenPassive")
            with harness.inside(self.client):
                listener = socket.socket(family)
            listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)
            listener.bind((ip, 7))
            listener.listen(16)
            listener.settimeout(20)
            got = []

            def serve():
                for _ in range(CONNECTIONS):
                    stream, _ = listener.accept()
                    with stream:
                        got.append(harness.receive_exactly(stream, len(REQUEST) + 1))
                        stream.sendall(ANSWER)

            with listener:
                thread = threading.Thread(target=serve)
                thread.start()
                target = f"[{ip}]:7" if ":" in ip else f"{ip}:7"
                done = subprocess.run(
                    ["ip", "netns", "exec", self.server, *self.pipe(
                        stack, f"--connect={target}", f"--send={self.path('request')}",
                        f"--receive={self.path('got')}")],
                    capture_output=True, text=True, timeout=60, check=False, preexec_fn=harness.die_with_parent)
                thread.join()
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertEqual(got, [REQUEST] * CONNECTIONS)
            self.assertEqual(self.got(), ANSWER)
            self.assertEqual(self.counter("TcpExtTCPFastOpenPassive") - passive, CONNECTIONS - 1)
            self.assertEqual(done.stdout.count("data of the SYN taken"), CONNECTIONS - 1, done.stdout)
            os.remove(self.path("got"))


if __name__ == "__main__":
    harness.main()
