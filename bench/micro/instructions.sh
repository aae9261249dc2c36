#!/bin/bash
# Instructions for each datagram, segment, request and connection of udp_benchmark's and tcp_benchmark's cases, counted by
# callgrind: they do not depend on what else the machine does. Each case runs one iteration, of 64 of them, behind a warm-up
# that is not counted.
#
#   bench/micro/instructions.sh "$(bazel info -c opt bazel-bin)"      needs the package valgrind
set -euo pipefail

programs="${1:?usage: instructions.sh BIN_DIR}/bench/micro"
burst=64
if ! command -v valgrind >/dev/null; then
  echo "instructions: no valgrind: apt-get install valgrind" >&2
  exit 1
fi
scratch="$(mktemp -d)"
trap 'rm -rf "${scratch}"' EXIT

# $1: program; $2: its case; $3: what there are 64 of
Count() {
  # A time that the first iteration exceeds, so that there is no second.
  valgrind --tool=callgrind --callgrind-out-file="${scratch}/out" --toggle-collect='*MeasuredTurn*' \
    "${programs}/$1" --benchmark_filter="^$2\$" --benchmark_min_time=1e-9 >"${scratch}/log" 2>&1 || {
    cat "${scratch}/log" >&2
    exit 1
  }
  awk -v name="${2%/manual_time}" -v burst="${burst}" -v item="$3" \
    '/^(summary|totals):/ { printf "%-18s %7.1f instructions a %s\n", name, $2 / burst, item; exit }' "${scratch}/out"
}

for stack in weir lwip; do
  Count udp_benchmark "${stack}/64" datagram
  Count udp_benchmark "${stack}/1472" datagram
  Count tcp_benchmark "stream/${stack}/1/manual_time" segment
  Count tcp_benchmark "stream/${stack}/64/manual_time" segment
  Count tcp_benchmark "turn/${stack}/64/manual_time" request
  Count tcp_benchmark "connect/${stack}/64/manual_time" connection
done
