// xsk_reflector: what the device and the kernel's AF_XDP allow, with no stack at all: each UDP frame for its address
// goes back from where it lies (reflect.h), ARP is answered, the rest is dropped. The measure for weir's udp_echo.
//
//   xsk_reflector --interface=veth0 --address=10.0.0.2 --poll=wait
//
// The XDP program is attached by a descriptor and goes with the process, however that ends.
#include <cstdio>
#include <string>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "bench/peers/raw_xsk.h"
#include "bench/peers/reflect.h"
#include "runtime/base/ip_address.h"

ABSL_FLAG(std::string, interface, "", "the interface");
ABSL_FLAG(std::string, address, "", "its IPv4 address here, which the kernel does not have");
ABSL_FLAG(std::string, poll, "wait", "wait (sleep when there is nothing) or busy (run the device's NAPI)");

namespace weir::bench {
namespace {

// Whether the frame, changed in place, is to be sent back.
bool Reflect(const Self& self, std::byte* frame, size_t length) {
  if (IsArp(frame, length)) return AnswerArp(self, frame);
  if (!IsUdp(frame, length)) return false;
  TurnRound(frame);
  return true;
}

[[noreturn]] void Loop(const Self& self, RawXsk& xsk) {
  xdp_desc burst[RawXsk::kBurst];
  for (;;) {
    const uint32_t n = xsk.Receive(burst);
    uint32_t sent = 0;
    for (uint32_t i = 0; i < n; ++i) {
      if (Reflect(self, xsk.At(burst[i]), burst[i].len)) {
        burst[sent++] = burst[i];
      } else {
        xsk.Drop(burst[i]);
      }
    }
    if (sent > 0) xsk.Send({burst, sent});
    xsk.Flush();
    if (n == 0) xsk.Wait(/*timeout_ms=*/-1);
  }
}

absl::Status Run() {
  const std::string poll = absl::GetFlag(FLAGS_poll);
  if (poll != "wait" && poll != "busy") return absl::InvalidArgumentError("--poll is wait or busy");
  absl::StatusOr<IpAddress> ip = IpAddress::Parse(absl::GetFlag(FLAGS_address));
  if (!ip.ok() || !ip->is_v4()) return absl::InvalidArgumentError("--address=A.B.C.D is missing or no IPv4 address");
  auto program = xdp::SteerProgram::Attach({.interface = absl::GetFlag(FLAGS_interface)});
  if (!program.ok()) return program.status();
  auto xsk = RawXsk::Create(**program, poll == "busy");
  if (!xsk.ok()) return xsk.status();
  absl::Status added = (*program)->AddAddress4(__builtin_bswap32(ip->v4()));
  if (!added.ok()) return added;
  std::printf("reflector: ready on %s\n", (*program)->interface().name.c_str());
  std::fflush(stdout);
  Loop(Self{{(*program)->interface().mac}, ip->v4()}, **xsk);
}

}  // namespace
}  // namespace weir::bench

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const absl::Status status = weir::bench::Run();
  std::fprintf(stderr, "reflector: %s\n", std::string(status.message()).c_str());
  return 1;
}
