"""The servers over IPv6 on weir's own stack, with both families at once, against kernel clients."""
import os
import socket
import threading

import harness
from harness import receive_exactly, run_in

CLIENT_IP6, WEIR_IP6 = "fd91::1", "fd91::2"


class Ipv6Test(harness.NetnsTest):
    def setUp(self):
        super().setUp()
        harness.run("ip", "-n", self.client, "-6", "addr", "add", f"{CLIENT_IP6}/64", "dev", harness.DEVICE, "nodad")

    def serve(self, name, *flags):
        return super().serve(name, f"--address={harness.WEIR_IP}/24,{WEIR_IP6}/64", *flags)

    def socket(self, ip, port, kind):
        family = socket.AF_INET6 if ":" in ip else socket.AF_INET
        with harness.inside(self.client):
            one = socket.socket(family, kind)
        self.addCleanup(one.close)
        one.settimeout(20)
        one.connect((ip, port))
        return one

    def echo(self, ip, size):
        stream = self.socket(ip, 7, socket.SOCK_STREAM)
        data = os.urandom(size)
        sender = threading.Thread(target=lambda: (stream.sendall(data), stream.shutdown(socket.SHUT_WR)))
        sender.start()
        got = receive_exactly(stream, size + 1)
        sender.join()
        return got == data

    def test_tcp(self):
        with self.serve("tcp_echo", "--port=7") as server:
            for size in (0, 1, 1439, 1440, 1441, 65536, 5_000_000):
                for ip in (WEIR_IP6, harness.WEIR_IP):
                    self.assertTrue(self.echo(ip, size), (ip, size))
            self.assertEqual(server.metrics()["weir_copied_bytes_total"], 0)
            results = []
            threads = [threading.Thread(target=lambda: results.append(self.echo(WEIR_IP6, 300_000))) for _ in range(32)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            self.assertEqual(results, [True] * 32)
            with self.assertRaises(ConnectionRefusedError):
                self.socket(WEIR_IP6, 8, socket.SOCK_STREAM)

    def test_udp(self):
        with self.serve("udp_echo", "--port=7"):
            for ip in (WEIR_IP6, harness.WEIR_IP):
                udp = self.socket(ip, 7, socket.SOCK_DGRAM)
                for size in (0, 1, 17, 1000, 1452):
                    data = os.urandom(size)
                    udp.send(data)
                    self.assertEqual(udp.recv(65536), data)
            refused = self.socket(WEIR_IP6, 8, socket.SOCK_DGRAM)
            refused.send(b"anybody?")
            with self.assertRaises(ConnectionRefusedError):
                refused.recv(100)

    def test_http(self):
        with self.serve("http_server", "--port=80", "--root=/usr/share/common-licenses"):
            page = run_in(self.client, "curl", "-sS", "--fail", f"http://[{WEIR_IP6}]/GPL-3").stdout
            with open("/usr/share/common-licenses/GPL-3", encoding="utf-8") as file:
                self.assertEqual(page, file.read())

    def test_ping(self):
        with self.serve("tcp_echo", "--port=7"):
            for size in (0, 56, 1452):
                run_in(self.client, "ping", "-6", "-c2", "-i0.2", "-W2", "-M", "do", "-s", str(size), WEIR_IP6)
            neighbours = run_in(self.client, "ip", "-6", "neigh", "show", WEIR_IP6).stdout
            mac = run_in(self.server, "cat", f"/sys/class/net/{harness.DEVICE}/address").stdout.strip()
            self.assertIn(mac, neighbours)


if __name__ == "__main__":
    harness.main()
