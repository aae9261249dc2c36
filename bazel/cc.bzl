"""weir's C++ targets: the native rules with weir's compiler options.

The options are here, not in .bazelrc, so that a workspace that uses weir as an external repository
compiles it the same way.
"""

WEIR_COPTS = [
    "-std=c++20",
    "-Wall",
    "-Wextra",
    "-Werror",
    # Designated initializers leave fields to their defaults on purpose.
    "-Wno-missing-field-initializers",
    # Profilers and crash dumps walk frame pointers, also through coroutines.
    "-fno-omit-frame-pointer",
]

# Tags of a test that makes namespaces, devices or BPF programs: outside the sandbox, which mounts
# nearly everything read-only, and one at a time.
ROOT_TAGS = ["local", "exclusive"]

def weir_library(name, copts = [], **kwargs):
    native.cc_library(name = name, copts = WEIR_COPTS + copts, **kwargs)

def weir_binary(name, copts = [], **kwargs):
    native.cc_binary(name = name, copts = WEIR_COPTS + copts, **kwargs)

def weir_test(
        name,
        copts = [],
        deps = [],
        tags = [],
        size = "small",
        needs_root = False,
        use_gtest_main = True,
        **kwargs):
    """A GoogleTest test.

    Args:
      name: as for cc_test, likewise copts, deps, tags and size.
      copts: after weir's own.
      deps: @system//:gtest_main is added.
      tags: ROOT_TAGS are added with needs_root.
      size: Bazel's limit: small 60 s, medium 300 s, large 900 s.
      needs_root: the test needs privileges; it must say SKIPPED and why where it lacks them.
      use_gtest_main: False for a test with a main() of its own (it gets @system//:gtest).
      **kwargs: to cc_test.
    """
    native.cc_test(
        name = name,
        copts = WEIR_COPTS + copts,
        deps = deps + ["@system//:gtest_main" if use_gtest_main else "@system//:gtest"],
        tags = tags + (ROOT_TAGS if needs_root else []),
        size = size,
        **kwargs
    )

def weir_benchmark(name, copts = [], deps = [], **kwargs):
    """A Google Benchmark program; it writes its own BENCHMARK_MAIN() or main()."""
    native.cc_binary(
        name = name,
        copts = WEIR_COPTS + copts,
        deps = deps + ["@system//:benchmark"],
        testonly = True,
        **kwargs
    )
