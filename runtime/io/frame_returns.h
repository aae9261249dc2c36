// FrameReturns: what other threads give back of a shard's frames (FramePool::GiveBack) comes home through the shard's
// mailbox. One message stands for all that came since the last one ran.
#ifndef RUNTIME_IO_FRAME_RETURNS_H_
#define RUNTIME_IO_FRAME_RETURNS_H_

#include "runtime/buffer/frame_pool.h"
#include "runtime/io/mailbox.h"

namespace weir::runtime {

class FrameReturns : Message {
 public:
  // Both are the shard's, and stay longer than this; the mailbox is run once more before that is destroyed.
  FrameReturns(FramePool& pool, Mailbox& mailbox)
      : Message([](Message& message) { static_cast<FrameReturns&>(message).pool_.NoteReturned(); }),
        pool_(pool),
        mailbox_(mailbox) {
    pool_.NotifyReturns([](void* self) { Post(*static_cast<FrameReturns*>(self)); }, this);
  }
  ~FrameReturns() {
    pool_.NotifyReturns(nullptr, nullptr);
    mailbox_.Run();  // no message of this is left in it
  }

 private:
  static void Post(FrameReturns& self) { self.mailbox_.Post(self); }

  FramePool& pool_;
  Mailbox& mailbox_;
};

}  // namespace weir::runtime

#endif  // RUNTIME_IO_FRAME_RETURNS_H_
