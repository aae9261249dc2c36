#!/bin/bash
# Builds with optimization and runs the benchmarks: weir's servers and others over a veth pair, interleaved, with one load
# generator (bench/compare; as root), then what is measured in memory: the runtime's hot paths, UDP and TCP next to lwIP,
# open connections, kept buffers. bench/README.md says what the figures mean.
#
# Writes bench/results: latest.json, latest.md, plots.
#
#   bazel/bench.sh            within twenty minutes
#   bazel/bench.sh --quick    within four: fewer and shorter rounds, and nothing of what is in memory
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export HOME="${HOME:-/root}" USER="${USER:-root}"
export PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin"
read -r -a startup <<<"${WEIR_BAZEL_STARTUP:-}"

quick=
if [[ "${1:-}" == --quick ]]; then
  quick=yes
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

if ((EUID == 0)); then
  rounds=()
  if [[ -n "${quick}" ]]; then rounds=(--rounds=2 --seconds=0.7); fi
  python3 bench/compare/compare.py "${bin}" --results=bench/results "${rounds[@]}"
else
  echo "bench: servers over a veth pair are left out: they need root"
fi
[[ -z "${quick}" ]] || exit 0
if ((EUID == 0)); then python3 bench/compare_bulk.py "${bin}"; fi

interleaved=(--benchmark_min_time=0.2 --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true
             --benchmark_report_aggregates_only=true)
"${bin}/bench/micro/runtime_benchmark" --benchmark_min_time=0.3
"${bin}/bench/micro/udp_benchmark" "${interleaved[@]}"
"${bin}/bench/micro/tcp_benchmark" "${interleaved[@]}"
"${bin}/bench/micro/tcp_connections_benchmark"
"${bin}/bench/micro/held_buffers_benchmark"
