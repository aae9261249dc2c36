"""weir's TCP against Linux over a cable that loses, doubles and reorders frames: every byte arrives, both ways.

8 MiB in all by default; the full amount, and a seed that failed:

    bazel test //tests/netns:lossy_test --test_arg=--megabytes=100
    bazel test //tests/netns:lossy_test --test_env=WEIR_TEST_SEED=17
"""
import contextlib
import hashlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

import harness
from harness import run

CONNECTIONS = 64
ETHERNET = 14  # bytes of its header
CLIENT_IP6, WEIR_IP6 = "fd91::1", "fd91::2"
megabytes = 8


class LossyTest(harness.NetnsTest):
    def setUp(self):
        """The client and the server are not joined by a cable, but each with the namespace in the middle."""
        super().setUp()
        self.middle = self.server[:-1] + "m"
        run("ip", "netns", "add", self.middle)
        self.addCleanup(run, "ip", "netns", "del", self.middle, check=False)
        run("ip", "-n", self.server, "link", "del", harness.DEVICE)
        for host, device in ((self.server, "left0"), (self.client, "right0")):
            run("ip", "link", "add", device, "netns", self.middle, "type", "veth", "peer", "name", harness.DEVICE,
                "netns", host)
            run("ip", "-n", self.middle, "link", "set", device, "up")
            # Frames as they would be on a cable, with checksums.
            for namespace, name in ((host, harness.DEVICE), (self.middle, device)):
                run("ip", "netns", "exec", namespace, "ethtool", "-K", name, "tx", "off", "tso", "off", "gso", "off",
                    "gro", "off")
            run("ip", "-n", host, "link", "set", harness.DEVICE, "up")
        run("ip", "-n", self.client, "addr", "add", f"{harness.CLIENT_IP}/24", "dev", harness.DEVICE)
        run("ip", "-n", self.client, "-6", "addr", "add", f"{CLIENT_IP6}/64", "dev", harness.DEVICE, "nodad")
        self.seed = int(os.environ.get("WEIR_TEST_SEED", time.time_ns() & 0xFFFFFFFF))
        print(f"seed {self.seed}")

    def xdp_flags(self, ip=harness.WEIR_IP):
        return ["--stack=xdp", f"--interface={harness.DEVICE}", f"--address={ip}/24,{WEIR_IP6}/64"]

    @contextlib.contextmanager
    def cable(self, loss=20, duplicate=10, overtake=20, delay_us=1000, largest=0):
        bridge = harness.Server(self.middle, None, [
            harness.test_binary("lossy_bridge"), "--left=left0", "--right=right0", f"--seed={self.seed}",
            f"--loss={loss}", f"--duplicate={duplicate}", f"--overtake={overtake}", f"--delay_us={delay_us}",
            f"--largest={largest}"])
        try:
            yield bridge
            bridge.stop()
            print(bridge.output().strip().splitlines()[-1])
        finally:
            bridge.kill()

    def exchange(self, ip, data, failures):
        """Sends `data` to the echo server while reading it back."""
        with harness.inside(self.client):
            stream = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET)
        with stream:
            stream.settimeout(240)
            stream.connect((ip, 7))
            sender = threading.Thread(target=lambda: (stream.sendall(data), stream.shutdown(socket.SHUT_WR)))
            sender.start()
            got = hashlib.sha256()
            with contextlib.suppress(OSError):
                while chunk := stream.recv(1 << 18):
                    got.update(chunk)
            sender.join()
            if got.digest() != hashlib.sha256(data).digest():
                failures.append(ip)

    def together(self, target, calls):
        """Runs `target` with each of the argument lists at once."""
        threads = [threading.Thread(target=target, args=call) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def test_weir_as_server(self):
        chance = random.Random(self.seed)
        with self.cable(), self.serve("tcp_echo", "--port=7") as server:
            failures = []
            for ip in (server.ip, WEIR_IP6):
                # Each byte goes there and back, and there are two rounds.
                size = (megabytes << 20) // CONNECTIONS // 4
                threads = [threading.Thread(target=self.exchange, args=(ip, chance.randbytes(size), failures))
                           for _ in range(CONNECTIONS)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            self.assertEqual(failures, [])
            self.assertGreater(server.metrics()["weir_tcp_retransmits_total"], 0)

    def kernel_echo(self, family):
        """A server of kernel sockets on the client's side; one thread a connection."""
        with harness.inside(self.client):
            listener = socket.socket(family)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(("", 7))
        listener.listen(CONNECTIONS)

        def echo(stream):
            with stream:
                while chunk := stream.recv(1 << 18):
                    stream.sendall(chunk)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=echo, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        self.addCleanup(listener.close)
        self.addCleanup(listener.shutdown, socket.SHUT_RDWR)

    def test_weir_as_client(self):
        with self.cable():
            for family, target in ((socket.AF_INET, f"{harness.CLIENT_IP}:7"), (socket.AF_INET6, f"[{CLIENT_IP6}]:7")):
                self.kernel_echo(family)
                size = (megabytes << 20) // CONNECTIONS // 4
                done = subprocess.run(
                    ["ip", "netns", "exec", self.server, harness.test_binary("tcp_bulk"), f"--target={target}",
                     f"--connections={CONNECTIONS}", f"--bytes={size}", f"--seed={self.seed % 1000}",
                     *self.xdp_flags()],
                    capture_output=True, text=True, timeout=600, check=False, preexec_fn=harness.die_with_parent)
                self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
                self.assertIn(f"{CONNECTIONS} connections, {size} bytes each way over each, all the same", done.stdout)

    def test_a_path_that_swallows_large_packets(self):
        """Both ends have an MTU of 1500, less passes in the middle, and nobody says so (RFC 4821).

        Black holes are noticed after some seconds of retransmissions, so there are few connections. An echo goes in
        segments as they came; so that weir finds out for itself, a file is fetched too."""
        run("ip", "netns", "exec", self.client, "sysctl", "-q", "-w", "net.ipv4.tcp_mtu_probing=1")
        data = random.Random(self.seed).randbytes(2_000_000)
        root = tempfile.TemporaryDirectory(prefix="weir-test-")
        self.addCleanup(root.cleanup)
        with open(f"{root.name}/data", "wb") as file:
            file.write(data)
        ethernet = 14
        def fetch(ip, failures):
            url = f"http://[{ip}]/data" if ":" in ip else f"http://{ip}/data"
            got = subprocess.run(["ip", "netns", "exec", self.client, "curl", "-sS", "--fail", "-g", "-m200", url],
                                 capture_output=True, check=False, preexec_fn=harness.die_with_parent)
            if got.stdout != data:
                failures.append((ip, got.stderr))

        for mtu, ips in ((1280, (harness.WEIR_IP, WEIR_IP6)), (700, (harness.WEIR_IP,))):
            for probing in (1, 2):
                with self.subTest(mtu=mtu, probing=probing), self.cable(0, 0, 0, 100, mtu + ETHERNET):
                    failures = []
                    with self.serve("tcp_echo", "--port=7", f"--tcp=mtu_probing={probing}"):
                        self.together(self.exchange, [(ip, data, failures) for ip in ips])
                    with self.serve("http_server", "--port=80", f"--root={root.name}",
                                    f"--tcp=mtu_probing={probing}") as server:
                        self.together(fetch, [(ip, failures) for ip in ips])
                        metrics = server.metrics()
                    self.assertEqual(failures, [])
                    # The first segments of 1024 bytes already fit where 1280 pass.
                    if probing == 1 or mtu == 700:
                        self.assertGreater(metrics["weir_tcp_mtu_black_holes_total"], 0)
                    self.assertGreater(metrics["weir_tcp_mtu_probes_lost_total"], 0)
                    self.assertGreater(metrics["weir_tcp_mtu_probes_arrived_total"], 0)


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        if argument.startswith("--megabytes="):
            megabytes = int(argument.removeprefix("--megabytes="))
            sys.argv.remove(argument)
    harness.main()
