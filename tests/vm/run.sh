#!/bin/bash
# Runs test binaries on another kernel: one of Debian's kernel packages, in QEMU without hardware virtualization. Not
# part of bazel/test.sh, for it takes minutes and a download. Linux 6.1, weir's floor, is Debian 12's own:
#
#   bazel build //tests/runtime/... //tests/netstack/socket/...
#   tests/vm/run.sh linux-image-amd64 out/bin/tests/runtime/*/*_test out/bin/tests/netstack/socket/*_test
#
# The package is a name for `apt-get download` (a metapackage stands for what it depends on) or a .deb file; it and
# busybox-static are unpacked into a temporary folder. Needs the package qemu-system-x86, and `ip` (iproute2) for tests
# that make namespaces, for which the guest has the module veth.
#
# The guest has two processors and no network. For each binary there is a line "PASSED" or "FAILED (code)", with the
# number of its test cases, or the output of one that failed; the exit code is 0 when all passed. WEIR_VM_FLAGS is
# passed on to each binary, for instance --gtest_filter=...
set -euo pipefail

Fail() {
  echo "vm: $*" >&2
  exit 1
}

(($# >= 2)) || Fail "usage: tests/vm/run.sh PACKAGE TEST..."
command -v qemu-system-x86_64 >/dev/null || Fail "needs QEMU: apt-get install qemu-system-x86"
package="$1"
shift
export PATH="${PATH}:/usr/sbin:/sbin"
work="$(mktemp -d /tmp/weir-vm.XXXXXX)"
trap 'rm -rf "${work}"' EXIT
root="${work}/root"
# Seconds; the slowest, inet_alloc_test with its million requests, takes about 300 without KVM.
readonly test_limit=1200

# Unpacks package $1 below $2.
Unpack() {
  local deb="$1" depends
  if [[ ! -f "${deb}" ]]; then
    depends="$(apt-cache depends "$1" | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)$/\1/p' | head -n 1)"
    mkdir -p "${work}/deb"
    (cd "${work}/deb" && apt-get -qq -o APT::Sandbox::User=root download "${depends:-$1}") ||
      Fail "cannot download ${depends:-$1}"
    deb="$(ls "${work}"/deb/*.deb)"
  fi
  dpkg-deb -x "${deb}" "$2"
  rm -rf "${work}/deb"
}

# Puts the program $1 at $2 in the guest, without debug information, and its libraries into the one folder where the
# guest looks for them: Bazel's programs expect theirs in places relative to their own.
Install() {
  local library
  mkdir -p "${root}$(dirname "$2")" "${root}/lib64" "${root}/lib"
  objcopy --strip-debug "$1" "${root}$2" 2>/dev/null || cp "$1" "${root}$2"
  for library in $(ldd "$1" 2>/dev/null | grep -o '/[^ ]*'); do
    case "${library}" in
      */ld-linux*) cp -L "${library}" "${root}/lib64/" ;;
      *) cp -Lu "${library}" "${root}/lib/" ;;
    esac
  done
}

# The guest's first process: sets up, runs every test, and says how each ended.
WriteInit() {
  cat >"${root}/init" <<INIT
#!/bin/sh
export PATH=/bin:/sbin:/usr/bin:/usr/sbin HOME=/ TEST_TMPDIR=/tmp
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
for at in /tmp /run /dev/shm; do mount -t tmpfs tmpfs \$at; done
mount -t devpts devpts /dev/pts
mount -t bpf bpf /sys/fs/bpf
for module in /modules/*.ko; do insmod \$module; done
ip link set lo up
ulimit -n 65536
echo
echo "vm: Linux \$(uname -r)"
for test in \$(cat /list); do
  cd /tmp
  timeout ${test_limit} /tests/\$test ${WEIR_VM_FLAGS:-} >/log 2>&1 </dev/null
  code=\$?
  if [ \$code = 0 ]; then
    sed -n 's/^.* \(PASSED\|SKIPPED\) *] \([0-9]* tests*\).*/vm-count: \2 \1/p' /log
  else
    sed 's/^/vm-log: /' /log
  fi
  echo "vm-result: \$code \$test"
done
poweroff -f
INIT
  chmod +x "${root}/init"
}

# Reads the guest's console, of which each line ends with a carriage return, and prints what is for the user.
Show() {
  local line counts="" code name
  while IFS= read -r line; do
    line="${line%$'\r'}"
    case "${line}" in
      "vm: "*) echo "${line}" ;;
      "vm-log: "*) echo "${line#vm-log: }" ;;
      "vm-count: "*) counts+=", ${line#vm-count: }" ;;
      "vm-result: "*)
        read -r _ code name <<<"${line}"
        if ((code == 0)); then echo "PASSED ${name}${counts,,}"; else echo "FAILED (${code}) ${name}"; fi
        counts=""
        ;;
    esac
  done
}

Unpack "${package}" "${work}/kernel"
Unpack busybox-static "${work}/busybox"
mkdir -p "${root}"/{bin,dev,etc,modules,proc,run,sys,tests,tmp,usr/sbin}
cp "${work}/busybox/bin/busybox" "${root}/bin/"
for applet in $("${work}/busybox/bin/busybox" --list); do
  [[ "${applet}" == busybox ]] || ln -s busybox "${root}/bin/${applet}"
done
# Not Busybox's own: its ip knows no namespaces, and its shell prefers its own programs to others of the same name.
for program in sh ip; do
  command -v "${program}" >/dev/null || continue
  rm "${root}/bin/${program}"
  Install "$(readlink -f "$(command -v "${program}")")" "/bin/${program}"
done
find "${work}/kernel" -name veth.ko -exec cp {} "${root}/modules/" \;
cp /etc/passwd /etc/group /etc/protocols /etc/services "${root}/etc/" 2>/dev/null || true
echo "127.0.0.1 localhost" >"${root}/etc/hosts"
count=0
for test in "$@"; do
  [[ -x "${test}" && ! -d "${test}" ]] || Fail "no such program: ${test}"
  name="$((++count))-$(basename "${test}")"
  Install "${test}" "/tests/${name}"
  echo "${name}" >>"${root}/list"
done
WriteInit
(cd "${root}" && find . | "${work}/busybox/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"${work}/initrd"

qemu-system-x86_64 -accel tcg,thread=multi -smp 2 -m 3072 -cpu max -nographic -no-reboot -net none \
  -kernel "$(ls "${work}"/kernel/boot/vmlinuz-*)" -initrd "${work}/initrd" \
  -append "console=ttyS0 quiet panic=-1" </dev/null 2>&1 | tee "${work}/console" | Show
done_count="$(grep -c '^vm-result: ' "${work}/console" || true)"
if ((done_count < count)); then
  tail -n 30 "${work}/console" >&2
  Fail "the guest ended after ${done_count} of ${count} tests: see above"
fi
! grep -q '^vm-result: [1-9]' "${work}/console"
