// The DNS message on the wire (RFC 1035 §4.1): what of it this server reads and writes. A name here is its wire form,
// labels with their lengths and the root's empty one at the end: "\3www\7example\0".
#ifndef EXAMPLES_DNS_SERVER_WIRE_H_
#define EXAMPLES_DNS_SERVER_WIRE_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace dns_server {

inline constexpr size_t kHeaderSize = 12;
inline constexpr size_t kMaxName = 255;   // RFC 1035 §3.1, the lengths of the labels included
inline constexpr size_t kMaxLabel = 63;   // what is above is a pointer, or no label
inline constexpr size_t kMaxMessage = 65535;  // the length in front of one on TCP has 16 bits
inline constexpr size_t kMinUdpSize = 512;    // what every client takes
inline constexpr uint16_t kClassIn = 1;

// Offsets in the header.
inline constexpr size_t kFlagsOffset = 2, kRcodeOffset = 3, kCountsOffset = 4;
// Of the byte at kFlagsOffset.
inline constexpr uint8_t kQr = 0x80, kOpcodeMask = 0x78, kAa = 0x04, kTc = 0x02, kRd = 0x01;

// RFC 1035 §4.1.1, RFC 2136 §2.2; those from 16 on need EDNS (RFC 6891 §6.1.3).
enum class Rcode : uint8_t {
  kNoError = 0,
  kFormErr = 1,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5,
  kYxDomain = 6,
  kBadVers = 16,
};

enum RrType : uint16_t {
  kTypeA = 1,
  kTypeNs = 2,
  kTypeCname = 5,
  kTypeSoa = 6,
  kTypeMx = 15,
  kTypeAaaa = 28,
  kTypeSrv = 33,
  kTypeDname = 39,
  kTypeOpt = 41,
  kTypeDs = 43,
  kTypeRrsig = 46,
  kTypeNsec = 47,
  kTypeIxfr = 251,
  kTypeAxfr = 252,
  kTypeAny = 255,
};

// OPT without options (RFC 6891 §6.1.2): root, type, our UDP size, extended RCODE, version, flags, no RDATA.
inline constexpr size_t kOptSize = 11;

// Letters as RFC 4343 compares them. Lengths of labels are below 'A': a whole name may go through it.
inline char ToLower(char c) { return static_cast<uint8_t>(c - 'A') < 26 ? static_cast<char>(c + 32) : c; }

inline std::string Lower(absl::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = ToLower(c);
  return lower;
}

// The name without its first label; the root has none.
inline absl::string_view Parent(absl::string_view name) {
  return name.substr(1 + static_cast<uint8_t>(name[0]));
}

// Whether `name` is `ancestor` or below it; both in lower case.
inline bool IsAtOrBelow(absl::string_view name, absl::string_view ancestor) {
  while (name.size() > ancestor.size()) name = Parent(name);
  return name == ancestor;
}

}  // namespace dns_server

#endif  // EXAMPLES_DNS_SERVER_WIRE_H_
