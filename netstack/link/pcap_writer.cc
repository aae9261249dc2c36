#include "netstack/link/pcap_writer.h"

#include <cerrno>
#include <cstdint>
#include <ctime>

#include "absl/strings/str_cat.h"
#include "runtime/base/errno_status.h"

namespace weir::netstack {
namespace {

struct FileHeader {
  uint32_t magic = 0xa1b23c4d;  // nanoseconds
  uint16_t major = 2, minor = 4;
  uint32_t reserved1 = 0, reserved2 = 0;
  uint32_t snap_length = 65535;
  uint32_t link_type = 1;  // Ethernet
};

struct RecordHeader {
  uint32_t seconds;
  uint32_t nanoseconds;
  uint32_t captured_length;
  uint32_t original_length;
};

}  // namespace

absl::StatusOr<std::unique_ptr<PcapWriter>> PcapWriter::Create(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "we");
  if (file == nullptr) return runtime::ErrnoStatus(errno, absl::StrCat("cannot write the capture ", path));
  std::unique_ptr<PcapWriter> writer(new PcapWriter(file));
  const FileHeader header;
  std::fwrite(&header, sizeof header, 1, file);
  return writer;
}

PcapWriter::~PcapWriter() { std::fclose(file_); }

void PcapWriter::Write(std::span<const std::span<const std::byte>> pieces) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  uint32_t length = 0;
  for (const std::span<const std::byte> piece : pieces) length += static_cast<uint32_t>(piece.size());
  const RecordHeader record{static_cast<uint32_t>(now.tv_sec), static_cast<uint32_t>(now.tv_nsec), length, length};
  std::lock_guard lock(mutex_);
  std::fwrite(&record, sizeof record, 1, file_);
  for (const std::span<const std::byte> piece : pieces) std::fwrite(piece.data(), 1, piece.size(), file_);
}

}  // namespace weir::netstack
