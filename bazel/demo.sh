#!/bin/bash
# Shows weir at work on this machine, in two network namespaces of its own joined by a veth pair: a server behind an XDP
# program in one, unmodified Linux clients (ping, curl, socat, ab) in the other; then the same programs over kernel
# sockets. Takes about a minute once everything is built; leaves nothing behind, whatever happens.
#
#   sudo bazel/demo.sh
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."
export HOME="${HOME:-/root}" USER="${USER:-root}"
export PATH="${PATH:-/usr/bin:/bin}:/usr/sbin:/sbin"
read -r -a startup <<<"${WEIR_BAZEL_STARTUP:-}"

if ((EUID != 0)); then
  echo "demo: needs root to make network namespaces: sudo bazel/demo.sh" >&2
  exit 1
fi

# Names of this run alone, so that two runs do not collide.
server_ns="weir-demo-s$$" client_ns="weir-demo-c$$"
server_if="ws$$" client_if="wc$$"
client_ip=10.88.0.1
weir_ip=10.88.0.2    # of weir's own stack
kernel_ip=10.88.0.3  # of the kernel, on the same interface
metrics=127.0.0.1:9100
work="$(mktemp -d /tmp/weir-demo.XXXXXX)"
server_pid=""
web_pid=""
rates=()

Cleanup() {
  local code=$?
  trap - EXIT INT TERM
  if [[ -n "${server_pid}" ]]; then kill "${server_pid}" 2>/dev/null || true; fi
  if [[ -n "${web_pid}" ]]; then kill "${web_pid}" 2>/dev/null || true; fi
  ip netns del "${server_ns}" 2>/dev/null || true
  ip netns del "${client_ns}" 2>/dev/null || true
  rm -rf "${work}"
  if ((code != 0)); then echo "demo: FAILED (exit code ${code})" >&2; fi
  exit "${code}"
}
trap Cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

Title() { printf '\n== %s\n' "$*"; }
Step() { printf -- '-- %s\n' "$*"; }
Fail() {
  echo "demo: $*" >&2
  exit 1
}
Client() { ip netns exec "${client_ns}" timeout 60 "$@"; }

Build() {
  bash bazel/setup.sh
  local bazel7=()
  if grep -q enable_workspace <(bazel "${startup[@]}" help build </dev/null 2>/dev/null); then bazel7=(--config=bazel7); fi
  Step "building the examples (the first time takes some minutes)"
  bazel "${startup[@]}" build "${bazel7[@]}" -c opt --color=no --curses=no --noshow_progress \
    //examples/http_server //examples/udp_echo //examples/tcp_echo //examples/tcp_proxy \
    </dev/null >"${work}/build.log" 2>&1 ||
    { cat "${work}/build.log" >&2; Fail "the build failed"; }
  local bin
  bin="$(bazel "${startup[@]}" info "${bazel7[@]}" -c opt bazel-bin </dev/null 2>/dev/null)/examples"
  http_server="${bin}/http_server/http_server"
  udp_echo="${bin}/udp_echo/udp_echo"
  tcp_proxy="${bin}/tcp_proxy/tcp_proxy"
}

MakeNetwork() {
  ip netns add "${server_ns}"
  ip netns add "${client_ns}"
  ip link add "${server_if}" netns "${server_ns}" type veth peer name "${client_if}" netns "${client_ns}"
  ip -n "${server_ns}" addr add "${kernel_ip}/24" dev "${server_if}"
  ip -n "${client_ns}" addr add "${client_ip}/24" dev "${client_if}"
  local ns
  for ns in "${server_ns}" "${client_ns}"; do ip -n "${ns}" link set lo up; done
  ip -n "${server_ns}" link set "${server_if}" up
  ip -n "${client_ns}" link set "${client_if}" up
  mkdir "${work}/www"
  echo '<h1>Hello from weir</h1>' >"${work}/www/index.html"
  head -c 10000000 /dev/urandom >"${work}/www/ten_megabytes.bin"
}

# Starts a program in the server's namespace and waits for its ready line. $@: program and flags.
Start() {
  : >"${work}/server.log"  # what the last server said there is not this one's
  ip netns exec "${server_ns}" "$@" >"${work}/server.log" 2>&1 &  # a plain command, so that $! is the server
  server_pid=$!
  for _ in $(seq 100); do
    if grep -q '^weir: ready' "${work}/server.log"; then
      cat "${work}/server.log"
      return
    fi
    kill -0 "${server_pid}" 2>/dev/null || break
    sleep 0.1
  done
  cat "${work}/server.log" >&2
  Fail "the server did not come up"
}

Stop() {
  kill "${server_pid}"
  wait "${server_pid}" || Fail "the server ended with an error: $(cat "${work}/server.log")"
  server_pid=""
}

# $1: address to fetch from, $2: name of the stack.
Fetch() {
  local url="http://$1" want got rate
  Step "curl of a page"
  Client curl -sS --fail "${url}/index.html"
  Step "curl of a 10 MB file, compared by checksum"
  want="$(sha256sum <"${work}/www/ten_megabytes.bin")"
  got="$(Client curl -sS --fail -w '%{stderr}   %{size_download} bytes at %{speed_download} bytes/s\n' \
    "${url}/ten_megabytes.bin" | sha256sum)"
  if [[ "${want}" != "${got}" ]]; then Fail "the file arrived changed: ${got} instead of ${want}"; fi
  echo "   sha256 ${got%% *}: the same"
  Step "10,000 keep-alive requests over 16 connections (ab -k)"
  Client ab -q -k -n 10000 -c 16 "${url}/index.html" >"${work}/ab.log" 2>&1 || { cat "${work}/ab.log" >&2; Fail "ab failed"; }
  grep -Eq '^Failed requests: +0$' "${work}/ab.log" || { cat "${work}/ab.log" >&2; Fail "requests failed"; }
  rate="$(awk '/^Requests per second/ { printf "%.0f", $4 }' "${work}/ab.log")"
  rates+=("$(printf '%-8s %9s requests/s' "$2" "${rate}")")
  echo "   ${rate} requests/s, none failed"
}

# $1: address.
UdpEcho() {
  Step "a UDP echo (socat)"
  local answer
  answer="$(echo "hello over UDP" | Client socat -t 2 - "UDP:$1:7")"
  echo "   sent 'hello over UDP', got '${answer}'"
  if [[ "${answer}" != "hello over UDP" ]]; then Fail "the echo differs"; fi
}

# A web server on kernel sockets in the client's namespace, behind weir's proxy. $@: flags of the stack.
Proxy() {
  local want got
  ip netns exec "${client_ns}" python3 -m http.server --bind "${client_ip}" --directory "${work}/www" 8000 \
    >"${work}/web.log" 2>&1 &
  web_pid=$!
  for _ in $(seq 100); do
    if grep -q "^LISTEN" <(ip netns exec "${client_ns}" ss -ltn "sport = :8000"); then break; fi
    sleep 0.1
  done
  Start "${tcp_proxy}" --port=80 --target="${client_ip}:8000" --metrics="${metrics}" "$@"
  Step "curl of the 10 MB file through the proxy, compared by checksum"
  want="$(sha256sum <"${work}/www/ten_megabytes.bin")"
  got="$(Client curl -sS --fail "http://${weir_ip}/ten_megabytes.bin" | sha256sum)"
  if [[ "${want}" != "${got}" ]]; then Fail "the file arrived changed: ${got} instead of ${want}"; fi
  echo "   sha256 ${got%% *}: the same; bytes that weir copied:" \
    "$(ip netns exec "${server_ns}" curl -sS --fail "http://${metrics}/" | awk '/^weir_copied_bytes_total/ { print $2 }')"
  Stop
  kill "${web_pid}"
  web_pid=""
}

ShowCounters() {
  Step "what the XDP program did with the frames that arrived (from the metrics page)"
  ip netns exec "${server_ns}" curl -sS --fail "http://${metrics}/" >"${work}/metrics"
  sed -n 's/^weir_steer_frames_total{.*action="\([a-z0-9_]*\)"} \([0-9]*\)$/\2 \1/p' "${work}/metrics" |
    awk '$1 > 0 { printf "   %10d %s\n", $1, $2 }'
  Step "and how they ended in weir's stack"
  sed -n 's/^weir_packets_total{.*outcome="\([A-Za-z0-9]*\)"} \([0-9]*\)$/\2 \1/p' "${work}/metrics" |
    awk '$1 > 0 { printf "   %10d %s\n", $1, $2 }'
}

XdpPart() {
  local xdp=(--stack=xdp --interface="${server_if}" --address="${weir_ip}/24")
  Title "http_server over weir's own stack (--stack=xdp), ${weir_ip}"
  Start "${http_server}" --root="${work}/www" --port=80 --metrics="${metrics}" "${xdp[@]}"
  Step "the interface now"
  ip -n "${server_ns}" link show "${server_if}" | sed 's/^/   /'
  Step "ping: weir answers for ${weir_ip}"
  Client ping -c 3 -i 0.2 -W 2 "${weir_ip}" | sed 's/^/   /'
  Step "ping: the kernel still answers for ${kernel_ip} on the same interface"
  Client ping -c 1 -W 2 "${kernel_ip}" | sed -n 's/^/   /; 2p'
  Fetch "${weir_ip}" xdp
  ShowCounters
  Stop
  Title "udp_echo over weir's own stack, ${weir_ip}"
  Start "${udp_echo}" --port=7 "${xdp[@]}"
  UdpEcho "${weir_ip}"
  Stop
  Title "tcp_proxy over weir's own stack, ${weir_ip}, to a web server on ${client_ip}"
  Proxy "${xdp[@]}"
  Step "the servers are gone, and so is the XDP program"
  if ip -n "${server_ns}" link show "${server_if}" | grep -q xdp; then Fail "an XDP program was left behind"; fi
  ip -n "${server_ns}" link show "${server_if}" | sed -n 's/^/   /; 1p'
}

KernelPart() {
  Title "the same http_server over kernel sockets (--stack=kernel), ${kernel_ip}"
  Start "${http_server}" --root="${work}/www" --port=80 --stack=kernel
  Step "ping: the kernel answers"
  Client ping -c 3 -i 0.2 -W 2 "${kernel_ip}" | sed 's/^/   /'
  Fetch "${kernel_ip}" kernel
  Stop
  Title "udp_echo over kernel sockets, ${kernel_ip}"
  Start "${udp_echo}" --port=7 --stack=kernel
  UdpEcho "${kernel_ip}"
  Stop
}

Title "weir demo"
Build
MakeNetwork
echo "   ${client_ns}: kernel ${client_ip} on ${client_if}  <-- veth -->  ${server_if}: weir ${weir_ip}, kernel ${kernel_ip}: ${server_ns}"
XdpPart
KernelPart
Title "keep-alive requests per second, one server thread, client (ab) on the same machine"
printf '   %s\n' "${rates[@]}"
echo
echo "demo: all steps done"
