#include "examples/http_server/request_parser.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"

namespace http_server {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = absl::ascii_tolower(static_cast<unsigned char>(c));
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// A header that is malformed, or asks for several ranges, is as if it were not there (RFC 9110 §14.2).
std::optional<ByteRange> ParseRange(absl::string_view text) {
  if (!absl::ConsumePrefix(&text, "bytes=")) return std::nullopt;
  const size_t dash = text.find('-');
  if (dash == absl::string_view::npos) return std::nullopt;
  ByteRange range;
  uint64_t number;
  if (dash > 0) {
    if (!absl::SimpleAtoi(text.substr(0, dash), &number)) return std::nullopt;
    range.first = number;
  }
  if (dash + 1 < text.size()) {
    if (!absl::SimpleAtoi(text.substr(dash + 1), &number)) return std::nullopt;
    range.last = number;
  }
  if (!range.first && !range.last) return std::nullopt;
  if (range.first && range.last && *range.first > *range.last) return std::nullopt;
  return range;
}

}  // namespace

const http_parser_settings& RequestParser::Settings() {
  static const http_parser_settings settings = [] {
    http_parser_settings s;
    http_parser_settings_init(&s);
    s.on_url = [](http_parser* p, const char* at, size_t n) { return Of(p).OnUrl(at, n); };
    s.on_header_field = [](http_parser* p, const char* at, size_t n) { return Of(p).OnField(at, n); };
    s.on_header_value = [](http_parser* p, const char* at, size_t n) { return Of(p).OnValue(at, n); };
    s.on_headers_complete = [](http_parser* p) { return Of(p).OnHeadersComplete(); };
    s.on_body = [](http_parser* p, const char*, size_t n) {
      RequestParser& self = Of(p);
      self.body_bytes_ += n;
      return self.body_bytes_ > kMaxBody ? self.Fail(413) : 0;
    };
    s.on_message_complete = [](http_parser* p) { return Of(p).OnMessageComplete(); };
    return s;
  }();
  return settings;
}

void RequestParser::Reset() {
  http_parser_init(&parser_, HTTP_REQUEST);
  parser_.data = this;
  complete_ = keep_alive_ = in_value_ = false;
  error_ = hosts_ = 0;
  bytes_ = head_bytes_ = body_bytes_ = field_size_ = value_size_ = target_size_ = path_size_ = 0;
  header_ = Header::kOther;
  raw_path_ = {};
  range_.reset();
  if_modified_since_.reset();
}

RequestParser::State RequestParser::Feed(weir::RecvBuffer& in) {
  while (!in.empty() && !complete_ && error_ == 0) {
    const iovec& slice = in.buffers().front();
    const size_t used =
        http_parser_execute(&parser_, &Settings(), static_cast<const char*>(slice.iov_base), slice.iov_len);
    bytes_ += used;
    in.Consume(used);
    const http_errno error = HTTP_PARSER_ERRNO(&parser_);
    if (parser_.upgrade && !complete_) Fail(501);
    if (error != HPE_OK && !complete_ && error_ == 0) Fail(error == HPE_HEADER_OVERFLOW ? 431 : 400);
    if (bytes_ > kMaxHead + kMaxBody && !complete_ && error_ == 0) Fail(431);
  }
  if (complete_) return State::kComplete;
  return error_ != 0 ? State::kFailed : State::kIncomplete;
}

int RequestParser::Fail(int status) {
  error_ = status;
  return -1;
}

int RequestParser::CountHead(size_t length) {
  head_bytes_ += length;
  return head_bytes_ > kMaxHead ? Fail(431) : 0;
}

int RequestParser::OnUrl(const char* at, size_t length) {
  if (target_size_ + length > target_.size()) return Fail(414);
  std::memcpy(target_.data() + target_size_, at, length);
  target_size_ += length;
  return CountHead(length);
}

int RequestParser::OnField(const char* at, size_t length) {
  if (in_value_) EndHeader();
  const size_t n = std::min(length, field_.size() - field_size_);
  std::memcpy(field_.data() + field_size_, at, n);
  field_size_ += n;
  return CountHead(length);
}

int RequestParser::OnValue(const char* at, size_t length) {
  if (!in_value_) {
    in_value_ = true;
    const absl::string_view field(field_.data(), field_size_);
    header_ = absl::EqualsIgnoreCase(field, "range")               ? Header::kRange
              : absl::EqualsIgnoreCase(field, "if-modified-since") ? Header::kIfModifiedSince
                                                                   : Header::kOther;
    hosts_ += absl::EqualsIgnoreCase(field, "host");
  }
  const size_t n = std::min(length, value_.size() - value_size_);
  std::memcpy(value_.data() + value_size_, at, n);
  value_size_ += n;
  return CountHead(length);
}

void RequestParser::EndHeader() {
  const absl::string_view value(value_.data(), value_size_);
  if (header_ == Header::kRange) {
    range_ = ParseRange(value);
  } else if (header_ == Header::kIfModifiedSince && value.size() < kMaxValue) {
    char text[kMaxValue + 1] = {};
    std::memcpy(text, value.data(), value.size());
    tm time = {};
    if (strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &time) != nullptr) if_modified_since_ = timegm(&time);
  }
  in_value_ = false;
  header_ = Header::kOther;
  field_size_ = value_size_ = 0;
}

int RequestParser::OnHeadersComplete() {
  if (in_value_) EndHeader();
  if (parser_.http_major != 1) return Fail(505);
  // RFC 9112 §3.2: exactly one Host, which only HTTP/1.0 may leave away.
  if (hosts_ > 1 || (hosts_ == 0 && parser_.http_minor > 0)) return Fail(400);
  if (!is_get() && !is_head()) return Fail(405);
  if (!DecodeTarget()) return Fail(400);
  return 0;
}

int RequestParser::OnMessageComplete() {
  complete_ = true;
  keep_alive_ = http_should_keep_alive(&parser_) != 0;
  http_parser_pause(&parser_, 1);  // what follows is the next request
  return 0;
}

// RFC 9112 §3.2: origin-form, or the absolute-form that proxies send; RFC 3986 §2.1 for the percent signs.
bool RequestParser::DecodeTarget() {
  http_parser_url url;
  http_parser_url_init(&url);
  if (http_parser_parse_url(target_.data(), target_size_, 0, &url) != 0) return false;
  if ((url.field_set & 1 << UF_PATH) == 0) {
    path_[0] = '/';
    path_size_ = 1;
    raw_path_ = "/";
    return true;
  }
  const absl::string_view raw(target_.data() + url.field_data[UF_PATH].off, url.field_data[UF_PATH].len);
  raw_path_ = raw;
  for (size_t i = 0; i < raw.size(); ++i) {
    char c = raw[i];
    if (c == '%') {
      if (i + 2 >= raw.size()) return false;
      const int high = HexDigit(raw[i + 1]), low = HexDigit(raw[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    if (c == '\0') return false;
    path_[path_size_++] = c;
  }
  return path_size_ > 0 && path_[0] == '/';
}

}  // namespace http_server
