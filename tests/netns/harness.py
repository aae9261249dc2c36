"""Two network namespaces of their own per test, joined by a veth pair, and weir's example servers in one of them.

    class EchoTest(harness.NetnsTest):
        def test_something(self):
            with self.serve("tcp_echo", "--port=7", stack="xdp") as server:
                ...  harness.run_in(self.client, "ping", "-c1", server.ip)

Names carry the process ID, everything is removed at the end of each test, and only processes started here are ended:
the commands and servers die with this process, and what a killed run left is removed by the next, as VethPair does.
"""
import contextlib
import ctypes
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
import unittest
from xml.sax import saxutils

CLIENT_IP, WEIR_IP, KERNEL_IP = "10.91.0.1", "10.91.0.2", "10.91.0.3"
DEVICE = "weir0"  # at both ends
METRICS = "127.0.0.1:9100"
CLONE_NEWNET = 0x40000000
_counter = 0
_libc = ctypes.CDLL(None, use_errno=True)


def prctl(*arguments):
    return _libc.prctl(*arguments, *[0] * (5 - len(arguments)))


def die_with_parent():
    """For subprocess's preexec_fn."""
    pr_set_pdeathsig = 1
    prctl(pr_set_pdeathsig, signal.SIGKILL)


def binary(name):
    return os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "examples", name, name)


def test_binary(name):
    """A program that belongs to the tests of this folder."""
    return os.path.join(os.environ["TEST_SRCDIR"], os.environ["TEST_WORKSPACE"], "tests", "netns", name)


def run(*command, check=True, timeout=60, preexec_fn=die_with_parent, **kwargs):
    """Runs a command and returns its CompletedProcess, with text output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, preexec_fn=preexec_fn, **kwargs)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def run_in(namespace, *command, **kwargs):
    return run("ip", "netns", "exec", namespace, *command, **kwargs)


@contextlib.contextmanager
def inside(namespace):
    """This thread is in the namespace within the block; sockets made there stay there."""

    def enter(path):
        with open(path) as target:
            if _libc.setns(target.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), path)

    with open("/proc/self/ns/net") as home:
        enter(f"/run/netns/{namespace}")
        try:
            yield
        finally:
            if _libc.setns(home.fileno(), CLONE_NEWNET) != 0:
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
        code = ctypes.create_string_buffer(b"".join(program))
        header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
        pr_set_no_new_privs, pr_set_seccomp, filter_mode = 38, 22, 2
        _libc.prctl(pr_set_no_new_privs, 1, 0, 0, 0)
        if _libc.prctl(pr_set_seccomp, filter_mode, header, 0, 0) != 0:
            os._exit(125)

    return install


class Server:
    """A running example. Stopping it by SIGTERM must end it with code 0."""

    def __init__(self, namespace, ip, arguments, environment=None, patience=15):
        self.namespace, self.ip = namespace, ip
        self.log = tempfile.NamedTemporaryFile("w+", prefix="weir-test-")
        self.process = subprocess.Popen(["ip", "netns", "exec", namespace, *arguments], stdout=self.log,
                                        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                        env=os.environ | (environment or {}), preexec_fn=die_with_parent)
        self.pid = self.process.pid
        for _ in range(20 * patience):
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


def remove_stale():
    """Namespaces weir-PID-... whose process is gone."""
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else ():
        match = re.match(r"weir-(\d+)-", name)
        if match and not os.path.exists(f"/proc/{match.group(1)}"):
            run("ip", "netns", "del", name, check=False)


class NetnsTest(unittest.TestCase):
    environment = {}  # of the servers that are started, on top of the test's own

    def setUp(self):
        global _counter
        if os.geteuid() != 0:
            self.skipTest("SKIPPED: needs root to make network namespaces")
        remove_stale()
        _counter += 1
        self.server, self.client = (f"weir-{os.getpid()}-t{_counter}{end}" for end in "sc")
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
    def serve(self, name, *flags, stack="xdp", ip=None, patience=15):
        ip = ip or (WEIR_IP if stack == "xdp" else KERNEL_IP)
        stack_flags = self.xdp_flags(ip) if stack == "xdp" else ["--stack=kernel"]
        server = Server(self.server, ip, [binary(name), f"--metrics={METRICS}", *stack_flags, *flags],
                        self.environment, patience)
        try:
            yield server
            if server.process.poll() is None:
                server.stop()
        finally:
            server.kill()

    def connect(self, ip, port, timeout=20, before=lambda stream: None):
        """`before`: what is set on the socket before it connects."""
        with inside(self.client):
            stream = socket.socket()
        self.addCleanup(stream.close)
        stream.settimeout(timeout)
        before(stream)
        stream.connect((ip, port))
        return stream

    def xdp_attached(self):
        return "xdp" in run("ip", "-n", self.server, "link", "show", DEVICE).stdout

    def device(self):
        """What `ip link` knows of the server's interface: flags, MTU, XDP program, ..."""
        return json.loads(run("ip", "-n", self.server, "-j", "link", "show", "dev", DEVICE).stdout)[0]


def reset(stream):
    """Closes it with an RST."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


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


def wait_until(condition, what, patience=20):
    """Waits for something that comes by itself, far longer than it takes."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never came: {what}")
        time.sleep(0.02)


class _Result(unittest.TextTestResult):
    """Keeps the cases for the JUnit file that Bazel and bazel/test_report.py read."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.problems = {}  # test -> element
        self.names = []

    def startTest(self, test):
        super().startTest(test)
        self.names.append(test.id())

    def _failed(self, test, error):
        text = saxutils.escape("".join(traceback.format_exception(*error)))
        text = re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd]", "?", text)
        self.problems[test.id()] = f'<failure message="failed">{text}</failure>'

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._failed(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        self._failed(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(test, err)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.problems[test.id()] = '<failure message="unexpected success"/>'

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(reason)
        self.problems[test.id()] = f"<skipped message={saxutils.quoteattr(reason)}/>"

    def write(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write("<testsuites><testsuite>\n")
            for name in self.names:
                group, _, case = name.removeprefix("__main__.").rpartition(".")
                problem = self.problems.get(name, "")
                file.write(f'<testcase classname="{group}" name="{case}">{problem}</testcase>\n')
            file.write("</testsuite></testsuites>\n")


def main():
    # Bazel's time limit: leave through the clean-ups.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    runner = unittest.TextTestRunner(verbosity=2, resultclass=_Result)
    result = unittest.main(exit=False, testRunner=runner).result
    if "XML_OUTPUT_FILE" in os.environ:
        result.write(os.environ["XML_OUTPUT_FILE"])
    sys.exit(0 if result.wasSuccessful() else 1)
