#include "tests/support/packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>

#include "runtime/base/check.h"

namespace weir::testing_support {
namespace {

constexpr size_t kLargestFrame = 65536 + 64;  // offloads can make it so

}  // namespace

PacketSocket::PacketSocket(const char* device)
    : fd_(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
  WEIR_CHECK(fd_.valid());
  // Room for what a test sends before it looks: the default holds some 90 frames.
  const int bytes = 16 << 20;
  WEIR_CHECK(setsockopt(fd_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) == 0);
  sockaddr_ll address = {};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(device));
  WEIR_CHECK(address.sll_ifindex != 0);
  WEIR_CHECK(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
}

bool PacketSocket::Send(std::span<const uint8_t> frame) {
  return send(fd_.get(), frame.data(), frame.size(), 0) == static_cast<ssize_t>(frame.size());
}

std::optional<std::vector<uint8_t>> PacketSocket::Receive(int timeout_ms) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point deadline = Clock::now() + std::chrono::milliseconds(timeout_ms);
  std::vector<uint8_t> frame(kLargestFrame);
  for (;;) {
    sockaddr_ll from = {};
    socklen_t size = sizeof from;
    const ssize_t n =
        recvfrom(fd_.get(), frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&from), &size);
    if (n >= 0) {
      if (from.sll_pkttype == PACKET_OUTGOING) continue;
      frame.resize(static_cast<size_t>(n));
      return frame;
    }
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left < 0) return std::nullopt;
    pollfd wait = {.fd = fd_.get(), .events = POLLIN, .revents = 0};
    poll(&wait, 1, static_cast<int>(left) + 1);
  }
}

}  // namespace weir::testing_support
