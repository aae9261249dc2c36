#include "netstack/link/memory_link.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "netstack/link/ethernet_rcv.h"

namespace weir::netstack {

namespace {

// As an AF_XDP ring gives it: behind 256 bytes of headroom, and what does not fit there in further frames.
constexpr uint32_t kHeadroom = 256;

// A packet as it arrives.
class Arrival {
 public:
  explicit Arrival(runtime::FramePool& pool) : pool_(pool) {}

  void Append(std::span<const std::byte> bytes) {
    while (!bytes.empty() && !lost_) {
      if (last_ == nullptr || last_->tailroom() == 0) AddFrame();
      if (lost_) return;
      const size_t n = std::min<size_t>(bytes.size(), last_->tailroom());
      std::memcpy(last_->data + last_->len, bytes.data(), n);
      last_->len += static_cast<uint32_t>(n);
      bytes = bytes.subspan(n);
    }
  }
  // nullptr: a receiver without frames lost it, as a NIC would.
  runtime::Frame* Take() {
    if (!lost_) return first_;
    while (first_ != nullptr) runtime::Unref(std::exchange(first_, std::exchange(first_->next, nullptr)));
    return nullptr;
  }

 private:
  void AddFrame() {
    runtime::Frame* frame = pool_.Alloc(kHeadroom);
    lost_ = frame == nullptr;
    if (lost_) return;
    (last_ == nullptr ? first_ : last_->next) = frame;
    last_ = frame;
  }

  runtime::FramePool& pool_;
  runtime::Frame* first_ = nullptr;
  runtime::Frame* last_ = nullptr;
  bool lost_ = false;
};

}  // namespace

size_t MemoryLink::CarryOneWay(const End& from, const End& to, Nanos now_ns) {
  constexpr size_t kBurst = 64;
  runtime::Frame* burst[kBurst];
  size_t n = 0;
  NetDevice& device = from.interface.device;
  while (n < kBurst && !device.tx_empty()) {
    Arrival arrival(to.inet.ip.pool);
    for (bool continued = true; continued;) {
      continued = device.TxAt(0).continued();
      runtime::Frame* sent = device.TxPop();
      arrival.Append(sent->bytes());
      runtime::Unref(sent);
    }
    if (runtime::Frame* received = arrival.Take()) burst[n++] = received;
  }
  ReceiveBurst(to.inet, to.interface, {burst, n}, now_ns);
  return n;
}

}  // namespace weir::netstack
