#include "netstack/link/memory_link.h"

#include <cstring>

#include "netstack/link/ethernet_rcv.h"

namespace weir::netstack {

size_t MemoryLink::CarryOneWay(const End& from, const End& to, Nanos now_ns) {
  constexpr size_t kBurst = 64;
  runtime::Frame* burst[kBurst];
  size_t n = 0;
  while (n < kBurst && !from.interface.device.tx_empty()) {
    // As an AF_XDP ring gives it: behind 256 bytes of headroom. A receiver without frames loses it, as a NIC would.
    runtime::Frame* sent = from.interface.device.TxPop();
    if (runtime::Frame* received = to.inet.ip.pool.Alloc(256)) {
      received->len = sent->len;
      std::memcpy(received->data, sent->data, sent->len);
      burst[n++] = received;
    }
    runtime::Unref(sent);
  }
  ReceiveBurst(to.inet, to.interface, {burst, n}, now_ns);
  return n;
}

}  // namespace weir::netstack
