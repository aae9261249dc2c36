#include "runtime/io/mailbox.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "runtime/base/errno_status.h"

namespace weir::runtime {
namespace {

struct FunctionMessage : Message {
  explicit FunctionMessage(std::function<void()> function)
      : Message([](Message& message) {
          std::unique_ptr<FunctionMessage> self(static_cast<FunctionMessage*>(&message));
          self->function();
        }),
        function(std::move(function)) {}
  std::function<void()> function;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Mailbox>> Mailbox::Create(Reactor& reactor) {
  // Blocking: the read then waits in the kernel instead of completing with EAGAIN.
  auto target = std::make_shared<Reactor::WakeTarget>();
  target->event = UniqueFd(eventfd(0, EFD_CLOEXEC));
  if (!target->event.valid()) return ErrnoStatus(errno, "eventfd");
  target->ring = UniqueFd(fcntl(reactor.uring().raw()->ring_fd, F_DUPFD_CLOEXEC, 0));
  if (!target->ring.valid()) return ErrnoStatus(errno, "a second descriptor of the ring");
  return std::unique_ptr<Mailbox>(new Mailbox(reactor, std::move(target)));
}

Mailbox::Mailbox(Reactor& reactor, std::shared_ptr<Reactor::WakeTarget> target)
    : reactor_(reactor), target_(std::move(target)) {
  reactor_.set_sleep_guard(this);
  ArmRead();
}

Mailbox::~Mailbox() {
  reactor_.set_sleep_guard(nullptr);
  closing_ = true;
  while (Run() > 0) {
  }
  reactor_.CancelAndDrain(read_);
}

void Mailbox::Post(Message& message) {
  message.next_ = newest_.load(std::memory_order_relaxed);
  while (!newest_.compare_exchange_weak(message.next_, &message, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
  }
  // The message may be gone from here on.
  if (!sleeping_.load(std::memory_order_seq_cst) || !sleeping_.exchange(false, std::memory_order_seq_cst)) return;
  wakes_.fetch_add(1, std::memory_order_relaxed);
  if (Reactor* here = Reactor::Looping(); here != nullptr && here->features().msg_ring) return here->WakeOther(target_);
  const uint64_t one = 1;
  while (write(target_->event.get(), &one, sizeof one) < 0 && errno == EINTR) {
  }
}

void Mailbox::PostFunction(std::function<void()> function) { Post(*new FunctionMessage(std::move(function))); }

size_t Mailbox::Run() {
  if (newest_.load(std::memory_order_relaxed) == nullptr) return 0;
  Message* newest = newest_.exchange(nullptr, std::memory_order_acquire);
  Message* oldest = nullptr;
  while (newest != nullptr) {
    Message* next = newest->next_;
    newest->next_ = oldest;
    oldest = newest;
    newest = next;
  }
  size_t count = 0;
  while (oldest != nullptr) {
    Message* message = oldest;
    oldest = message->next_;
    message->run_(*message);
    ++count;
  }
  return count;
}

bool Mailbox::BeforeSleep() {
  sleeping_.store(true, std::memory_order_seq_cst);
  if (newest_.load(std::memory_order_seq_cst) == nullptr) return true;
  sleeping_.store(false, std::memory_order_relaxed);
  return false;
}

void Mailbox::AfterSleep() { sleeping_.store(false, std::memory_order_relaxed); }

void Mailbox::ArmRead() {
  io_uring_prep_read(reactor_.Prepare(read_), target_->event.get(), &event_count_, sizeof event_count_, 0);
}

void Mailbox::OnEvent(int32_t result, uint32_t) {
  if (closing_ || result == -ECANCELED) return;
  WEIR_CHECK(result == sizeof event_count_ || result == -EINTR || result == -EAGAIN);
  ArmRead();
}

}  // namespace weir::runtime
