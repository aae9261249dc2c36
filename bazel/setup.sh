#!/bin/bash
# Installs the Debian packages that building, testing and the demo need; nothing else is touched.
# Safe to run again; takes a fraction of a second when all is there. Needs root only when it installs.
set -euo pipefail

packages=(
  # Building: Bazel with the rule sets it would otherwise download, the compiler and linker (C++ and
  # BPF), the sanitizers' runtimes and symbolizer, pkg-config to find libraries.
  bazel-bootstrap bazel-rules-java bazel-rules-proto bazel-platforms
  clang-19 lld-19 llvm-19 libclang-rt-19-dev libstdc++-12-dev pkg-config
  # io_uring, XDP and AF_XDP; bpftool embeds BPF objects.
  liburing-dev libxdp-dev libbpf-dev bpftool libelf-dev zlib1g-dev
  # C++ libraries.
  libabsl-dev libc-ares-dev libhttp-parser-dev libldns-dev
  # Tests and benchmarks.
  libgtest-dev libgmock-dev libbenchmark-dev python3 gnuplot-nox
  # What benchmarks compare with.
  libboost-dev liblwip-dev knot
  # The demo and the tests with real peers: unmodified clients, namespaces, load, captures.
  ca-certificates curl wget netcat-openbsd iputils-ping iputils-tracepath iproute2 socat apache2-utils wrk tcpdump ethtool
  procps
  dnsmasq-base ndisc6 iputils-arping iperf3 nginx-light
  traceroute nmap
  bind9-dnsutils dnsperf knot-dnsutils
)

# What a later Debian calls a package that Debian 12 has under another name.
declare -A other_name=([bazel-rules-java]=- [bazel-rules-proto]=- [bazel-platforms]=-
                       [libstdc++-12-dev]=libstdc++-14-dev)

# $1: a package. True when it is installed.
Installed() {
  [[ "${installed}" == *$'\n'"$1"$'\n'* ]]
}

installed=$'\n'$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' 2>/dev/null |
  awk '$1 == "ii" { print $2 }')$'\n'
missing=()
for package in "${packages[@]}"; do
  Installed "${package}" && continue
  alias="${other_name[${package}]:-}"
  [[ -n "${alias}" && "${alias}" != - ]] && Installed "${alias}" && continue
  missing+=("${package}")
done
if ((${#missing[@]} == 0)); then
  exit 0
fi
if ((EUID != 0)); then
  echo "setup: missing: ${missing[*]}; run 'sudo bazel/setup.sh' to install" >&2
  exit 1
fi

echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq </dev/null
# A package this release does not have under this name: take the other name, or leave it out where
# the release's Bazel brings it along ("-").
wanted=()
for package in "${missing[@]}"; do
  alias="${other_name[${package}]:-}"
  if [[ -n "${alias}" ]] && ! apt-cache show "${package}" >/dev/null 2>&1; then
    [[ "${alias}" == - ]] || wanted+=("${alias}")
  else
    wanted+=("${package}")
  fi
done
((${#wanted[@]} == 0)) && exit 0
# Nothing that a package brings is started here: tests run their own nginx.
policy=/usr/sbin/policy-rc.d
if [[ ! -e "${policy}" ]]; then
  printf '#!/bin/sh\nexit 101\n' >"${policy}"
  chmod +x "${policy}"
  trap 'rm -f "${policy}"' EXIT
fi
if ! apt-get install -y -qq --no-install-recommends "${wanted[@]}" </dev/null >/tmp/weir-setup.$$ 2>&1; then
  tail -n 30 /tmp/weir-setup.$$ >&2
  rm -f /tmp/weir-setup.$$
  echo "setup: apt-get install failed: see above" >&2
  exit 1
fi
rm -f /tmp/weir-setup.$$
