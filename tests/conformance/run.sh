#!/bin/bash
# Runs every wire script in real time against Linux: kernel_agent, compiled from the folder shared/interop beside the
# workspace. $1: the runner, $2: the folder of the scripts; the rest is for the runner.
set -euo pipefail
export PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin"
runner="$1" scripts="$2"
shift 2
workspace="$(cd "$(dirname "$(readlink -f "$0")")/../.." && pwd)"
source="${WEIR_KERNEL_AGENT:-${workspace}/../shared/interop/kernel_agent.c}"
if [[ ! -f "${source}" ]]; then
  exec "${runner}" --skip="there is no $(realpath -m "${source}")"
fi
folder="$(mktemp -d)"
trap 'rm -rf "${folder}"' EXIT
cc -O2 -o "${folder}/kernel_agent" "${source}" -lpthread
"${runner}" --agent="${folder}/kernel_agent \$WIRE_SOCKET" --stack=linux --scripts="${scripts}" "$@"
