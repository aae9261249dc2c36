"""The workspace is tidy; and each check of tidy.py flags a bad sample and lets a good one pass."""

import os
import unittest

import tidy

# In two parts, so that this file itself is tidy.
RFC = "RF" + "C"
LONG = "  Step();\n" * tidy.MAX_FUNCTION_LINES


class TreeTest(unittest.TestCase):
    def test_workspace(self):
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
        self.assertTrue(os.path.exists(os.path.join(root, "WORKSPACE")), root)
        problems = tidy.check_tree(root)
        self.assertEqual([], problems, "\n" + "\n".join(problems))

    def test_the_walk_sees_this_file(self):
        here = os.path.dirname(os.path.realpath(__file__))
        self.assertIn("tidy_test.py", list(tidy.source_files(here)))


class FileSizeTest(unittest.TestCase):
    def test_limit(self):
        self.assertEqual([], tidy.check_file_size("a.cc", "x\n" * tidy.MAX_FILE_LINES))
        self.assertTrue(tidy.check_file_size("a.cc", "x\n" * (tidy.MAX_FILE_LINES + 1)))
        self.assertTrue(tidy.check_file_size("a.cc", "x\n" * tidy.MAX_FILE_LINES + "x"))


class FunctionSizeTest(unittest.TestCase):
    def flagged(self, path, text):
        return [line for line, _ in tidy.check_function_size(path, text)]

    def test_cxx_function(self):
        self.assertEqual([1], self.flagged("a.cc", "void F() {\n" + LONG + "}\n"))
        short = LONG[: -2 * len("  Step();\n")]
        self.assertEqual([], self.flagged("a.cc", "void F() {\n" + short + "}\n" + "void G() {\n" + short + "}\n"))

    def test_cxx_in_namespace_class_and_template(self):
        self.assertEqual([2], self.flagged("a.h", "namespace weir {\nint F(int a) {\n" + LONG + "}\n}\n"))
        self.assertEqual([3], self.flagged(
            "a.h", "class alignas(64) C : public D {\n public:\n  void F() const {\n" + LONG + "  }\n};\n"))
        self.assertEqual([1], self.flagged("a.h", "template <class T>\nvoid F(T t) {\n" + LONG + "}\n"))
        self.assertEqual([1], self.flagged("a.cc", "TEST(A, B) {\n  if (x) {\n" + LONG + "  }\n}\n"))

    def test_cxx_scopes_and_data_may_be_long(self):
        members = "  int a;\n" * 80
        self.assertEqual([], self.flagged("a.h", "struct S {\n" + members + "};\n"))
        self.assertEqual([], self.flagged("a.h", "struct alignas(64) S {\n" + members + "};\n"))
        self.assertEqual([], self.flagged("a.h", "namespace a::b {\n" + members + "}  // namespace\n"))
        self.assertEqual([], self.flagged("a.cc", "const T kTable[] = {\n" + "  {1, F(2)},\n" * 80 + "};\n"))

    def test_cxx_braces_in_text_do_not_count(self):
        text = "// {\nconst char* s = \"{\";\nchar c = '{';\nauto r = R\"(\n{{{\n)\";\n/* { */\n"
        self.assertEqual([8], self.flagged("a.cc", text + "void F() {\n" + LONG + "}\n"))

    def test_python_starlark_and_shell(self):
        self.assertEqual([1], self.flagged("a.py", "def f():\n" + "    g()\n" * 70))
        self.assertEqual([1], self.flagged("a.bzl", "def f():\n" + "    g()\n" * 70))
        self.assertEqual([], self.flagged("a.py", "def f():\n" + "    g()\n" * 69))
        self.assertEqual([2], self.flagged("a.sh", "#!/bin/bash\nF() {\n" + "  g\n" * 70 + "}\n"))


class LayersTest(unittest.TestCase):
    def allowed(self, path, include):
        return not tidy.check_layers(path, f'#include "{include}"\n')

    def test_arrows(self):
        for path, include, allowed in [
                ("runtime/base/a.h", "runtime/buffer/frame.h", False),
                ("runtime/buffer/a.h", "runtime/base/check.h", True),
                ("runtime/core/a.h", "runtime/io/ring.h", False),
                ("runtime/io/a.h", "runtime/core/task.h", True),
                ("xdp/a.h", "runtime/core/task.h", False),
                ("xdp/a.h", "netstack/wire/arp.h", False),
                ("xdp/bpf/a.bpf.c", "xdp/bpf/steer.h", True),
                ("netstack/tcp/a.cc", "runtime/core/task.h", False),
                ("netstack/tcp/a.cc", "runtime/io/ring.h", False),
                ("netstack/tcp/a.cc", "xdp/xdp_link.h", False),
                ("netstack/tcp/a.cc", "netstack/link/link.h", False),
                ("netstack/tcp/a.cc", "netstack/drop_reason.def", True),
                ("netstack/tcp/a.cc", "netstack/ip/route.h", True),
                ("netstack/link/a.cc", "xdp/xdp_link.h", True),
                ("netstack/link/a.cc", "xdp/umem.h", False),
                ("netstack/link/a.cc", "netstack/socket/tcp_stream.h", False),
                ("netstack/socket/a.cc", "runtime/io/ring.h", True),
                ("netstack/socket/a.cc", "netstack/host/host.h", False),
                ("netstack/host/a.cc", "netstack/socket/tcp_stream.h", True),
                ("examples/a/a.cc", "netstack/tcp/tcp_input.h", False),
                ("examples/a/a.cc", "xdp/xdp_link.h", False),
                ("examples/a/a.cc", "netstack/host/host.h", True),
                ("tests/tcp/a.cc", "netstack/tcp/tcp_input.h", True),
                ("runtime/base/a.h", "absl/status/status.h", True),
                ("runtime/base/a.h", "check.h", False),
        ]:
            self.assertEqual(allowed, self.allowed(path, include), f"{path} -> {include}")


class RfcTest(unittest.TestCase):
    def test_form(self):
        for text in [" 9293", " 9293 \u00a73.10.7.4", " 9293 \u00a73.10.7.4, fifth: check", " 5681.",
                     " 6298 \u00a7A", " 9293\n// \u00a73.8"]:
            self.assertEqual([], tidy.check_rfc("a.cc", "// " + RFC + text + "\n"), text)
        for text in ["9293", "-9293", "  793", " 0793", " 793 \u00a73.1", " 9293 section 3.1", " 9293, Section 3.1",
                     " 9293\u00a73.1", " 9293 \u00a7 3.1"]:
            self.assertEqual(1, len(tidy.check_rfc("a.cc", "// " + RFC + text + "\n")), text)
        self.assertEqual(1, len(tidy.check_rfc("a.md", RFC.lower() + " 9293")))
        self.assertEqual([], tidy.check_rfc("a.cc", "TEST(Tcp, Rfc9293Close) {}"))


if __name__ == "__main__":
    unittest.main()
