// Zone: the records of a zone file as the tree that RFC 1034 §4.3.2 searches, for the time of loading. It answers
// nothing itself: answer_table.h keeps what is sent.
#ifndef EXAMPLES_DNS_SERVER_ZONE_H_
#define EXAMPLES_DNS_SERVER_ZONE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "examples/dns_server/zone_file.h"

namespace dns_server {

struct RrSet {
  uint16_t type;
  uint32_t ttl;  // the least of its records' (RFC 2181 §5.2)
  std::vector<const Record*> records;
};

struct ZoneNode {
  std::string name;                // lower case
  std::string owner;               // as the file writes it
  std::map<uint16_t, RrSet> sets;  // none: an empty non-terminal (RFC 4592 §2.2.2)

  const RrSet* Find(uint16_t type) const {
    const auto found = sets.find(type);
    return found != sets.end() ? &found->second : nullptr;
  }
};

class Zone {
 public:
  // Where a name leads.
  struct Place {
    enum Kind {
      kNode,        // it exists: `node`
      kWildcard,    // it does not, and `node` stands for it (RFC 4592)
      kDelegation,  // it is at or below the zone cut `node`
      kDname,       // it is below `node`, which has a DNAME (RFC 6672)
      kNothing,     // it does not exist
      kOutside,     // it is not in the zone
    } kind;
    const ZoneNode* node = nullptr;
  };

  // kInvalidArgument: "FILE:LINE: reason".
  static absl::StatusOr<Zone> Make(ZoneFile file);

  const std::string& apex() const { return file_.apex; }
  const std::string& path() const { return file_.path; }
  const std::map<std::string, ZoneNode, std::less<>>& nodes() const { return nodes_; }
  // The SOA as it goes with negative answers: its TTL is that of RFC 2308 §5.
  const RrSet& negative_soa() const { return negative_soa_; }
  const ZoneNode* Find(absl::string_view name) const;
  Place Locate(absl::string_view name) const;  // in lower case

 private:
  absl::Status AddRecords();
  absl::Status CheckNode(const ZoneNode& node) const;
  bool IsCut(const ZoneNode& node) const;

  ZoneFile file_;
  std::map<std::string, ZoneNode, std::less<>> nodes_;
  RrSet negative_soa_;
};

}  // namespace dns_server

#endif  // EXAMPLES_DNS_SERVER_ZONE_H_
