#!/bin/bash
# Instructions per datagram of udp_benchmark's cases, counted by callgrind: they do not depend on what else the machine
# does. Each case runs one iteration, a burst of 64 datagrams, behind a warm-up that is not counted.
#
#   bench/micro/instructions.sh "$(bazel info -c opt bazel-bin)"      needs the package valgrind
set -euo pipefail

program="${1:?usage: instructions.sh BIN_DIR}/bench/micro/udp_benchmark"
burst=64
if ! command -v valgrind >/dev/null; then
  echo "instructions: no valgrind: apt-get install valgrind" >&2
  exit 1
fi
scratch="$(mktemp -d)"
trap 'rm -rf "${scratch}"' EXIT
for name in weir/64 lwip/64 weir/1472 lwip/1472; do
  # A time that the first iteration exceeds, so that there is no second.
  valgrind --tool=callgrind --callgrind-out-file="${scratch}/out" --toggle-collect='*MeasuredTurn*' \
    "${program}" --benchmark_filter="^${name}\$" --benchmark_min_time=1e-9 >"${scratch}/log" 2>&1 || {
    cat "${scratch}/log" >&2
    exit 1
  }
  awk -v name="${name}" -v burst="${burst}" \
    '/^(summary|totals):/ { printf "%-10s %7.1f instructions a datagram\n", name, $2 / burst; exit }' "${scratch}/out"
done
