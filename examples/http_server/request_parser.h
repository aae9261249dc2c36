// RequestParser: one HTTP/1.1 request (RFC 9112) out of received buffers, by Debian's http-parser. It keeps only what a
// file server needs, in memory of its own of a fixed size, and allocates nothing.
#ifndef EXAMPLES_HTTP_SERVER_REQUEST_PARSER_H_
#define EXAMPLES_HTTP_SERVER_REQUEST_PARSER_H_

#include <http_parser.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <optional>

#include "absl/strings/string_view.h"
#include "runtime/buffer/recv_buffer.h"

namespace http_server {

// "Range: bytes=first-last" (RFC 9110 §14.1.2); either end may be missing, not both.
struct ByteRange {
  std::optional<uint64_t> first;
  std::optional<uint64_t> last;  // of "-500": how many from the end
};

class RequestParser {
 public:
  enum class State { kIncomplete, kComplete, kFailed };

  RequestParser() { Reset(); }
  RequestParser(const RequestParser&) = delete;

  // Ready for the next request of the connection.
  void Reset();

  // Takes the request's bytes off the front of `in`; what follows it stays there.
  State Feed(weir::RecvBuffer& in);
  // No byte of a request has come yet.
  bool idle() const { return bytes_ == 0; }

  // After kFailed: the status to answer with.
  int error() const { return error_; }

  // After kComplete:
  bool is_get() const { return parser_.method == HTTP_GET; }
  bool is_head() const { return parser_.method == HTTP_HEAD; }
  bool keep_alive() const { return keep_alive_; }
  // Percent-decoded, without query, beginning with "/" and without NUL; it may hold "..".
  absl::string_view path() const { return {path_.data(), path_size_}; }
  // The same as it was sent, still encoded: safe to send back.
  absl::string_view raw_path() const { return raw_path_; }
  const std::optional<ByteRange>& range() const { return range_; }
  std::optional<time_t> if_modified_since() const { return if_modified_since_; }

 private:
  // As nginx's large_client_header_buffers: one of 8 KiB.
  static constexpr size_t kMaxHead = 8192;
  static constexpr size_t kMaxTarget = 2048;
  // A body is read and thrown away, for GET has no use for one.
  static constexpr size_t kMaxBody = 65536;
  // The longest header value that is looked at: a date or a range.
  static constexpr size_t kMaxValue = 64;
  enum class Header { kOther, kRange, kIfModifiedSince };

  static const http_parser_settings& Settings();
  static RequestParser& Of(http_parser* parser) { return *static_cast<RequestParser*>(parser->data); }
  int CountHead(size_t length);
  int OnUrl(const char* at, size_t length);
  int OnField(const char* at, size_t length);
  int OnValue(const char* at, size_t length);
  int OnHeadersComplete();
  int OnMessageComplete();
  void EndHeader();
  bool DecodeTarget();
  int Fail(int status);

  http_parser parser_;
  bool complete_ = false;
  bool keep_alive_ = false;
  int error_ = 0;
  size_t bytes_ = 0;
  size_t body_bytes_ = 0;
  size_t head_bytes_ = 0;  // of target, names and values
  int hosts_ = 0;          // Host headers
  bool in_value_ = false;
  Header header_ = Header::kOther;
  size_t field_size_ = 0;
  size_t value_size_ = 0;
  size_t target_size_ = 0;
  size_t path_size_ = 0;
  absl::string_view raw_path_;
  std::array<char, kMaxValue> field_;
  std::array<char, kMaxValue> value_;
  std::array<char, kMaxTarget> target_;
  std::array<char, kMaxTarget> path_;
  std::optional<ByteRange> range_;
  std::optional<time_t> if_modified_since_;
};

}  // namespace http_server

#endif  // EXAMPLES_HTTP_SERVER_REQUEST_PARSER_H_
