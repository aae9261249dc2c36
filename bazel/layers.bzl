"""Who may depend on a layer: constants for `visibility =`. The picture is in ARCHITECTURE.md.

    load("//bazel:layers.bzl", "VIS_CORE")
    weir_library(name = "task", ..., visibility = VIS_CORE)

A unit that only its own layer needs stays private (Bazel's default) or takes its package's
"//path:__subpackages__". tests/tidy checks the same arrows on the #include lines.

    constant      for targets in                  seen by
    VIS_BASE      runtime/base                    all of weir
    VIS_BUFFER    runtime/buffer                  all but runtime/base
    VIS_CORE      runtime/core                    runtime/io, netstack/{socket,host}, programs
    VIS_IO        runtime/io                      netstack/{socket,host}, programs
    VIS_XDP       xdp                             xdp, netstack/host, programs' tests and bench
    VIS_XDP_LINK  xdp:xdp_link                    VIS_XDP and netstack/{link,socket}
    VIS_PROTOCOL  netstack/{wire,ip,udp,tcp}      each other, netstack/{link,socket,host}, tests, bench
    VIS_LINK      netstack/link                   netstack/{socket,host}, tests, bench
    VIS_SOCKET    netstack/socket                 netstack/host, programs
    VIS_HOST      netstack/host                   programs
    VIS_PUBLIC    what other workspaces may use   everyone
"""

# Tests and benchmarks look at every layer; examples only at what a user has.
_TESTS = [
    "//bench:__subpackages__",
    "//tests:__subpackages__",
]

_PROGRAMS = ["//examples:__subpackages__"] + _TESTS

_PROTOCOLS = [
    "//netstack/ip:__subpackages__",
    "//netstack/tcp:__subpackages__",
    "//netstack/udp:__subpackages__",
    "//netstack/wire:__subpackages__",
]

_LINK = ["//netstack/link:__subpackages__"]

_SOCKET = ["//netstack/socket:__subpackages__"]

_HOST = ["//netstack/host:__subpackages__"]

VIS_PUBLIC = ["//visibility:public"]

VIS_BASE = ["//:__subpackages__"]

VIS_BUFFER = [
    "//netstack:__subpackages__",
    "//runtime/buffer:__subpackages__",
    "//runtime/core:__subpackages__",
    "//runtime/io:__subpackages__",
    "//xdp:__subpackages__",
] + _PROGRAMS

VIS_CORE = [
    "//runtime/core:__subpackages__",
    "//runtime/io:__subpackages__",
] + _SOCKET + _HOST + _PROGRAMS

VIS_IO = ["//runtime/io:__subpackages__"] + _SOCKET + _HOST + _PROGRAMS

VIS_XDP = ["//xdp:__subpackages__"] + _HOST + _TESTS

VIS_XDP_LINK = VIS_XDP + _LINK + _SOCKET

VIS_PROTOCOL = _PROTOCOLS + _LINK + _SOCKET + _HOST + _TESTS

VIS_LINK = _LINK + _SOCKET + _HOST + _TESTS

VIS_SOCKET = _SOCKET + _HOST + _PROGRAMS

VIS_HOST = _HOST + _PROGRAMS
