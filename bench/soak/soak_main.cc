// soak: programs of all kinds on two hosts in memory, with few frames, until the time is up; see soak.h. Prints the seed, and
// what happened once a minute. Exit code 0: all went well, and every frame is back.
//
//   soak --seconds=1800 --seed=7
//   soak --rounds=381 --seed=7    the same again, exactly
#include <cinttypes>
#include <cstdio>
#include <random>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "bench/soak/soak.h"
#include "runtime/base/time.h"

ABSL_FLAG(int, seconds, 1800, "how long, in real time; what is under way then still ends");
ABSL_FLAG(uint64_t, rounds, 0, "how many rounds of a second of virtual time, in place of --seconds");
ABSL_FLAG(uint64_t, seed, 0, "0: a new one");

namespace {

void Print(const weir::bench::Soak& soak) {
  const weir::bench::Soak::Counts& counts = soak.counts();
  std::printf("soak: %" PRIu64 " rounds, %.0f s of virtual time: %" PRIu64 " connections (%" PRIu64 " ends whole, %" PRIu64
              " broken off), %" PRIu64 " MB compared, %" PRIu64 " datagrams; at most %u frames kept, at least %u free; "
              "%" PRIu64 " MB copied out\n",
              counts.rounds, static_cast<double>(soak.virtual_ns()) / weir::kSecond, counts.connections, counts.whole, counts.broken,
              counts.bytes >> 20, counts.datagrams, counts.most_held, counts.fewest_free, soak.copied_out_bytes() >> 20);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  uint64_t seed = absl::GetFlag(FLAGS_seed);
  while (seed == 0) seed = std::random_device()();
  std::printf("soak: seed %" PRIu64 "\n", seed);
  std::fflush(stdout);
  weir::bench::Soak soak(seed);
  const weir::Nanos start_ns = weir::MonotonicNow();
  const weir::Nanos end_ns = start_ns + absl::GetFlag(FLAGS_seconds) * weir::kSecond;
  weir::Nanos next_ns = start_ns + 60 * weir::kSecond;
  const uint64_t rounds = absl::GetFlag(FLAGS_rounds);
  const auto on = [&] { return rounds == 0 ? weir::MonotonicNow() < end_ns : soak.counts().rounds < rounds; };
  while (on() && soak.Round()) {
    if (weir::MonotonicNow() < next_ns) continue;
    next_ns += 60 * weir::kSecond;
    Print(soak);
  }
  const bool well = soak.Finish();
  Print(soak);
  if (!well) std::printf("soak: FAILED with seed %" PRIu64 ": %s\n", seed, soak.trouble().c_str());
  if (well) std::printf("soak: every frame is back\n");
  return well ? 0 : 1;
}
