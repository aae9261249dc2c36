// FrameQueue: frames in order, linked through Frame::next, so nothing is allocated and a frame is in one queue at a time.
// It holds one reference on each: the receive, send and out-of-order queues of a connection.
#ifndef RUNTIME_BUFFER_FRAME_QUEUE_H_
#define RUNTIME_BUFFER_FRAME_QUEUE_H_

#include <cstdint>

#include "runtime/buffer/frame_pool.h"

namespace weir::runtime {

class FrameQueue {
 public:
  FrameQueue() = default;
  FrameQueue(const FrameQueue&) = delete;
  FrameQueue& operator=(const FrameQueue&) = delete;
  ~FrameQueue() { Clear(); }

  bool empty() const { return head_ == nullptr; }
  uint32_t count() const { return count_; }
  Frame* head() const { return head_; }
  Frame* tail() const { return tail_; }

  void PushBack(Frame* frame) { InsertAfter(tail_, frame); }
  // After `previous`, or at the front when that is nullptr.
  void InsertAfter(Frame* previous, Frame* frame) {
    WEIR_DCHECK(!frame->charged());
    Frame*& link = previous == nullptr ? head_ : previous->next;
    frame->next = link;
    link = frame;
    if (frame->next == nullptr) tail_ = frame;
    ++count_;
  }
  // The caller gets the reference.
  Frame* PopFront() {
    Frame* frame = head_;
    head_ = frame->next;
    if (head_ == nullptr) tail_ = nullptr;
    frame->next = nullptr;
    --count_;
    return frame;
  }
  // The one behind `previous`, which must be there; the caller gets the reference.
  Frame* RemoveAfter(Frame* previous) {
    Frame* frame = previous->next;
    previous->next = frame->next;
    if (tail_ == frame) tail_ = previous;
    frame->next = nullptr;
    --count_;
    return frame;
  }
  void Clear() {
    while (!empty()) Unref(PopFront());
  }

 private:
  Frame* head_ = nullptr;
  Frame* tail_ = nullptr;
  uint32_t count_ = 0;
};

}  // namespace weir::runtime

#endif  // RUNTIME_BUFFER_FRAME_QUEUE_H_
