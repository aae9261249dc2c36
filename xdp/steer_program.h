// SteerProgram: the XDP program of one interface (xdp/bpf/steer.bpf.c), loaded and attached.
//
//   auto program = weir::xdp::SteerProgram::Attach({.interface = "eth0"});
//   if (!program.ok()) ...                      // one line: what is wrong and what to do
//   (*program)->AddAddress4(inet_addr("10.0.0.2"));
//   (*program)->RegisterSocket(/*queue=*/0, xsk_fd);
//
// The attachment is a bpf_link held on a descriptor of this process and nothing is pinned: when the process
// goes, however it goes, the kernel detaches the program and the interface is as it was. The object owns the
// descriptors; destroying it detaches. AF_XDP sockets stay with their owners; closing one takes it out of the
// map. Not thread-safe; the data path does not pass through here.
#ifndef XDP_STEER_PROGRAM_H_
#define XDP_STEER_PROGRAM_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "runtime/base/unique_fd.h"
#include "xdp/bpf/steer.h"
#include "xdp/interface_info.h"

struct bpf_map;
struct steer_bpf;

namespace weir::xdp {

// Where the program runs: in the driver, before an sk_buff is made, or in the generic hook behind it.
enum class AttachMode {
  kAuto,  // native, or generic where the driver has no XDP
  kNative,
  kGeneric,
};

const char* AttachModeName(AttachMode mode);

class SteerProgram {
 public:
  struct Options {
    std::string interface;
    AttachMode attach = AttachMode::kAuto;
    // VLAN IDs (1..4094) of the tags on our frames, outermost first; at most two.
    std::vector<uint16_t> vlans;
    // Takes IP frames to the interface's MAC for any address that the kernel did not have on an interface of this
    // namespace at this moment: they are to be forwarded.
    bool transit = false;
  };

  struct Counter {
    const char* name;  // as in metrics: "redirect_arp"
    const char* help;  // one line for a person
    uint64_t value;    // frames, summed over the CPUs
  };

  // Loads and attaches. Errors: kNotFound (no such interface), kFailedPrecondition (it is down),
  // kPermissionDenied, kAlreadyExists (another XDP program is there), kUnimplemented (the kernel or the driver
  // lacks something), kInvalidArgument (vlans). The interface is left as it was.
  static absl::StatusOr<std::unique_ptr<SteerProgram>> Attach(const Options& options);

  SteerProgram(const SteerProgram&) = delete;
  SteerProgram& operator=(const SteerProgram&) = delete;
  ~SteerProgram();

  // The addresses whose frames are ours. `address`: network order, as in in_addr::s_addr. Adding one that is
  // there, or removing one that is not, is no error; kResourceExhausted beyond STEER_MAX_ADDRESSES.
  absl::Status AddAddress4(uint32_t address);
  absl::Status RemoveAddress4(uint32_t address);
  absl::Status AddAddress6(const std::array<uint8_t, 16>& address);
  absl::Status RemoveAddress6(const std::array<uint8_t, 16>& address);

  // Sends our frames that arrive on `queue` to the AF_XDP socket `xsk_fd`. Until then they go to the kernel.
  absl::Status RegisterSocket(uint32_t queue, int xsk_fd);

  // In the order of STEER_COUNTERS. Allocates: for metrics, not for the data path.
  std::vector<Counter> Counters() const;

  // What is in force: kNative or kGeneric.
  AttachMode mode() const { return mode_; }
  const InterfaceInfo& interface() const { return interface_; }

 private:
  struct SkeletonDeleter {
    void operator()(steer_bpf* skeleton) const;
  };

  SteerProgram() = default;
  absl::Status Load(const Options& options);
  absl::Status AttachLink(AttachMode wanted);
  absl::Status Update(const bpf_map* map, const void* key, size_t key_size, bool add, steer_owner owner = STEER_OURS);
  absl::Status ExcludeKernelAddresses();

  InterfaceInfo interface_;
  AttachMode mode_ = AttachMode::kAuto;
  std::unique_ptr<steer_bpf, SkeletonDeleter> skeleton_;
  runtime::UniqueFd link_;  // its last descriptor: closing it detaches the program
};

}  // namespace weir::xdp

#endif  // XDP_STEER_PROGRAM_H_
