// A million frames, right and wrong (FrameFuzzer): nothing crashes, every frame is counted, and at the end all frames
// and timers are back. WEIR_TEST_SEED and WEIR_TEST_FRAMES change what is run.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/fuzz/frame_fuzzer.h"

namespace weir::testing_support {
namespace {

using netstack::DropReason;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

TEST(FrameFuzz, AMillionFrames) {
  const uint64_t frames = FromEnvironment("WEIR_TEST_FRAMES", 1'000'000);
  FrameFuzzer fuzzer(FromEnvironment("WEIR_TEST_SEED", 1));
  while (fuzzer.received() < frames) {
    fuzzer.Run(10000);
    if (!fuzzer.Check()) return;
  }
  fuzzer.PrintOutcomes();
  // That the frames get everywhere: each of these was met.
  for (DropReason reason :
       {DropReason::kConsumed, DropReason::kArpMalformed, DropReason::kIpFragmentOverlap, DropReason::kIpMartianSource,
        DropReason::kIpFragmentMalformed, DropReason::kIpFragmentDuplicate, DropReason::kIpReassemblyFull,
        DropReason::kNdpMalformed, DropReason::kNdpNotForUs, DropReason::kNdpUnsolicited, DropReason::kNdpConflict,
        DropReason::kNdpRouterIgnored, DropReason::kNdpRedirect, DropReason::kMldMalformed, DropReason::kIpOptions,
        DropReason::kIcmpQuote, DropReason::kIcmpNoSocket, DropReason::kIcmpIgnored,
        DropReason::kUdpNoSocket, DropReason::kUdpQueueFull, DropReason::kTcpHeaderLength, DropReason::kTcpChecksum,
        DropReason::kTcpBadFlags, DropReason::kTcpSynQueueFull, DropReason::kTcpOutOfWindow, DropReason::kTcpOldAck,
        DropReason::kTcpUnsentAck, DropReason::kTcpNoAck, DropReason::kTcpDuplicate, DropReason::kTcpZeroWindow,
        DropReason::kTcpReset, DropReason::kTcpChallengeAck, DropReason::kTcpAfterClose, DropReason::kTcpTimeWait}) {
    EXPECT_LT(0u, fuzzer.host().counted(reason)) << netstack::kDropReasonNames[static_cast<size_t>(reason)];
  }
}

}  // namespace
}  // namespace weir::testing_support
