// PacketSocket: raw Ethernet frames on an interface through AF_PACKET, as a test's other end of the wire.
#ifndef TESTS_SUPPORT_PACKET_SOCKET_H_
#define TESTS_SUPPORT_PACKET_SOCKET_H_

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/base/unique_fd.h"

namespace weir::testing_support {

class PacketSocket {
 public:
  // Opens on `device` of the calling thread's namespace; stays there. Aborts on failure (needs root).
  explicit PacketSocket(const char* device);

  // Queues one frame, Ethernet header first, without FCS. False when the device refused it.
  bool Send(std::span<const uint8_t> frame);

  // The next frame that arrived (not those we sent), waiting up to `timeout_ms`; nothing when none came.
  std::optional<std::vector<uint8_t>> Receive(int timeout_ms);

 private:
  runtime::UniqueFd fd_;
};

}  // namespace weir::testing_support

#endif  // TESTS_SUPPORT_PACKET_SOCKET_H_
