// TcpAnswers: the queries in what a connection has received, and their answers, each with its length in front (RFC 1035
// §4.2.2). Knows nothing of waiting: that is tcp_server.h.
#ifndef EXAMPLES_DNS_SERVER_TCP_ANSWERS_H_
#define EXAMPLES_DNS_SERVER_TCP_ANSWERS_H_

#include <array>
#include <cstddef>
#include <functional>
#include <span>

#include "examples/dns_server/answer_table.h"
#include "examples/dns_server/wire.h"
#include "runtime/buffer/recv_buffer.h"
#include "runtime/buffer/send_buffer.h"

namespace dns_server {

class TcpAnswers {
 public:
  // A query has one question and few options: a longer one is none (and 16 bits of length would be much to keep).
  static constexpr size_t kMaxQuery = 4096;
  // Makes room for an answer, as TcpStream::NewSendBuffer.
  using NewBuffer = std::function<weir::SendBuffer(size_t)>;

  enum class Next {
    kReceive,   // all whole queries are answered
    kAgain,     // there are more
    kNoFrames,  // as is, but the shard has no frame to spare: again, later
    kClose,     // no length that a query can have
  };

  // One serves all connections of a shard: it keeps nothing of them.
  explicit TcpAnswers(const AnswerTable& table) : table_(table) {}

  // Takes whole queries off the front of `in` and appends their answers to `out`, which is empty at first, until it is
  // full: to be sent before the next call.
  Next Answer(const NewBuffer& new_buffer, weir::RecvBuffer& in, weir::SendBuffer* out);

 private:
  static constexpr size_t kLength = 2;
  // For answers in one frame: what fits the segments that a connection begins with (tcp_base_mss).
  static constexpr size_t kRoom = 1000;

  // Whether a whole query is there; else `next` says what is.
  static bool HasQuery(const weir::RecvBuffer& in, Next* next);
  // The first query, which is there: where it lies, if that is in one piece.
  std::span<const std::byte> FirstQuery(const weir::RecvBuffer& in);
  Next AnswerLarge(const NewBuffer& new_buffer, weir::RecvBuffer& in, size_t size, weir::SendBuffer* out);

  const AnswerTable& table_;
  std::array<std::byte, kMaxQuery> query_;
  std::array<std::byte, kLength + kMaxMessage> large_;
};

}  // namespace dns_server

#endif  // EXAMPLES_DNS_SERVER_TCP_ANSWERS_H_
