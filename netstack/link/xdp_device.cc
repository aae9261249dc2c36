#include "netstack/link/xdp_device.h"

#include <algorithm>
#include <array>

#include "netstack/link/ethernet_rcv.h"

namespace weir::netstack {

namespace {

using runtime::Frame;

void Capture(PcapWriter& capture, const Frame* first, std::span<Frame* const> more) {
  std::array<std::span<const std::byte>, kMaxPacketFrames> pieces;
  size_t count = 0;
  pieces[count++] = first->bytes();
  for (const Frame* piece : more) pieces[count++] = piece->bytes();
  capture.Write({pieces.data(), count});
}

void CaptureReceived(PcapWriter& capture, const Frame* first) {
  std::array<Frame*, kMaxPacketFrames - 1> more;
  size_t count = 0;
  for (Frame* frame = first->next; frame != nullptr && count < more.size(); frame = frame->next) more[count++] = frame;
  Capture(capture, first, {more.data(), count});
}

}  // namespace

size_t XdpDevice::Receive(Nanos now_ns) {
  size_t frames = tap_ != nullptr && tap_->Readable() ? tap_->Receive(inet_, interface_, capture_, now_ns) : 0;
  for (const std::unique_ptr<xdp::XdpLink>& link : links_) frames += ReceiveFrom(*link, now_ns);
  return frames;
}

size_t XdpDevice::ReceiveFrom(xdp::XdpLink& link, Nanos now_ns) {
  Frame* burst[xdp::XdpLink::kBurst];
  const size_t n = link.Poll(burst);
  if (n == 0) return 0;
  if (capture_ != nullptr) {
    for (size_t i = 0; i < n; ++i) CaptureReceived(*capture_, burst[i]);
  }
  ReceiveBurst(inet_, interface_, {burst, n}, now_ns);
  return n;
}

void XdpDevice::Transmit() {
  NetDevice& device = interface_.device;
  if (links_.empty()) return peers_->Transmit(interface_, through_);
  xdp::XdpLink& link = *links_.front();
  link.ReapCompletions();
  while (!device.tx_empty()) {
    Frame* burst[xdp::XdpLink::kBurst];
    uint64_t continued = 0;
    size_t wanted = std::min(device.tx_size(), xdp::XdpLink::kBurst);
    for (size_t i = 0; i < wanted; ++i) {
      const TxFrame frame = device.TxAt(i);
      burst[i] = frame.frame();
      continued |= uint64_t{frame.continued()} << i;
    }
    while ((continued >> (wanted - 1) & 1) != 0) --wanted;  // the burst ends where a packet ends
    const size_t sent = link.Transmit({burst, wanted}, continued);
    for (size_t i = 0, first = 0; i < sent; ++i) {
      const bool last = (continued >> i & 1) == 0;
      if (capture_ != nullptr && last) Capture(*capture_, burst[first], {burst + first + 1, i - first});
      if (last) first = i + 1;
    }
    for (size_t i = 0; i < sent; ++i) runtime::Unref(device.TxPop());  // the link has its own reference now
    if (sent < wanted) break;
  }
  link.Doorbell();
}

}  // namespace weir::netstack
