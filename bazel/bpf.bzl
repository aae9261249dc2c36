"""BPF programs: C compiled for the BPF target and embedded as a libbpf skeleton."""

load("@system//:tools.bzl", "BPFTOOL", "BPF_INCLUDE", "CLANG")

def _bpf_skeleton_impl(ctx):
    source = ctx.file.src
    stem = source.basename[:-len(".bpf.c")]
    object_file = ctx.actions.declare_file(stem + ".bpf.o")
    skeleton = ctx.actions.declare_file(stem + ".skel.h")

    # Includes are written from the root of the repository, here and as an external one.
    root = ctx.label.workspace_root or "."
    args = ctx.actions.args()
    args.add_all(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-std=gnu11"])
    args.add_all(["-Wall", "-Wextra", "-Werror"])

    # libbpf's macros cast between pointers and integers, and SEC() programs are not declared before.
    args.add("-Wno-unused-parameter")

    # No path of this machine in the BTF line info.
    args.add("-fdebug-prefix-map=/proc/self/cwd=.")
    args.add("-fdebug-compilation-dir=.")
    args.add("-I" + root)
    if BPF_INCLUDE:
        args.add_all(["-idirafter", BPF_INCLUDE])
    args.add_all(["-c", source, "-o", object_file])
    ctx.actions.run(
        executable = CLANG,
        arguments = [args],
        inputs = depset([source] + ctx.files.hdrs),
        outputs = [object_file],
        mnemonic = "BpfCompile",
        progress_message = "Compiling BPF %s" % source.short_path,
    )

    # -g stays: bpftool and libbpf need the BTF that clang makes from it.
    ctx.actions.run_shell(
        command = "%s gen skeleton \"$1\" name \"$2\" > \"$3\"" % BPFTOOL,
        arguments = [object_file.path, stem + "_bpf", skeleton.path],
        inputs = [object_file],
        outputs = [skeleton],
        mnemonic = "BpfSkeleton",
        progress_message = "Embedding BPF %s" % object_file.short_path,
    )
    return [
        DefaultInfo(files = depset([skeleton])),
        OutputGroupInfo(object = depset([object_file])),
    ]

_bpf_skeleton = rule(
    implementation = _bpf_skeleton_impl,
    attrs = {
        "hdrs": attr.label_list(allow_files = [".h"], doc = "every header of the repository it includes"),
        "src": attr.label(allow_single_file = [".bpf.c"], mandatory = True),
    },
)

def weir_bpf(name, src, hdrs = [], **kwargs):
    """A C++ library with the header PACKAGE/STEM.skel.h for the BPF program STEM.bpf.c.

    The skeleton's type is STEM_bpf. Headers shared with C++ go into hdrs and become headers of the
    library as well. An include that is not in hdrs fails in Bazel's sandbox, so none stays untracked.

    Args:
      name: of the library.
      src: STEM.bpf.c.
      hdrs: the headers it includes from this repository.
      **kwargs: to cc_library.
    """
    _bpf_skeleton(
        name = name + "_skeleton",
        src = src,
        hdrs = hdrs,
        visibility = ["//visibility:private"],
    )
    native.cc_library(
        name = name,
        hdrs = hdrs + [":" + name + "_skeleton"],
        deps = ["@system//:libbpf"],
        **kwargs
    )
