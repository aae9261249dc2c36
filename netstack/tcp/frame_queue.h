// FrameQueue: a first-in first-out queue of frames through Frame::next, holding one reference on each.
#ifndef NETSTACK_TCP_FRAME_QUEUE_H_
#define NETSTACK_TCP_FRAME_QUEUE_H_

#include <cstdint>

#include "runtime/buffer/frame_pool.h"

namespace weir::netstack {

class FrameQueue {
 public:
  FrameQueue() = default;
  FrameQueue(const FrameQueue&) = delete;
  FrameQueue& operator=(const FrameQueue&) = delete;
  ~FrameQueue() { Clear(); }

  bool empty() const { return head_ == nullptr; }
  uint32_t count() const { return count_; }
  runtime::Frame* head() const { return head_; }
  runtime::Frame* tail() const { return tail_; }

  void PushBack(runtime::Frame* frame) { InsertAfter(tail_, frame); }
  // After `previous`, or at the front when that is nullptr.
  void InsertAfter(runtime::Frame* previous, runtime::Frame* frame) {
    runtime::Frame*& link = previous == nullptr ? head_ : previous->next;
    frame->next = link;
    link = frame;
    if (frame->next == nullptr) tail_ = frame;
    ++count_;
  }
  // The caller gets the reference.
  runtime::Frame* PopFront() {
    runtime::Frame* frame = head_;
    head_ = frame->next;
    if (head_ == nullptr) tail_ = nullptr;
    frame->next = nullptr;
    --count_;
    return frame;
  }
  void Clear() {
    while (!empty()) runtime::Unref(PopFront());
  }

 private:
  runtime::Frame* head_ = nullptr;
  runtime::Frame* tail_ = nullptr;
  uint32_t count_ = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_FRAME_QUEUE_H_
