"""Two network namespaces of their own per test, joined by a veth pair, and weir's example servers in one of them.

    class EchoTest(harness.NetnsTest):
        def test_something(self):
            with self.serve("tcp_echo", "--port=7", stack="xdp") as server:
                ...  harness.run_in(self.client, "ping", "-c1", server.ip)

Names carry the process ID, everything is removed at the end of each test, and only processes started here are ended.
"""
import contextlib
import ctypes
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

CLIENT_IP, WEIR_IP, KERNEL_IP = "10.91.0.1", "10.91.0.2", "10.91.0.3"
DEVICE = "weir0"  # at both ends
METRICS = "127.0.0.1:9100"
CLONE_NEWNET = 0x40000000
_counter = 0


def binary(name):
    return os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "examples", name, name)


def run(*command, check=True, timeout=60, **kwargs):
    """Runs a command and returns its CompletedProcess, with text output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, **kwargs)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def run_in(namespace, *command, **kwargs):
    return run("ip", "netns", "exec", namespace, *command, **kwargs)


@contextlib.contextmanager
def inside(namespace):
    """This thread is in the namespace within the block; sockets made there stay there."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(path):
        with open(path) as target:
            if libc.setns(target.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), path)

    with open("/proc/self/ns/net") as home:
        enter(f"/run/netns/{namespace}")
        try:
            yield
        finally:
            if libc.setns(home.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")


def without_system_call(number, error, first_argument=None):
    """For subprocess's preexec_fn: the system call fails with `error`, as in a kernel that lacks it (a seccomp filter).

    With `first_argument`, only calls with that one do, as socket(AF_XDP) does.
    """
    allow, refuse = 0x7FFF0000, 0x00050000 | error

    def statement(code, value, jump_true=0, jump_false=0):
        return struct.pack("HBBI", code, jump_true, jump_false, value)

    load, equal, answer = 0x20, 0x15, 0x06
    program = [statement(load, 0), statement(equal, number, 0, 3 if first_argument is not None else 1)]
    if first_argument is not None:
        program += [statement(load, 16), statement(equal, first_argument, 0, 1)]
    program += [statement(answer, refuse), statement(answer, allow)]

    def install():
        libc = ctypes.CDLL(None, use_errno=True)
        code = ctypes.create_string_buffer(b"".join(program))
        header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
        pr_set_no_new_privs, pr_set_seccomp, filter_mode = 38, 22, 2
        libc.prctl(pr_set_no_new_privs, 1, 0, 0, 0)
        if libc.prctl(pr_set_seccomp, filter_mode, header, 0, 0) != 0:
            os._exit(125)

    return install


class Server:
    """A running example. Stopping it by SIGTERM must end it with code 0."""

    def __init__(self, namespace, ip, arguments, environment=None):
        self.namespace, self.ip = namespace, ip
        self.log = tempfile.NamedTemporaryFile("w+", prefix="weir-test-")
        self.process = subprocess.Popen(["ip", "netns", "exec", namespace, *arguments], stdout=self.log,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                        env=os.environ | (environment or {}))
        self.pid = self.process.pid
        for _ in range(300):
            if "weir: ready" in self.output():
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"{' '.join(arguments)} did not come up: {self.output()}")

    def output(self):
        with open(self.log.name) as text:
            return text.read()

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        if code != 0:
            raise AssertionError(f"the server ended with {code}: {self.output()}")

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def metrics(self):
        """The metrics page as {name or name{label}: value}, without the shard."""
        page = run_in(self.namespace, "curl", "-sS", "--fail", f"http://{METRICS}/metrics").stdout
        values = {}
        for line in page.splitlines():
            name, labels, value = re.fullmatch(r'(\w+)\{shard="\d+"(.*)\} (\d+)', line).groups()
            values[name + labels.replace(',', ' ')] = values.get(name + labels.replace(',', ' '), 0) + int(value)
        return values


class NetnsTest(unittest.TestCase):
    environment = {}  # of the servers that are started, on top of the test's own

    def setUp(self):
        global _counter
        if os.geteuid() != 0:
            self.skipTest("SKIPPED: needs root to make network namespaces")
        _counter += 1
        self.server, self.client = (f"weir-t{os.getpid()}-{_counter}{end}" for end in "sc")
        for namespace in (self.server, self.client):
            run("ip", "netns", "add", namespace)
            self.addCleanup(run, "ip", "netns", "del", namespace, check=False)
            run("ip", "-n", namespace, "link", "set", "lo", "up")
        run("ip", "link", "add", DEVICE, "netns", self.server, "type", "veth", "peer", "name", DEVICE, "netns",
            self.client)
        run("ip", "-n", self.client, "addr", "add", f"{CLIENT_IP}/24", "dev", DEVICE)
        run("ip", "-n", self.server, "addr", "add", f"{KERNEL_IP}/24", "dev", DEVICE)
        for namespace in (self.server, self.client):
            run("ip", "-n", namespace, "link", "set", DEVICE, "up")

    def xdp_flags(self, ip=WEIR_IP):
        return ["--stack=xdp", f"--interface={DEVICE}", f"--address={ip}/24"]

    @contextlib.contextmanager
    def serve(self, name, *flags, stack="xdp", ip=None):
        ip = ip or (WEIR_IP if stack == "xdp" else KERNEL_IP)
        stack_flags = self.xdp_flags(ip) if stack == "xdp" else ["--stack=kernel"]
        server = Server(self.server, ip, [binary(name), f"--metrics={METRICS}", *stack_flags, *flags],
                        self.environment)
        try:
            yield server
            if server.process.poll() is None:
                server.stop()
        finally:
            server.kill()

    def connect(self, ip, port, timeout=20):
        with inside(self.client):
            stream = socket.create_connection((ip, port), timeout=timeout)
        self.addCleanup(stream.close)
        return stream

    def xdp_attached(self):
        return "xdp" in run("ip", "-n", self.server, "link", "show", DEVICE).stdout

    def device_flags(self):
        text = run("ip", "-n", self.server, "link", "show", DEVICE).stdout
        return re.search(r"<(.*?)> mtu (\d+)", text).groups()


def receive_exactly(stream, size):
    chunks = []
    while size > 0:
        chunk = stream.recv(min(size, 1 << 20))
        if not chunk:
            break
        chunks.append(chunk)
        size -= len(chunk)
    return b"".join(chunks)


def both_stacks(test):
    """Runs a test method once for each stack, as subtests."""

    def wrapper(self):
        for stack in ("xdp", "kernel"):
            with self.subTest(stack=stack):
                test(self, stack)

    return wrapper


def main():
    result = unittest.main(exit=False, verbosity=2).result
    for _, reason in result.skipped:
        print(reason)
    sys.exit(0 if result.wasSuccessful() else 1)
