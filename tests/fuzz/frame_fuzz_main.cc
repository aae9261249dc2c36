// libFuzzer's entry: each input is one frame, received by a host with connections in many states.
//
//   bazel build --config=asan-ubsan --copt=-fsanitize=fuzzer-no-link --linkopt=-fsanitize=fuzzer \
//       //tests/fuzz:frame_fuzz
//   out/bin/tests/fuzz/frame_fuzz -max_len=1600
#include <cstddef>
#include <cstdint>
#include <memory>

#include "tests/fuzz/frame_fuzzer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static std::unique_ptr<weir::testing_support::FrameFuzzer> fuzzer;
  // Begun anew now and then, so that a finding does not depend on all that came before.
  if (fuzzer == nullptr || fuzzer->received() > 10000) {
    fuzzer = std::make_unique<weir::testing_support::FrameFuzzer>(1);
    fuzzer->Run(200);
  }
  fuzzer->ReceiveRaw({data, size});
  return 0;
}
