// PcapWriter: what crosses the link, into a file that tcpdump and Wireshark read (--pcap=FILE). The classic format with
// nanosecond times: draft-ietf-opsawg-pcap.
#ifndef NETSTACK_LINK_PCAP_WRITER_H_
#define NETSTACK_LINK_PCAP_WRITER_H_

#include <cstddef>
#include <cstdio>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "absl/status/statusor.h"

namespace weir::netstack {

class PcapWriter {
 public:
  // Creates or empties the file.
  static absl::StatusOr<std::unique_ptr<PcapWriter>> Create(const std::string& path);
  PcapWriter(const PcapWriter&) = delete;
  ~PcapWriter();

  // Appends an Ethernet frame with the present time of day; from any thread. Buffered; a full disk loses frames, never
  // traffic.
  void Write(std::span<const std::byte> frame) { Write({&frame, 1}); }
  // The same for one that lies in several pieces.
  void Write(std::span<const std::span<const std::byte>> pieces);

 private:
  explicit PcapWriter(std::FILE* file) : file_(file) {}
  std::FILE* file_;
  std::mutex mutex_;  // a record is written in pieces
};

}  // namespace weir::netstack

#endif  // NETSTACK_LINK_PCAP_WRITER_H_
