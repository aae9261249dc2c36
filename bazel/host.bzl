"""Declares, from what is installed, the repositories that Bazel would otherwise download.

Debian 12's Bazel is 4.2.3, with no network; its WORKSPACE suffix wants rules_cc and
remote_coverage_tools, which Debian either does not have or has in a version 4.2.3 cannot load. Later
Debian releases have Bazel 7 and packages that fit it. A WORKSPACE cannot look at the file system, so
weir_host is a repository rule that looks and writes repositories.bzl, which the WORKSPACE then loads.
"""

# Repositories by Bazel generation: name -> directory of the Debian package.
_BAZEL_4 = {
    "platforms": "/usr/share/bazel/platforms",
    "rules_java": "/usr/share/bazel/rules/java",
    "rules_proto": "/usr/share/bazel/rules/proto",
}

_BAZEL_7 = {
    "bazel_features": "/usr/share/bazel/tools/features",
    "bazel_skylib": "/usr/share/bazel/tools/skylib",
    "platforms": "/usr/share/bazel/platforms/platforms",
    "rules_cc": "/usr/share/bazel/rules/cc",
    "rules_java": "/usr/share/bazel/rules/java",
    "rules_license": "/usr/share/bazel/rules/license",
    "rules_proto": "/usr/share/bazel/rules/proto",
    "rules_python": "/usr/share/bazel/rules/python",
}

# What stands in for rules_cc on 4.2.3: the native rules under the names rules_cc gives them.
_RULES_CC_DEFS = """
cc_binary = native.cc_binary
cc_import = native.cc_import
cc_library = native.cc_library
cc_proto_library = native.cc_proto_library
cc_test = native.cc_test
cc_toolchain = native.cc_toolchain
cc_toolchain_suite = native.cc_toolchain_suite
fdo_prefetch_hints = native.fdo_prefetch_hints
fdo_profile = native.fdo_profile
objc_library = native.objc_library
"""

# Only named by Bazel's default flags; never run, as weir does not collect coverage on 4.2.3.
_COVERAGE_BUILD = """
filegroup(
    name = "coverage_report_generator",
    srcs = [],
    visibility = ["//visibility:public"],
)
"""

def _written_repository_impl(repository_ctx):
    repository_ctx.file("WORKSPACE", "")
    repository_ctx.file("BUILD", "")
    for path, content in repository_ctx.attr.files.items():
        repository_ctx.file(path, content)

written_repository = repository_rule(
    implementation = _written_repository_impl,
    attrs = {"files": attr.string_dict(doc = "path -> content")},
    doc = "A repository that consists of the given files.",
)

def rules_cc_shim(name):
    written_repository(name = name, files = {"cc/BUILD": "", "cc/defs.bzl": _RULES_CC_DEFS})

def coverage_shim(name):
    written_repository(name = name, files = {"BUILD": _COVERAGE_BUILD})

def _weir_host_impl(repository_ctx):
    # Debian builds Bazel without a version string ("no_version"), so the generation is told by an
    # API: repository_ctx.watch came in 7.1.
    bazel_7 = hasattr(repository_ctx, "watch")
    lines = []
    for name, path in (_BAZEL_7 if bazel_7 else _BAZEL_4).items():
        # Not installed: a Bazel from elsewhere, which has (or fetches) its own.
        if repository_ctx.path(path).exists:
            lines.append("    native.local_repository(name = \"%s\", path = \"%s\")" % (name, path))
    if not bazel_7:
        lines.append("    rules_cc_shim(name = \"rules_cc\")")
        lines.append("    coverage_shim(name = \"remote_coverage_tools\")")
    repository_ctx.file("BUILD", "")
    repository_ctx.file("repositories.bzl", "\n".join(
        [
            "load(\"@weir//bazel:host.bzl\", \"coverage_shim\", \"rules_cc_shim\")",
            "",
            "# Both are needed on Bazel 4 only.",
            "SHIMS = [coverage_shim, rules_cc_shim]",
            "",
            "def host_repositories():",
        ] + (lines or ["    pass"]) + [""],
    ))

weir_host = repository_rule(
    implementation = _weir_host_impl,
    local = True,
    doc = "Writes repositories.bzl for the Bazel that runs and the Debian packages it finds.",
)
