#include "netstack/udp/udp_receive_queue.h"

#include <new>
#include <utility>

#include "runtime/base/recycler.h"

namespace weir::netstack {

bool UdpReceiveQueue::Push(Datagram&& datagram) {
  const auto frames = static_cast<uint32_t>(datagram.data.buffers().size());
  if (sock_.held() + frames > room_) return false;
  sock_.Take(frames);
  void* memory = runtime::Recycler::ThisThread().Alloc(sizeof(Datagram));
  *ring_.PushSlot() = reinterpret_cast<Slot>(new (memory) Datagram(std::move(datagram))) | kRecord;
  return true;
}

Datagram UdpReceiveQueue::Peek() {
  const Slot slot = ring_.Front();
  if ((slot & kRecord) != 0) return reinterpret_cast<Datagram*>(slot - kRecord)->Share();
  auto* frame = reinterpret_cast<runtime::Frame*>(slot);
  runtime::Ref(frame);
  return Read(*frame);
}

Datagram UdpReceiveQueue::PopUnusual() {
  const Slot slot = ring_.Pop();
  if ((slot & kRecord) == 0) {
    auto* frame = reinterpret_cast<runtime::Frame*>(slot);
    if (!frame->charged()) HandOver(frame);
    return Read(*frame);
  }
  auto* record = reinterpret_cast<Datagram*>(slot - kRecord);
  RecvBuffer data;
  for (size_t left = record->data.buffers().size(); left > 0; --left) {
    std::span<std::byte> bytes;
    runtime::Frame* frame = record->data.PopFront(&bytes);
    HandOver(frame);
    data.Append(frame, bytes);
  }
  Datagram datagram{*record, std::move(data)};
  record->~Datagram();
  runtime::Recycler::ThisThread().Free(record, sizeof(Datagram));
  return datagram;
}

void UdpReceiveQueue::HandOver(runtime::Frame* frame) {
  if (frame->refs == 1 && !frame->charged()) {
    frame->pool->ChargeTaken(frame, sock_);
  } else {
    sock_.PutBack(1);
  }
}

}  // namespace weir::netstack
