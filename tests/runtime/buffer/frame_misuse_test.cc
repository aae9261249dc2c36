// What a program must not do with frames is seen, in builds that look: a frame touched after it was given back, and a
// reference given back twice.
#include <gtest/gtest.h>

#include <cstring>

#include "runtime/base/recycler.h"
#include "runtime/buffer/recv_buffer.h"

namespace weir::runtime {
namespace {

#if defined(NDEBUG)
constexpr bool kChecked = false;
#else
constexpr bool kChecked = true;
#endif
#ifdef WEIR_RECYCLER_OFF
constexpr bool kAsan = true;
#else
constexpr bool kAsan = false;
#endif

class FrameMisuseTest : public ::testing::Test {
 protected:
  FramePool::Ptr pool_ = *FramePool::Create({.frames = 8});
};
using FrameMisuseDeathTest = FrameMisuseTest;

TEST_F(FrameMisuseDeathTest, AReferenceGivenBackTwice) {
  if (!kChecked) GTEST_SKIP() << "a build without checks";
  Frame* frame = pool_->Alloc();
  Unref(frame);
  EXPECT_DEATH(Unref(frame), "refs > 0");
  EXPECT_DEATH(Ref(frame), "refs > 0");
}

TEST_F(FrameMisuseDeathTest, ReadAfterGiveBack) {
  RecvBuffer buffer;
  Frame* frame = pool_->Alloc();
  std::memset(frame->data, 'x', 100);
  buffer.Append(frame, {frame->data, 100});
  const auto* bytes = static_cast<const volatile char*>(buffer.buffers().front().iov_base);
  ASSERT_EQ(bytes[50], 'x');
  buffer.Clear();
  if (kAsan) {
    EXPECT_DEATH(static_cast<void>(bytes[50]), "use-after-poison");
  } else if (kChecked) {
    EXPECT_NE(bytes[50], 'x');  // poison
  } else {
    GTEST_SKIP() << "a build without checks";
  }
}

TEST_F(FrameMisuseDeathTest, WriteAfterGiveBack) {
  Frame* frame = pool_->Alloc();
  auto* bytes = reinterpret_cast<volatile char*>(frame->data);
  Unref(frame);
  if (kAsan) {
    EXPECT_DEATH(bytes[50] = 'y', "use-after-poison");
  } else if (kChecked) {
    EXPECT_DEATH(
        {
          bytes[50] = 'y';
          pool_->Alloc();
        },
        "written to after it was given back");
  } else {
    GTEST_SKIP() << "a build without checks";
  }
}

// What a frame was used for before does not matter, and the pool's memory is ordinary again when that is gone.
TEST_F(FrameMisuseTest, FramesAreWholeWhenTheyComeAgain) {
  for (int round = 0; round < 20; ++round) {
    Frame* frame = pool_->Alloc();
    std::memset(frame->base, round, pool_->frame_size());
    Unref(frame);
  }
  pool_ = *FramePool::Create({.frames = 8});
  Frame* frame = pool_->Alloc();
  std::memset(frame->base, 1, pool_->frame_size());
  Unref(frame);
}

}  // namespace
}  // namespace weir::runtime
