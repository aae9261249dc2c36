#include "xdp/interface_info.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"
#include "runtime/base/unique_fd.h"

namespace weir::xdp {
namespace {

// An ifreq for `name`, which is shorter than IFNAMSIZ.
ifreq Request(const std::string& name) {
  ifreq request = {};
  std::memcpy(request.ifr_name, name.c_str(), name.size() + 1);
  return request;
}

std::string ReadDriver(int fd, const std::string& name) {
  ethtool_drvinfo info = {};
  info.cmd = ETHTOOL_GDRVINFO;
  ifreq request = Request(name);
  request.ifr_data = reinterpret_cast<char*>(&info);
  if (ioctl(fd, SIOCETHTOOL, &request) != 0) return "";
  return std::string(info.driver, strnlen(info.driver, sizeof info.driver));
}

uint32_t ReadRxQueues(int fd, const std::string& name) {
  ethtool_channels channels = {};
  channels.cmd = ETHTOOL_GCHANNELS;
  ifreq request = Request(name);
  request.ifr_data = reinterpret_cast<char*>(&channels);
  // A device that does not know the request (tun, lo) has one queue as far as AF_XDP is concerned.
  if (ioctl(fd, SIOCETHTOOL, &request) != 0) return 1;
  return std::max(1u, channels.combined_count + channels.rx_count);
}

}  // namespace

absl::StatusOr<InterfaceInfo> ReadInterfaceInfo(const std::string& name) {
  InterfaceInfo info;
  info.name = name;
  info.index = name.size() < IFNAMSIZ ? static_cast<int>(if_nametoindex(name.c_str())) : 0;
  if (info.index == 0) {
    return absl::NotFoundError(absl::StrCat("no interface named ", name, ": 'ip link' lists them"));
  }
  const runtime::UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return runtime::ErrnoStatus(errno, "cannot make a socket to read interfaces");

  ifreq request = Request(name);
  if (ioctl(fd.get(), SIOCGIFFLAGS, &request) != 0) {
    return runtime::ErrnoStatus(errno, absl::StrCat("cannot read the flags of interface ", name));
  }
  if ((request.ifr_flags & IFF_UP) == 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("interface ", name, " is down: 'ip link set ", name, " up'"));
  }
  if (ioctl(fd.get(), SIOCGIFMTU, &request) != 0) {
    return runtime::ErrnoStatus(errno, absl::StrCat("cannot read the MTU of interface ", name));
  }
  info.mtu = static_cast<uint32_t>(request.ifr_mtu);
  if (ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0) {
    return runtime::ErrnoStatus(errno, absl::StrCat("cannot read the MAC of interface ", name));
  }
  if (request.ifr_hwaddr.sa_family == ARPHRD_ETHER) {
    std::memcpy(info.mac.data(), request.ifr_hwaddr.sa_data, info.mac.size());
  }
  info.driver = ReadDriver(fd.get(), name);
  info.rx_queues = ReadRxQueues(fd.get(), name);
  for (const char* driver : {"veth", "tun", "virtio_net"}) {  // tap devices are tun's too
    if (info.driver == driver) info.partial_checksums = true;
  }
  return info;
}

}  // namespace weir::xdp
