#!/bin/bash
# loadgen's streams and connections for one request each, against weir's servers and the kernel's, on loopback; and that
# what goes wrong makes its exit code.
#
#   loadgen_test.sh LOADGEN TCP_ECHO WEIR_BULK_SERVER KERNEL_BULK_SERVER
set -u
loadgen="$1" echo_server="$2" weir_bulk="$3" kernel_bulk="$4"
work="$(mktemp -d)"
pids=()
failed=0
trap 'kill "${pids[@]}" 2>/dev/null; rm -rf "${work}"' EXIT

# Starts a server on a port that is free, with a free one behind it; that is then in `port`.
serve() {
  for try in 1 2 3 4 5; do
    port=$((20000 + RANDOM % 10000))
    "$1" "${2}${port}" >"${work}/server" 2>&1 &
    pids+=($!)
    for wait in {1..100}; do
      grep -q ready "${work}/server" && return
      kill -0 "${pids[-1]}" 2>/dev/null || break
      sleep 0.1
    done
  done
  echo "no server: $(cat "${work}/server")"
  exit 1
}

# `what` of the result is above 0 and there was no error.
moves() {
  local what="$1"
  shift
  if ! "${loadgen}" "$@" --duration=0.3 --warmup=0.1 --json="${work}/json" >"${work}/out" 2>&1; then
    echo "FAILED: $*: $(tail -n 1 "${work}/out")"
    failed=1
  elif ! grep -qE "\"errors\": 0," "${work}/json" || ! grep -qE "\"${what}\": [0-9.]*[1-9]" "${work}/json"; then
    echo "FAILED: $*: $(cat "${work}/json")"
    failed=1
  fi
}

fails() {
  local why="$1"
  shift
  "${loadgen}" "$@" --duration=0.2 --warmup=0.1 >"${work}/out" 2>&1
  if (($? != 1)) || ! grep -q "${why}" "${work}/out"; then
    echo "FAILED: $* was to fail, ${why}: $(tail -n 1 "${work}/out")"
    failed=1
  fi
}

serve "${kernel_bulk}" ""
moves bytes_per_s --mode=stream --direction=up --size=65536 --target="127.0.0.1:${port}"
moves bytes_per_s --mode=stream --direction=down --connections=3 --target="127.0.0.1:$((port + 1))"
fails "stopped answering" --mode=stream --direction=down --target="127.0.0.1:${port}"
serve "${weir_bulk}" --port=
moves bytes_per_s --mode=stream --direction=up --size=1000 --connections=3 --target="127.0.0.1:${port}"
moves bytes_per_s --mode=stream --direction=down --target="127.0.0.1:$((port + 1))"
serve "${echo_server}" --port=
moves bytes_per_s --mode=stream --direction=both --size=10000 --connections=2 --target="127.0.0.1:${port}"
moves requests --mode=crr --size=5000 --connections=4 --rate=500 --target="127.0.0.1:${port}"
kill "${pids[-1]}"
wait "${pids[-1]}" 2>/dev/null
fails ECONNREFUSED --mode=stream --target="127.0.0.1:${port}"
fails ECONNREFUSED --mode=crr --target="127.0.0.1:${port}"
fails "a stream has no --rate" --mode=stream --rate=1 --target="127.0.0.1:${port}"
exit "${failed}"
