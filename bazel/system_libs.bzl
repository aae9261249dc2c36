"""The system's libraries as @system//:NAME, found through pkg-config (or by header and library).

A missing one ends the build with one line that names the Debian package. Libraries are linked
dynamically where the distribution has both kinds. tools.bzl holds the paths of the programs that
bazel/bpf.bzl runs.
"""

# name -> pkg-config modules (their flags are joined) and the Debian package that has them.
_PKG_CONFIG = {
    "absl_cleanup": (["absl_cleanup"], "libabsl-dev"),
    "absl_flags": (["absl_flags", "absl_flags_parse", "absl_flags_usage"], "libabsl-dev"),
    "absl_flat_hash_map": (["absl_flat_hash_map", "absl_flat_hash_set"], "libabsl-dev"),
    "absl_inlined_vector": (["absl_inlined_vector"], "libabsl-dev"),
    "absl_span": (["absl_span"], "libabsl-dev"),
    "absl_status": (["absl_status", "absl_strings", "absl_str_format"], "libabsl-dev"),
    "absl_statusor": (["absl_statusor", "absl_status", "absl_strings"], "libabsl-dev"),
    "absl_strings": (["absl_strings", "absl_str_format", "absl_cord"], "libabsl-dev"),
    "benchmark": (["benchmark"], "libbenchmark-dev"),
    "cares": (["libcares"], "libc-ares-dev"),
    "gtest": (["gmock", "gtest"], "libgtest-dev libgmock-dev"),
    "gtest_main": (["gmock_main", "gmock", "gtest"], "libgtest-dev libgmock-dev"),
    "ldns": (["ldns"], "libldns-dev"),
    "libbpf": (["libbpf", "libelf", "zlib"], "libbpf-dev libelf-dev zlib1g-dev"),
    "liburing": (["liburing"], "liburing-dev"),
    "libxdp": (["libxdp", "libbpf", "libelf", "zlib"], "libxdp-dev"),
    "lwip": (["lwip"], "liblwip-dev"),
}

# Libraries without a .pc file: name -> (header, library or "" when it is all headers, Debian package).
_PLAIN = {
    "boost": ("boost/version.hpp", "", "libboost-dev"),
    "http_parser": ("http_parser.h", "http_parser", "libhttp-parser-dev"),
}

# Programs: constant in tools.bzl -> (file names in order of preference, Debian package).
_TOOLS = {
    "BPFTOOL": (["bpftool"], "bpftool"),
    "CLANG": (["clang-19", "clang"], "clang-19"),
}

# bpftool and ip live in sbin, which is not in an unprivileged user's PATH.
_SBIN = ["/usr/sbin", "/sbin", "/usr/local/sbin"]

# Where compilers look by themselves: no -I is wanted for these, and Bazel's toolchain knows them.
_DEFAULT_INCLUDES = ["/usr/include", "/usr/local/include"]

def _which(repository_ctx, names):
    for name in names:
        found = repository_ctx.which(name)
        if found:
            return str(found)
        for directory in _SBIN:
            path = repository_ctx.path(directory + "/" + name)
            if path.exists:
                return str(path)
    return None

def _multiarch_dir(repository_ctx, clang):
    """/usr/include/<triple> (the kernel's asm/ headers are there on Debian), or "" elsewhere."""
    result = repository_ctx.execute([clang, "-print-multiarch"])
    names = [result.stdout.strip()] if result.return_code == 0 else []
    for name in names + ["x86_64-linux-gnu", "aarch64-linux-gnu"]:
        path = "/usr/include/" + name
        if name and repository_ctx.path(path).exists:
            return path
    return ""

def _library(repository_ctx, name, flags):
    """Text of the cc_library for pkg-config's `flags`."""
    includes, defines, linkopts = [], [], []
    for flag in flags:
        if flag.startswith("-I"):
            path = flag[2:]
            if path and path not in _DEFAULT_INCLUDES:
                # Bazel refuses absolute include paths: go through a symlink in this repository.
                link = "include_%s_%d" % (name, len(includes))
                repository_ctx.symlink(path, link)
                includes.append(link)
        elif flag.startswith("-D"):
            if flag != "-DNOMINMAX":  # Abseil's, for Windows
                defines.append(flag[2:])
        elif flag.startswith("-l") or flag.startswith("-L") or flag.startswith("-Wl,"):
            if flag.startswith("-Wl,") or flag not in linkopts:
                linkopts.append(flag)
    headers = "glob([%s])" % ", ".join(["\"%s/**/*.h*\"" % link for link in includes])
    return "\n".join([
        "cc_library(",
        "    name = \"%s\"," % name,
        "    hdrs = %s," % (headers if includes else "[]"),
        "    includes = %s," % includes,
        "    defines = %s," % defines,
        "    linkopts = %s," % linkopts,
        ")",
        "",
    ])

def _find_plain(repository_ctx, compiler, header, library):
    """Linker flags of a library without a .pc file, or None."""
    if not [d for d in _DEFAULT_INCLUDES if repository_ctx.path(d + "/" + header).exists]:
        return None
    if not library:
        return []
    for suffix in [".so", ".a"]:
        result = repository_ctx.execute([compiler, "-print-file-name=lib" + library + suffix])
        if result.return_code == 0 and "/" in result.stdout:
            return ["-l" + library]
    return None

def _system_libs_impl(repository_ctx):
    missing = {}  # what -> Debian package
    tools = {}
    for constant, (names, package) in _TOOLS.items():
        tools[constant] = _which(repository_ctx, names)
        if not tools[constant]:
            missing[names[0]] = package
    pkg_config = _which(repository_ctx, ["pkg-config", "pkgconf"])
    if not pkg_config:
        missing["pkg-config"] = "pkg-config"

    build = ["package(default_visibility = [\"//visibility:public\"])", ""]
    for name, (modules, package) in _PKG_CONFIG.items():
        if not pkg_config:
            break
        result = repository_ctx.execute([pkg_config, "--cflags", "--libs"] + modules)
        if result.return_code != 0:
            missing[name] = package
            continue
        flags = [f for f in result.stdout.replace("\n", " ").split(" ") if f]
        build.append(_library(repository_ctx, name, flags))
    for name, (header, library, package) in _PLAIN.items():
        flags = _find_plain(repository_ctx, tools["CLANG"], header, library) if tools["CLANG"] else None
        if flags == None:
            missing[name] = package
        else:
            build.append(_library(repository_ctx, name, flags))

    if missing:
        packages = {p: None for packages in missing.values() for p in packages.split(" ")}
        fail("weir: %s %s missing: apt-get install %s, or run bazel/setup.sh" % (
            ", ".join(sorted(missing.keys())),
            "is" if len(missing) == 1 else "are",
            " ".join(sorted(packages.keys())),
        ))
    repository_ctx.file("BUILD", "\n".join(build))
    repository_ctx.file("tools.bzl", "\n".join(
        ["%s = \"%s\"" % (constant, path) for constant, path in tools.items()] +
        ["BPF_INCLUDE = \"%s\"" % _multiarch_dir(repository_ctx, tools["CLANG"]), ""],
    ))

system_libs = repository_rule(
    implementation = _system_libs_impl,
    environ = ["PATH", "PKG_CONFIG_PATH"],
    local = True,
    configure = True,
    doc = "Makes the repository of system libraries; call it with name = \"system\".",
)
