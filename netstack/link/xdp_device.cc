#include "netstack/link/xdp_device.h"

#include <algorithm>

#include "netstack/link/ethernet_rcv.h"

namespace weir::netstack {

size_t XdpDevice::Receive(Nanos now_ns) {
  const size_t copied = tap_.Readable() ? tap_.Receive(inet_, interface_, capture_, now_ns) : 0;
  runtime::Frame* burst[xdp::XdpLink::kBurst];
  const size_t n = link_.Poll(burst);
  if (n == 0) return copied;
  if (capture_ != nullptr) {
    for (size_t i = 0; i < n; ++i) capture_->Write(burst[i]->bytes());
  }
  ReceiveBurst(inet_, interface_, {burst, n}, now_ns);
  return copied + n;
}

void XdpDevice::Transmit() {
  NetDevice& device = interface_.device;
  link_.ReapCompletions();
  while (!device.tx_empty()) {
    runtime::Frame* burst[xdp::XdpLink::kBurst];
    const size_t wanted = std::min(device.tx_size(), xdp::XdpLink::kBurst);
    for (size_t i = 0; i < wanted; ++i) burst[i] = device.TxAt(i);
    const size_t sent = link_.Transmit({burst, wanted});
    for (size_t i = 0; i < sent; ++i) {
      if (capture_ != nullptr) capture_->Write(burst[i]->bytes());
      runtime::Unref(device.TxPop());  // the link has its own reference now
    }
    if (sent < wanted) break;
  }
  link_.Doorbell();
}

}  // namespace weir::netstack
