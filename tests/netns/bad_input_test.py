"""Everything that can be wrong at the start."""
import errno
import os
import platform
import resource
import shutil
import tempfile

import harness
from harness import DEVICE, WEIR_IP, binary, run, run_in

AF_XDP = 44


class BadInputTest(harness.NetnsTest):
    """Each: one line that says what is wrong, exit code 1, the interface as it was."""

    def refused(self, *flags, says, program="tcp_echo", wrapper=(), preexec_fn=None):
        before = self.device()
        done = run_in(self.server, *wrapper, binary(program), *flags, check=False, timeout=20, preexec_fn=preexec_fn)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(done.stdout, "")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("weir: "), lines[0])
        self.assertIn(says, lines[0])
        # What was attached for a moment goes a moment after the process.
        harness.wait_until(lambda: self.device() == before, "the interface as it was")

    def test_interface(self):
        address = f"--address={WEIR_IP}/24"
        self.refused("--stack=xdp", "--interface=nowhere", address, says="no interface named nowhere")
        self.refused("--stack=xdp", address, says="--interface")
        for name in ("x" * 40, f"{DEVICE} ", f"../{DEVICE}", "nowhere.100", f"{DEVICE}.1.2.3"):
            self.refused("--stack=xdp", f"--interface={name}", address, says="no interface named")
        for vlan in ("0", "4095", "5000", "-1", "x", ""):
            self.refused("--stack=xdp", f"--interface={DEVICE}.{vlan}", address, says="a VLAN ID is 1 to 4094")
        run("ip", "-n", self.server, "link", "set", DEVICE, "down")
        self.refused(*self.xdp_flags(), says="is down")
        self.assertFalse(self.xdp_attached())

    def test_addresses(self):
        base = ["--stack=xdp", f"--interface={DEVICE}"]
        self.refused(*base, says="--address")
        for address in ("10.0.0", "10.0.0.256/24", "host/24", "10.0.0.2/", "10.0.0.2/-1", "10.0.0.2/2x"):
            self.refused(*base, f"--address={address}", says="--address")
        for address in ("0.0.0.0/0", "127.0.0.1/8", "224.0.0.1/4", "240.0.0.1/8", "10.91.0.0/24", "10.91.0.255/24"):
            self.refused(*base, f"--address={address}", says="no address that a host can have")
        self.refused(*base, "--address=10.0.0.2/33", says="0 to 32")
        for address in ("dhcp,dhcp", "slaac,slaac", f"{WEIR_IP}/24,{WEIR_IP}/24", "fd91::2/64,fd91::2/64"):
            self.refused(*base, f"--address={address}", says="twice")
        for address in ("dhcp/24", "slaac6", "@"):
            self.refused(*base, f"--address={address}", says="--address")
        self.refused(*base, "--address=dhcp@nowhere", says="--interface does not name nowhere")
        for gateway in ("192.0.2.1", "gateway", "10.91.0.1/24", "fe80::1", f"10.91.0.1%{DEVICE}", WEIR_IP):
            self.refused(*self.xdp_flags(), f"--gateway={gateway}", says="--gateway")
        self.refused(*base, "--address=fd91::2/64", "--gateway=fe80::1%nowhere", says="--interface does not name")
        for mtu in ("100", "575", "1501", "9000", "65536", "-1"):
            self.refused(*self.xdp_flags(), f"--mtu={mtu}", says="--mtu")
        self.assertFalse(self.xdp_attached())

    def test_choices(self):
        self.refused("--stack=both", says="kernel, xdp")
        for flags in (["--stack=kernel"], self.xdp_flags()):
            for frames in ("1", "1023", "4194305", "4294967295"):
                self.refused(*flags, f"--frames={frames}", says=f"--frames={frames}: 1024 to 4194304")
            for size in ("1", "1024", "2047", "3072", "8192"):
                self.refused(*flags, f"--frame_size={size}", says=f"--frame_size={size}: 2048, 4096")
        self.refused("--poll=never", says="adaptive, busy, wait")
        self.refused(*self.xdp_flags(), "--zero_copy=perhaps", says="auto, on, off")
        self.refused(*self.xdp_flags(), "--xdp_attach=hard", says="auto, native, generic")
        for shards in ("0", "-1", "1025"):
            self.refused(f"--shards={shards}", says=f"--shards={shards}")
            self.refused(*self.xdp_flags(), f"--shards={shards}", says=f"--shards={shards}")
        self.refused(*self.xdp_flags(), "--shards=65", says="--shards")
        for metrics in ("nonsense", "1.2.3:9100", "127.0.0.1:70000", "192.0.2.1:9100"):
            self.refused("--port=8", f"--metrics={metrics}", says="--metrics")
        self.refused(f"--interface={DEVICE}", says="belong to --stack=xdp")
        self.refused("--tcp=sack=0", says="belong to --stack=xdp")
        self.refused(*self.xdp_flags(), "--tcp=sock=0", says="--tcp=sock=0: no such setting; there are")
        self.refused(*self.xdp_flags(), "--pcap=/does/not/exist.pcap", says="/does/not/exist.pcap")
        self.refused("stray", says="stray")
        self.refused("--root=/does/not/exist", program="http_server", says="/does/not/exist")

    def test_flags_that_the_parser_refuses(self):
        """Abseil's own errors: the same form."""
        for flag in ("--mtu=x", "--shards=two", "--frames=-1", "--port=70000", "--port=x", "--nosuchflag",
                     "--nosuchflag=1", "--port"):
            self.refused(flag, says=flag.strip("-").split("=")[0])
            self.refused(*self.xdp_flags(), flag, says="--help")
        for flag in ("--help", "-h"):
            done = run_in(self.server, binary("http_server"), flag)
            for name in ("port", "root", "stack", "interface", "address", "metrics"):
                self.assertIn(f"    --{name} (", done.stdout)

    def test_zero_copy_that_the_driver_lacks(self):
        self.refused(*self.xdp_flags(), "--zero_copy=on", says="zero-copy")
        self.assertFalse(self.xdp_attached())

    def test_taken(self):
        with self.serve("tcp_echo", "--port=7"):
            for attach in ("auto", "native", "generic"):
                self.refused(*self.xdp_flags(), f"--xdp_attach={attach}", says="has another XDP program")
            self.assertTrue(self.xdp_attached())
        for program in ("tcp_echo", "udp_echo"):
            with self.serve(program, "--port=7", stack="kernel"):
                self.refused("--port=7", program=program, says="7")
                self.refused("--port=8", f"--metrics={harness.METRICS}", says="--metrics")
                self.refused("--port=8", "--shards=2", f"--metrics={harness.METRICS}", says="--metrics")
                self.refused(*self.xdp_flags(), f"--metrics={harness.METRICS}", says="--metrics")

    def test_a_kernel_that_lacks_something(self):
        lacks, calls = self.system_calls()
        for error in (errno.EAFNOSUPPORT, errno.EPERM):
            self.refused(*self.xdp_flags(), says="AF_XDP", preexec_fn=lacks(calls["socket"], error, AF_XDP))
        for error in (errno.ENOSYS, errno.EPERM):
            self.refused(*self.xdp_flags(), says="--stack=kernel", preexec_fn=lacks(calls["bpf"], error))
            for flags in (["--port=7"], ["--port=7", "--shards=2"], self.xdp_flags()):
                self.refused(*flags, says="io_uring", preexec_fn=lacks(calls["io_uring_setup"], error))

    def test_a_kernel_that_refuses_the_program(self):
        lacks, calls = self.system_calls()
        self.refused(*self.xdp_flags(), says="--stack=kernel", preexec_fn=lacks(calls["bpf"], errno.EINVAL))

    def system_calls(self):
        numbers = {"x86_64": (41, 321, 425), "aarch64": (198, 280, 425)}.get(platform.machine())
        if numbers is None:
            self.skipTest(f"SKIPPED: the system call numbers of {platform.machine()} are not in this test")
        return harness.without_system_call, dict(zip(("socket", "bpf", "io_uring_setup"), numbers))

    def test_locked_memory(self):
        """Frames count as locked memory of those that have no CAP_IPC_LOCK, which this process gives up."""

        def limited(kilobytes):
            def lose():
                pr_capbset_drop, cap_ipc_lock = 24, 14
                if harness.prctl(pr_capbset_drop, cap_ipc_lock) != 0:
                    os._exit(125)
                resource.setrlimit(resource.RLIMIT_MEMLOCK, (kilobytes << 10, kilobytes << 10))

            return lose

        probe = run_in(self.server, "grep", "CapEff", "/proc/self/status", check=False, preexec_fn=limited(1024))
        if probe.returncode != 0 or int(probe.stdout.split()[1], 16) & 1 << 14:
            self.skipTest("SKIPPED: CAP_IPC_LOCK cannot be given up")
        for frames, size, mebibytes in ((0, 0, 32), (1024, 2048, 2), (4096, 4096, 16)):
            self.refused(*self.xdp_flags(), f"--frames={frames}", f"--frame_size={size}", preexec_fn=limited(1024),
                         says=f"cannot lock {mebibytes} MiB for frames, RLIMIT_MEMLOCK allows 1024 KiB: raise it")
        self.assertFalse(self.xdp_attached())

    def test_without_privileges(self):
        # A copy: the build's own folder may be closed to others.
        with tempfile.TemporaryDirectory(prefix="weir-test-") as folder:
            os.chmod(folder, 0o755)
            copy = shutil.copy(binary("tcp_echo"), folder)
            drop = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
            done = run_in(self.server, *drop, copy, *self.xdp_flags(), check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr, r"\Aweir: [^\n]+needs root, or CAP_NET_ADMIN[^\n]+--stack=kernel\n\Z")
            self.assertFalse(self.xdp_attached())
            server = harness.Server(self.server, harness.KERNEL_IP, [*drop, copy, "--port=7000"])
            self.addCleanup(server.kill)
            server.stop()


if __name__ == "__main__":
    harness.main()
