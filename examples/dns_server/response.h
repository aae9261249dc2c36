// Makes the response to a query from what the table has prepared: the query's header and question, changed where they
// must be, the answer's bytes, and OPT if the query had it.
#ifndef EXAMPLES_DNS_SERVER_RESPONSE_H_
#define EXAMPLES_DNS_SERVER_RESPONSE_H_

#include <cstddef>
#include <span>

#include "examples/dns_server/answer_table.h"

namespace dns_server {

// The largest response over UDP, and what our OPT says that we take: fits the smallest link that IPv6 has (1280 bytes),
// so that nothing is fragmented (RFC 9715).
inline constexpr size_t kMaxUdpSize = 1232;

enum class Transport { kUdp, kTcp };

// Writes the response to `query` into `out`, which may begin where the query does (then it is overwritten) or lies
// elsewhere, and returns its size. 0: there is none to be sent. More than out.size(): it takes so much, nothing was
// written. At most kMaxUdpSize over UDP, kMaxMessage over TCP: what does not fit is left out, in whole RRsets, and TC
// is set where that matters (RFC 2181 §9).
size_t WriteResponse(const AnswerTable& table, Transport transport, std::span<const std::byte> query,
                     std::span<std::byte> out);

}  // namespace dns_server

#endif  // EXAMPLES_DNS_SERVER_RESPONSE_H_
