// Shortage: a pool of which only so many frames are free as long as it lives.
#ifndef TESTS_SUPPORT_SHORTAGE_H_
#define TESTS_SUPPORT_SHORTAGE_H_

#include <cstdint>
#include <vector>

#include "runtime/buffer/frame_pool.h"

namespace weir::testing_support {

class Shortage {
 public:
  // Takes frames away until `left` are free.
  Shortage(runtime::FramePool& pool, uint32_t left) {
    while (pool.free_count() > left) taken_.push_back(pool.Alloc());
  }
  Shortage(const Shortage&) = delete;
  ~Shortage() {
    for (runtime::Frame* frame : taken_) runtime::Unref(frame);
  }

 private:
  std::vector<runtime::Frame*> taken_;
};

}  // namespace weir::testing_support

#endif  // TESTS_SUPPORT_SHORTAGE_H_
