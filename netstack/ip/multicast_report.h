// What a host says of its multicast groups: IGMPv3 reports (RFC 3376 §4.2) and MLDv2 reports (RFC 3810 §5.2), and the
// messages of the versions before. All have TTL 1, a Router Alert option and, IPv6, a link-local source or none.
#ifndef NETSTACK_IP_MULTICAST_REPORT_H_
#define NETSTACK_IP_MULTICAST_REPORT_H_

#include <optional>
#include <span>

#include "netstack/ip/ip_context.h"
#include "netstack/ip/multicast.h"
#include "netstack/wire/multicast.h"

namespace weir::netstack {

// A report of any length: sent in as many packets as the MTU makes of it (RFC 3376 §4.2.16), the last one by the
// destructor. Linux: add_grec, igmpv3_sendpack, mld_sendpack.
class MulticastReport {
 public:
  MulticastReport(Interface& out, bool v4, Nanos now_ns) : out_(out), v4_(v4), now_ns_(now_ns) {}
  ~MulticastReport() { Send(); }
  MulticastReport(const MulticastReport&) = delete;

  void Add(MulticastRecordType type, const IpAddress& group, std::span<const IpAddress> sources);

 private:
  // False: no frame, which is counted.
  bool Open();
  void Send();

  Interface& out_;
  const bool v4_;
  const Nanos now_ns_;
  runtime::Frame* frame_ = nullptr;
  std::optional<MulticastReportWriter> writer_;
};

// IGMPv2, IGMPv1 or MLDv1; to the group itself, so that its other members hear it.
void SendOlderReport(Interface& out, const IpAddress& group, MulticastVersion version, Nanos now_ns);
// IGMPv2 or MLDv1; to all routers (RFC 2236 §9, RFC 2710 §8).
void SendOlderLeave(Interface& out, const IpAddress& group, Nanos now_ns);

}  // namespace weir::netstack

#endif  // NETSTACK_IP_MULTICAST_REPORT_H_
