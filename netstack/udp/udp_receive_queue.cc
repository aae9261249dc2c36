#include "netstack/udp/udp_receive_queue.h"

#include <new>
#include <utility>

#include "runtime/base/recycler.h"

namespace weir::netstack {

bool UdpReceiveQueue::Push(Datagram&& datagram) {
  const size_t frames = datagram.data.buffers().size();
  if (frames_ + sock_.held() + frames > ring_.capacity()) return false;
  frames_ += frames;
  void* memory = runtime::Recycler::ThisThread().Alloc(sizeof(Datagram));
  *ring_.PushSlot() = reinterpret_cast<Slot>(new (memory) Datagram(std::move(datagram))) | kRecord;
  return true;
}

Datagram UdpReceiveQueue::Peek() {
  const Slot slot = ring_.Front();
  if ((slot & kRecord) != 0) return reinterpret_cast<Datagram*>(slot - kRecord)->Share();
  Datagram datagram;
  auto* frame = reinterpret_cast<runtime::Frame*>(slot);
  runtime::Ref(frame);
  Read(*frame, datagram);
  return datagram;
}

void UdpReceiveQueue::Unpack(Datagram* record, Datagram& to) noexcept {
  frames_ -= record->data.buffers().size() - 1;  // PopTo took one off
  RecvBuffer data;
  for (size_t left = record->data.buffers().size(); left > 0; --left) {
    std::span<std::byte> bytes;
    runtime::Frame* frame = record->data.PopFront(&bytes);
    HandOver(frame);
    data.Append(frame, bytes);
  }
  to = std::move(*record);
  to.data = std::move(data);
  record->~Datagram();
  runtime::Recycler::ThisThread().Free(record, sizeof(Datagram));
}

}  // namespace weir::netstack
