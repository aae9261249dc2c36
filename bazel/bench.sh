#!/bin/bash
# Builds with optimization and runs the benchmarks: the runtime's hot paths (Google Benchmark), then TCP echo over loopback
# on kernel sockets against an epoll server and a Boost.Asio one, interleaved. bench/README.md says what the figures mean.
#
#   bazel/bench.sh            about three minutes
#   bazel/bench.sh --quick    about one
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
  //bench/... //examples/tcp_echo </dev/null
bin="$(bazel "${startup[@]}" info "${bazel7[@]}" -c opt bazel-bin </dev/null 2>/dev/null)"

echo "machine: $(nproc) processors, $(sed -n 's/^model name[^:]*: //p;' /proc/cpuinfo | head -n 1), Linux $(uname -r)"
"${bin}/bench/micro/runtime_benchmark" --benchmark_min_time=0.3
python3 bench/compare_echo.py "${bin}" --rounds="${rounds}"
