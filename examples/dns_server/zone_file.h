// Reads a zone file (RFC 1035 §5) by Debian's ldns, and checks what a server must be able to rely on. Everything that
// is wrong is said as "FILE:LINE: reason".
#ifndef EXAMPLES_DNS_SERVER_ZONE_FILE_H_
#define EXAMPLES_DNS_SERVER_ZONE_FILE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace dns_server {

// A name in a record's data.
struct NameInRdata {
  size_t offset;
  size_t size;
  // Of the types of RFC 1035: these alone may be compressed (RFC 3597 §4).
  bool compressible;
};

struct Record {
  std::string owner;  // as the file writes it
  uint16_t type;
  uint32_t ttl;
  std::string rdata;  // no name in it is compressed
  std::vector<NameInRdata> names;
  int line;  // where it ends

  absl::string_view name(size_t index) const {
    return absl::string_view(rdata).substr(names[index].offset, names[index].size);
  }
};

struct ZoneFile {
  std::string path;
  std::string apex;             // the SOA's owner, lower case
  std::vector<Record> records;  // in the file's order, each once
};

// `origin`: the first $ORIGIN, "example.com"; empty: the root. $INCLUDE is not understood.
// kInvalidArgument: what is wrong in the file; otherwise why it cannot be read.
absl::StatusOr<ZoneFile> ReadZoneFile(const std::string& path, const std::string& origin);

// "www.example.com." of a name's wire form.
std::string NameText(absl::string_view name);

}  // namespace dns_server

#endif  // EXAMPLES_DNS_SERVER_ZONE_FILE_H_
