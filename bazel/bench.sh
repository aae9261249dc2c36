#!/bin/bash
# Builds with optimization and runs the benchmarks: the runtime's hot paths, UDP and TCP against lwIP (Google Benchmark),
# open connections, then TCP echo over loopback on kernel sockets against an epoll server and a Boost.Asio one, and as root
# UDP echo over a veth against a bare AF_XDP reflector, both interleaved. bench/README.md says what the figures mean.
#
#   bazel/bench.sh            about five minutes
#   bazel/bench.sh --quick    about two
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export HOME="${HOME:-/root}" USER="${USER:-root}"
export PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin"
read -r -a startup <<<"${WEIR_BAZEL_STARTUP:-}"

rounds=5
if [[ "${1:-}" == --quick ]]; then
  rounds=2
elif (($# > 0)); then
  echo "bench: unknown argument '$1': --quick is the only one" >&2
  exit 1
fi

bash bazel/setup.sh
bazel7=()
if grep -q enable_workspace <(bazel "${startup[@]}" help build </dev/null 2>/dev/null); then bazel7=(--config=bazel7); fi
bazel "${startup[@]}" build "${bazel7[@]}" -c opt --color=no --curses=no --noshow_progress \
  //bench/... //examples/tcp_echo //examples/udp_echo </dev/null
bin="$(bazel "${startup[@]}" info "${bazel7[@]}" -c opt bazel-bin </dev/null 2>/dev/null)"

echo "machine: $(nproc) processors, $(sed -n 's/^model name[^:]*: //p;' /proc/cpuinfo | head -n 1), Linux $(uname -r)"
"${bin}/bench/micro/runtime_benchmark" --benchmark_min_time=0.3
"${bin}/bench/micro/udp_benchmark" --benchmark_min_time=0.2 --benchmark_repetitions="${rounds}" \
  --benchmark_enable_random_interleaving=true
"${bin}/bench/micro/tcp_benchmark" --benchmark_min_time=0.2 --benchmark_repetitions="${rounds}" \
  --benchmark_enable_random_interleaving=true
"${bin}/bench/micro/tcp_connections_benchmark"
"${bin}/bench/micro/held_buffers_benchmark"
python3 bench/compare_echo.py "${bin}" --rounds="${rounds}"
if ((EUID == 0)); then
  python3 bench/compare_udp.py "${bin}" --rounds="${rounds}"
else
  echo "bench: UDP over a veth is left out: it needs root"
fi
