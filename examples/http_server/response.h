// Response heads (RFC 9112 §4, RFC 9110 §15), written into the caller's memory.
#ifndef EXAMPLES_HTTP_SERVER_RESPONSE_H_
#define EXAMPLES_HTTP_SERVER_RESPONSE_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "examples/http_server/file_cache.h"
#include "examples/http_server/request_parser.h"

namespace http_server {

// What is sent for one request: a status, headers, and the bytes [begin, end) of a file or a short text.
struct Response {
  int status = 200;
  bool keep_alive = true;
  CachedFilePtr file;  // nullptr: `text` is the body
  uint64_t begin = 0;
  uint64_t end = 0;
  absl::string_view text;
  absl::string_view location;  // of a redirect: the path as it came, without its '/'

  uint64_t body_size() const { return file != nullptr ? end - begin : text.size(); }
};

// The longest head: a redirect to a target of 2 KiB.
using HeadBuffer = std::array<char, 3072>;

// Chooses status and bytes for `request` of `file`: all, a range (206, 416), or nothing when it is not modified (304).
Response RespondWithFile(const RequestParser& request, CachedFilePtr file);
// A short page that says what is wrong.
Response RespondWithStatus(int status, bool keep_alive);

// Writes the head and returns its size.
size_t WriteHead(const Response& response, HeadBuffer& head);

}  // namespace http_server

#endif  // EXAMPLES_HTTP_SERVER_RESPONSE_H_
