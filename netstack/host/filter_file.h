// The text file that a packet filter is read from: a rule or a policy a line, in nftables' words; # begins a comment.
//
//   input proto tcp dport 22 src 10.0.0.0/8 accept         # HOOK MATCH... VERDICT
//   input proto icmp limit 100/s burst 20 accept           # beyond the limit the next rule is looked at
//   input iifname eth1 proto udp sport 1024-65535 drop
//   policy input drop                                      # for what no rule of the hook matches; else accept
//
//   HOOK     prerouting input forward output postrouting
//   MATCH    proto tcp|udp|icmp|icmpv6|NUMBER   src PREFIX   dst PREFIX   sport PORTS   dport PORTS
//            iifname NAME   limit N/s [burst M]
//   VERDICT  accept drop
//
// Matches stand in any order, each once, and all must hold; a limit counts only packets for which the others hold.
// PORTS is N or N-M and needs proto tcp or udp; a limit without burst has nftables' 5. A rule without matches holds for
// every packet.
#ifndef NETSTACK_HOST_FILTER_FILE_H_
#define NETSTACK_HOST_FILTER_FILE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "netstack/ip/filter.h"

namespace weir {

// Errors are one line, "FILE:LINE: what is wrong", or say why the file cannot be read.
absl::StatusOr<netstack::Filter> ReadFilterFile(const std::string& path);

// The same from text; `name` stands for the file in errors.
absl::StatusOr<netstack::Filter> ParseFilter(absl::string_view text, absl::string_view name);

}  // namespace weir

#endif  // NETSTACK_HOST_FILTER_FILE_H_
