#include "examples/http_server/response.h"

#include <http_parser.h>

#include <algorithm>
#include <cinttypes>
#include <cstdarg>
#include <cstdio>
#include <ctime>
#include <utility>

namespace http_server {
namespace {

struct HttpDate {
  char text[32];
};

HttpDate FormatDate(time_t time) {
  HttpDate date;
  tm utc;
  gmtime_r(&time, &utc);
  std::strftime(date.text, sizeof date.text, "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return date;
}

// The Date header is the same for all responses of a second.
const HttpDate& Today() {
  thread_local time_t cached = -1;
  thread_local HttpDate date;
  const time_t now = time(nullptr);
  if (now != cached) {
    cached = now;
    date = FormatDate(now);
  }
  return date;
}

const char* TextOf(int status) {
  switch (status) {
    case 301:
      return "The directory's path ends with a slash.\n";
    case 400:
      return "The request could not be understood.\n";
    case 403:
      return "Reading that file is not permitted.\n";
    case 404:
      return "There is no such file.\n";
    case 405:
      return "Files can only be read: GET and HEAD.\n";
    case 408:
      return "The request took too long.\n";
    case 413:
      return "The request's body is too large.\n";
    case 414:
      return "The request's target is too long.\n";
    case 416:
      return "The file has no such range.\n";
    case 431:
      return "The request's header is too large.\n";
    case 501:
      return "The server does not do that.\n";
    case 505:
      return "The server speaks HTTP/1.1 and HTTP/1.0.\n";
    default:
      return "The file could not be read.\n";
  }
}

class HeadWriter {
 public:
  explicit HeadWriter(HeadBuffer& head) : head_(head) {}
  size_t size() const { return size_; }

  [[gnu::format(printf, 2, 3)]] void Add(const char* format, ...) {
    va_list values;
    va_start(values, format);
    const int n = std::vsnprintf(head_.data() + size_, head_.size() - size_, format, values);
    va_end(values);
    size_ = std::min(size_ + static_cast<size_t>(n), head_.size() - 1);
  }

 private:
  HeadBuffer& head_;
  size_t size_ = 0;
};

}  // namespace

Response RespondWithStatus(int status, bool keep_alive) {
  return {.status = status, .keep_alive = keep_alive, .text = TextOf(status)};
}

Response RespondWithFile(const RequestParser& request, CachedFilePtr file) {
  const uint64_t size = file->size;
  Response response{.keep_alive = request.keep_alive(), .file = std::move(file), .end = size};
  // RFC 9110 §13.1.3; it comes before Range (§13.2.2).
  if (request.if_modified_since() && response.file->modified <= *request.if_modified_since()) {
    response.status = 304;
    response.end = 0;
    return response;
  }
  if (!request.range()) return response;
  const ByteRange& range = *request.range();
  const uint64_t first = range.first ? *range.first : size - std::min(size, *range.last);
  const uint64_t last = range.first && range.last ? std::min(*range.last, size - 1) : size - 1;
  if (size == 0 || first >= size) {
    response = RespondWithStatus(416, request.keep_alive());
    response.end = size;  // for Content-Range
    return response;
  }
  response.status = 206;
  response.begin = first;
  response.end = last + 1;
  return response;
}

size_t WriteHead(const Response& response, HeadBuffer& head) {
  HeadWriter out(head);
  out.Add("HTTP/1.1 %d %s\r\nServer: weir\r\nDate: %s\r\n", response.status,
          http_status_str(static_cast<http_status>(response.status)), Today().text);
  if (response.status != 304) out.Add("Content-Length: %" PRIu64 "\r\n", response.body_size());
  if (response.file != nullptr) {
    out.Add("Content-Type: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n", response.file->content_type,
            FormatDate(response.file->modified).text);
  } else {
    out.Add("Content-Type: text/plain; charset=utf-8\r\n");
  }
  if (response.status == 206) {
    out.Add("Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n", response.begin, response.end - 1,
            response.file->size);
  }
  if (response.status == 416) out.Add("Content-Range: bytes */%" PRIu64 "\r\n", response.end);
  if (response.status == 405) out.Add("Allow: GET, HEAD\r\n");
  if (response.status == 301) {
    out.Add("Location: %.*s/\r\n", static_cast<int>(response.location.size()), response.location.data());
  }
  out.Add("Connection: %s\r\n\r\n", response.keep_alive ? "keep-alive" : "close");
  return out.size();
}

}  // namespace http_server
