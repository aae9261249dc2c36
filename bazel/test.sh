#!/bin/bash
# Installs what is missing, builds everything and runs every test; then the unit tests once more
# under the address and undefined-behaviour sanitizers, and those of coroutines, rings and sockets under
# the thread sanitizer. Ends with the line "N passed, N failed", which counts test cases, and a
# non-zero exit code when one failed or the build did.
#
#   sudo bazel/test.sh                 everything (as root: some tests make namespaces and devices)
#   WEIR_SANITIZERS= bazel/test.sh     without the further passes
#   WEIR_SANITIZERS="asan" ...         other configurations of .bazelrc, one after another
#   WEIR_BAZEL_STARTUP="--output_base=/tmp/x"   startup options of Bazel
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

# Neither is set in some CI systems, and Bazel wants both.
export HOME="${HOME:-/root}" USER="${USER:-root}"
export PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin"
sanitizers="${WEIR_SANITIZERS-asan-ubsan tsan}"
read -r -a startup <<<"${WEIR_BAZEL_STARTUP:-}"

# The last line when there is no result to count. $1: what went wrong.
Fail() {
  echo "$1" >&2
  echo "0 passed, 1 failed"
  exit 1
}

bash bazel/setup.sh || Fail "test: setup failed"
((EUID == 0)) || echo "test: not root: tests that need privileges will be SKIPPED" >&2

events="$(mktemp -d)"
trap 'rm -rf "${events}"' EXIT

# Bazel 7 is told to read the WORKSPACE; Bazel 4 does not know those flags.
bazel7=()
if grep -q enable_workspace <(bazel "${startup[@]}" help build </dev/null 2>/dev/null); then
  bazel7=(--config=bazel7)
fi

# $1: name of the pass; the rest: Bazel's arguments. Returns Bazel's code when the build failed.
Pass() {
  local name="$1" code=0
  shift
  echo "== ${name}"
  bazel "${startup[@]}" test "${bazel7[@]}" --keep_going --color=no --curses=no --noshow_progress \
    --test_output=summary --build_event_json_file="${events}/${name}.json" \
    "$@" </dev/null || code=$?
  # 0: all passed; 3: built, and tests failed (the report says which); 4: there were none to run.
  case "${code}" in
    0 | 3 | 4) return 0 ;;
    *) return "${code}" ;;
  esac
}

Pass tests //... || Fail "test: the build failed: see above"
for config in ${sanitizers}; do
  # Protocol code knows no threads.
  targets=(//...)
  if [[ "${config}" == tsan ]]; then targets=(//tests/runtime/... //tests/netstack/{socket,host}/...); fi
  # Tests tagged local work with the kernel, where a sanitizer's timing and memory get in the way.
  Pass "${config}" --config="${config}" --build_tests_only --test_tag_filters=-local,-nosan \
    --build_tag_filters=-local,-nosan "${targets[@]}" || Fail "test: the ${config} build failed: see above"
done
python3 bazel/test_report.py "${events}"/*.json
