#include "runtime/io/uring_features.h"

#include <liburing.h>
#include <sys/utsname.h>

#include <cstdio>

namespace weir::runtime {
namespace {

bool KernelIsAtLeast(int major, int minor) {
  utsname name{};
  int has_major = 0, has_minor = 0;
  if (uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &has_major, &has_minor) != 2) return false;
  return has_major > major || (has_major == major && has_minor >= minor);
}

UringFeatures Probe() {
  UringFeatures features;
  io_uring_probe* probe = io_uring_get_probe();
  if (probe == nullptr) return features;
  features.msg_ring = io_uring_opcode_supported(probe, IORING_OP_MSG_RING) != 0 && KernelIsAtLeast(6, 3);
  features.fixed_files = io_uring_opcode_supported(probe, IORING_OP_FILES_UPDATE) != 0 && KernelIsAtLeast(6, 13);
  features.send_zc_report = io_uring_opcode_supported(probe, IORING_OP_SENDMSG_ZC) != 0 && KernelIsAtLeast(6, 2);
  io_uring_free_probe(probe);
  return features;
}

}  // namespace

UringFeatures UringFeatures::OfThisKernel() {
  static const UringFeatures features = Probe();
  return features;
}

}  // namespace weir::runtime
