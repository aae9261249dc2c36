#include "netstack/host/privileges.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/base/errno_status.h"

namespace weir {

absl::Status DropCapabilities() {
  // execve must not bring them back either.
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capset, &header, none) != 0) return runtime::ErrnoStatus(errno, "cannot drop capabilities");
  return absl::OkStatus();
}

}  // namespace weir
