// Channel<T>: a bounded queue between coroutines of one shard, with any number of senders and receivers. What a full
// channel does to a sender is back-pressure: Send waits.
//
//   Channel<Request> requests(64);
//   absl::Status sent = co_await requests.Send(std::move(request));
//   requests.Close();                                   // no more will come
//
//   for (;;) {
//     absl::StatusOr<Request> request = co_await requests.Recv();
//     if (!request.ok()) break;                         // kOutOfRange: closed and empty; kCancelled
//   }
//
// Values come out in the order in which they went in, whether by Send or TrySend, and those who wait are served first
// come, first served. A receiver that waits is handed the value directly. T need only be movable. The memory for
// `capacity` values is allocated at construction, nothing after it. A channel must not be destroyed while somebody
// waits; values still in it are destroyed with it.
#ifndef RUNTIME_CORE_CHANNEL_H_
#define RUNTIME_CORE_CHANNEL_H_

#include <coroutine>
#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/check.h"
#include "runtime/core/wait_queue.h"

namespace weir {

template <typename T>
class Channel {
 public:
  class SendAwaiter;
  class RecvAwaiter;

  struct [[nodiscard]] SendOperation {
    Channel* channel;
    T value;
    SendAwaiter operator co_await() && { return SendAwaiter(*channel, std::move(value)); }
  };
  struct [[nodiscard]] RecvOperation {
    Channel* channel;
    RecvAwaiter operator co_await() const { return RecvAwaiter(*channel); }
  };

  explicit Channel(size_t capacity)
      : capacity_(capacity), slots_(std::make_unique<std::optional<T>[]>(capacity)) {
    WEIR_CHECK(capacity >= 1);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // At once when a receiver waits or there is room; otherwise waits for room and resumes through the scheduler.
  // kFailedPrecondition when the channel is closed, before or meanwhile; kCancelled when the stop of the scope was
  // requested. With an error the value was not sent, and is destroyed with the call.
  SendOperation Send(T value) { return {this, std::move(value)}; }

  // The oldest value: at once when there is one, otherwise through the scheduler when one comes. kOutOfRange when the
  // channel is closed and empty; kCancelled when the stop of the scope was requested, and then nothing was taken.
  RecvOperation Recv() { return {this}; }

  // False, and `value` not moved from, when the channel is full or closed.
  bool TrySend(T&& value) {
    if (closed_) return false;
    if (runtime::QueuedWaiter* receiver = receivers_.Pop()) {
      static_cast<RecvAwaiter*>(receiver)->Hand(std::move(value));
      return true;
    }
    if (size_ == capacity_) return false;
    Push(std::move(value));
    return true;
  }

  // Nothing when the channel is empty.
  std::optional<T> TryRecv() {
    if (size_ == 0) return std::nullopt;
    std::optional<T> value(std::exchange(slots_[head_], std::nullopt));
    head_ = Next(head_);
    --size_;
    // The longest waiting sender's turn.
    if (runtime::QueuedWaiter* waiter = senders_.Pop()) {
      auto* sender = static_cast<SendAwaiter*>(waiter);
      Push(std::move(sender->value_));
      sender->Wake();
    }
    return value;
  }

  // Ends sending: who waits in Send gets kFailedPrecondition. What is in the channel is still received; after that, and
  // for those who wait in Recv, kOutOfRange. A second time it does nothing.
  void Close() {
    closed_ = true;
    while (runtime::QueuedWaiter* waiter = senders_.Pop()) {
      static_cast<SendAwaiter*>(waiter)->refused_ = true;
      waiter->Wake();
    }
    while (runtime::QueuedWaiter* receiver = receivers_.Pop()) receiver->Wake();
  }

  bool closed() const { return closed_; }
  size_t size() const { return size_; }
  size_t capacity() const { return capacity_; }

 private:
  size_t Next(size_t index) const { return index + 1 == capacity_ ? 0 : index + 1; }
  void Push(T&& value) {
    slots_[tail_].emplace(std::move(value));
    tail_ = Next(tail_);
    ++size_;
  }

  const size_t capacity_;
  size_t size_ = 0;
  size_t head_ = 0;  // the oldest value
  size_t tail_ = 0;  // the next free slot
  bool closed_ = false;
  std::unique_ptr<std::optional<T>[]> slots_;
  runtime::WaitQueue senders_;    // only while all slots are taken
  runtime::WaitQueue receivers_;  // only while no slot is
};

template <typename T>
class Channel<T>::SendAwaiter : runtime::QueuedWaiter {
 public:
  SendAwaiter(Channel& channel, T&& value)
      : QueuedWaiter("channel send"), channel_(channel), value_(std::move(value)) {}

  bool await_ready() const { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    if (StoppedBefore(self)) return false;
    refused_ = channel_.closed_;
    if (refused_ || channel_.TrySend(std::move(value_))) return false;
    WaitIn(channel_.senders_, self);
    return true;
  }
  absl::Status await_resume() const {
    if (cancelled()) return absl::CancelledError("Channel::Send cancelled");
    if (refused_) return absl::FailedPreconditionError("the channel is closed");
    return absl::OkStatus();
  }

 private:
  friend class Channel;
  Channel& channel_;
  bool refused_ = false;
  T value_;
};

template <typename T>
class Channel<T>::RecvAwaiter : runtime::QueuedWaiter {
 public:
  explicit RecvAwaiter(Channel& channel) : QueuedWaiter("channel recv"), channel_(channel) {}

  bool await_ready() const { return false; }
  template <typename Promise>
  bool await_suspend(std::coroutine_handle<Promise> self) {
    if (StoppedBefore(self)) return false;
    if (std::optional<T> value = channel_.TryRecv()) {
      value_.emplace(*std::move(value));
      return false;
    }
    if (channel_.closed_) return false;
    WaitIn(channel_.receivers_, self);
    return true;
  }
  absl::StatusOr<T> await_resume() {
    if (value_.has_value()) return *std::move(value_);
    if (cancelled()) return absl::CancelledError("Channel::Recv cancelled");
    return absl::OutOfRangeError("the channel is closed and empty");
  }

 private:
  friend class Channel;
  void Hand(T&& value) {
    value_.emplace(std::move(value));
    Wake();
  }

  Channel& channel_;
  std::optional<T> value_;
};

}  // namespace weir

#endif  // RUNTIME_CORE_CHANNEL_H_
