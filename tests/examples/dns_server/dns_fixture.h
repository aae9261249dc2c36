// Zones out of text, and queries and responses by ldns, which knows nothing of the code that is tested here.
#ifndef TESTS_EXAMPLES_DNS_SERVER_DNS_FIXTURE_H_
#define TESTS_EXAMPLES_DNS_SERVER_DNS_FIXTURE_H_

#include <gtest/gtest.h>
#include <ldns/ldns.h>

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "examples/dns_server/answer_table.h"
#include "examples/dns_server/response.h"
#include "examples/dns_server/zone.h"
#include "examples/dns_server/zone_file.h"

namespace dns_server {

using Bytes = std::vector<std::byte>;

// What every zone of these tests begins with.
inline constexpr char kHead[] =
    "$ORIGIN example.com.\n$TTL 3600\n"
    "@ SOA ns1 hostmaster 1 7200 3600 1209600 300\n@ NS ns1\n@ NS ns2.example.net.\nns1 A 192.0.2.1\n";

inline absl::StatusOr<Zone> ZoneOf(const std::string& text, const std::string& name = "zone",
                                   const std::string& origin = "") {
  const std::string path = absl::StrCat(::testing::TempDir(), "/", name);
  std::ofstream(path) << text;
  absl::StatusOr<ZoneFile> file = ReadZoneFile(path, origin);
  if (!file.ok()) return file.status();
  return Zone::Make(*std::move(file));
}

inline AnswerTable TableOf(const std::vector<std::string>& texts) {
  std::vector<Zone> zones;
  for (const std::string& text : texts) {
    absl::StatusOr<Zone> zone = ZoneOf(text, absl::StrCat("zone", zones.size()));
    EXPECT_TRUE(zone.ok()) << zone.status();
    zones.push_back(*std::move(zone));
  }
  absl::StatusOr<AnswerTable> table = AnswerTable::Make(zones);
  EXPECT_TRUE(table.ok()) << table.status();
  return *std::move(table);
}

struct PacketDeleter {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
};
using Packet = std::unique_ptr<ldns_pkt, PacketDeleter>;

// "www.example.com" "AAAA", without EDNS unless `udp_size` says what the client takes.
inline Bytes MakeQuery(const std::string& name, const std::string& type, uint16_t udp_size = 0) {
  ldns_rdf* owner = nullptr;
  EXPECT_EQ(LDNS_STATUS_OK, ldns_str2rdf_dname(&owner, name.c_str()));
  const Packet packet(
      ldns_pkt_query_new(owner, ldns_get_rr_type_by_name(type.c_str()), LDNS_RR_CLASS_IN, LDNS_RD));
  ldns_pkt_set_id(packet.get(), 0x1234);
  if (udp_size != 0) ldns_pkt_set_edns_udp_size(packet.get(), udp_size);
  uint8_t* wire = nullptr;
  size_t size = 0;
  EXPECT_EQ(LDNS_STATUS_OK, ldns_pkt2wire(&wire, packet.get(), &size));
  Bytes bytes(reinterpret_cast<std::byte*>(wire), reinterpret_cast<std::byte*>(wire) + size);
  std::free(wire);
  return bytes;
}

// The bytes that are sent; none: nothing is.
inline Bytes Respond(const AnswerTable& table, const Bytes& query, Transport transport = Transport::kUdp) {
  Bytes out(kMaxMessage);
  out.resize(WriteResponse(table, transport, query, out));
  return out;
}

inline Packet Parse(const Bytes& wire) {
  ldns_pkt* packet = nullptr;
  const ldns_status status = ldns_wire2pkt(&packet, reinterpret_cast<const uint8_t*>(wire.data()), wire.size());
  EXPECT_EQ(LDNS_STATUS_OK, status) << ldns_get_errorstr_by_id(status);
  return Packet(status == LDNS_STATUS_OK ? packet : nullptr);
}

// Records as ldns prints them, with single spaces and without the class: "www.example.com. 3600 A 192.0.2.1".
inline std::vector<std::string> Text(const ldns_rr_list* list) {
  std::vector<std::string> lines;
  for (size_t i = 0; i < ldns_rr_list_rr_count(list); ++i) {
    const std::unique_ptr<char, decltype(&std::free)> text(ldns_rr2str(ldns_rr_list_rr(list, i)), &std::free);
    std::string line;
    for (const char* at = text.get(); *at != '\0' && *at != '\n'; ++at) line += *at == '\t' ? ' ' : *at;
    const size_t in = line.find(" IN ");
    if (in != std::string::npos) line.erase(in, 3);
    lines.push_back(line);
  }
  return lines;
}

struct Response {
  std::string rcode;
  std::string flags;  // "aa", "tc" of it
  std::vector<std::string> answer, authority, additional;
};

inline Response Ask(const AnswerTable& table, const std::string& name, const std::string& type, uint16_t udp_size = 0,
                    Transport transport = Transport::kUdp) {
  const Packet packet = Parse(Respond(table, MakeQuery(name, type, udp_size), transport));
  if (packet == nullptr) return {};
  const std::unique_ptr<char, decltype(&std::free)> rcode(ldns_pkt_rcode2str(ldns_pkt_get_rcode(packet.get())),
                                                          &std::free);
  EXPECT_EQ(0x1234, ldns_pkt_id(packet.get()));
  EXPECT_TRUE(ldns_pkt_qr(packet.get()) && ldns_pkt_rd(packet.get()) && !ldns_pkt_ra(packet.get()));
  return {rcode.get(), absl::StrCat(ldns_pkt_aa(packet.get()) ? "aa" : "", ldns_pkt_tc(packet.get()) ? "tc" : ""),
          Text(ldns_pkt_answer(packet.get())), Text(ldns_pkt_authority(packet.get())),
          Text(ldns_pkt_additional(packet.get()))};
}

}  // namespace dns_server

#endif  // TESTS_EXAMPLES_DNS_SERVER_DNS_FIXTURE_H_
