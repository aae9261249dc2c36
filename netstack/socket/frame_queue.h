// FrameQueue: received frames that no reader has taken yet, first in first out, linked through Frame::next; nothing is
// allocated. It holds one reference on each frame. Used by the kernel sockets, one frame a completion.
#ifndef NETSTACK_SOCKET_FRAME_QUEUE_H_
#define NETSTACK_SOCKET_FRAME_QUEUE_H_

#include <cstddef>
#include <utility>

#include "runtime/buffer/frame_pool.h"

namespace weir::netstack {

class FrameQueue {
 public:
  FrameQueue() = default;
  FrameQueue(const FrameQueue&) = delete;
  FrameQueue& operator=(const FrameQueue&) = delete;
  ~FrameQueue() { Clear(); }

  bool empty() const { return head_ == nullptr; }
  size_t size() const { return size_; }
  // nullptr when empty().
  runtime::Frame* front() const { return head_; }
  runtime::Frame* back() const { return head_ == nullptr ? nullptr : tail_; }

  // Takes over one reference.
  void Push(runtime::Frame* frame) {
    frame->next = nullptr;
    (head_ == nullptr ? head_ : tail_->next) = frame;
    tail_ = frame;
    ++size_;
  }
  // The caller gets the reference. Not when empty().
  runtime::Frame* Pop() {
    runtime::Frame* frame = head_;
    head_ = std::exchange(frame->next, nullptr);
    --size_;
    return frame;
  }
  void Clear() {
    while (!empty()) runtime::Unref(Pop());
  }

 private:
  runtime::Frame* head_ = nullptr;
  runtime::Frame* tail_ = nullptr;
  size_t size_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_FRAME_QUEUE_H_
