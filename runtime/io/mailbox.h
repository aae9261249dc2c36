// Mailbox: what other threads have for a shard. Messages are linked through themselves, so a post allocates nothing and
// cannot fail; there are as many as their owners made. They run on the shard's thread, in the order in which they were
// posted, from Run, once a turn.
//
//   struct Hello : weir::runtime::Message {
//     Hello() : Message([](Message& m) { delete static_cast<Hello*>(&m); }) {}
//   };
//   mailbox.Post(*new Hello);                        // from any thread
//   mailbox.PostFunction([&] { host.Stop(); });      // allocates; for control, not for data
//
// A post wakes the shard only if it sleeps: from another shard's loop by a message between the rings, which leaves with what
// that one submits anyway; from any other thread by a write to an eventfd, on which the shard has a read in flight. The
// shard announces its sleep and then looks at the queue once more; a poster queues and then looks for the
// announcement. Both in that order and sequentially consistent, so one of the two sees the other.
#ifndef RUNTIME_IO_MAILBOX_H_
#define RUNTIME_IO_MAILBOX_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "runtime/io/reactor.h"

namespace weir::runtime {

class Message {
 public:
  // Runs on the shard's thread. The message is its maker's again: it may be freed or posted anew in the function.
  using RunFn = void (*)(Message& message);

  explicit Message(RunFn run) : run_(run) {}
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

 protected:
  ~Message() = default;

 private:
  friend class Mailbox;
  Message* next_ = nullptr;
  RunFn run_;
};

class Mailbox final : SleepGuard {
 public:
  // On the shard's thread; becomes the sleep guard of `reactor`, which it must not outlive.
  static absl::StatusOr<std::unique_ptr<Mailbox>> Create(Reactor& reactor);
  // On the shard's thread, when nobody posts any more. Messages still in it are run.
  ~Mailbox();

  // From any thread. The message stays until it is run.
  void Post(Message& message);
  // The same for a closure.
  void PostFunction(std::function<void()> function);

  // On the shard's thread: runs what has been posted up to now, and returns how many messages that were.
  size_t Run();

  // Posts that had to wake the shard.
  uint64_t wakes() const { return wakes_.load(std::memory_order_relaxed); }

 private:
  Mailbox(Reactor& reactor, std::shared_ptr<Reactor::WakeTarget> target);
  bool BeforeSleep() override;
  void AfterSleep() override;
  void ArmRead();
  void OnEvent(int32_t result, uint32_t flags);

  Reactor& reactor_;
  // Others may hold it a little longer than the mailbox, when they are about to wake it.
  const std::shared_ptr<Reactor::WakeTarget> target_;
  bool closing_ = false;
  uint64_t event_count_ = 0;  // the read's target; its value says nothing
  MemberOp<Mailbox, &Mailbox::OnEvent> read_{*this};

  // Written by other threads: away from what the shard alone touches.
  alignas(64) std::atomic<Message*> newest_{nullptr};
  std::atomic<bool> sleeping_{false};
  std::atomic<uint64_t> wakes_{0};
};

}  // namespace weir::runtime

#endif  // RUNTIME_IO_MAILBOX_H_
