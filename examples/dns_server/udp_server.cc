#include "examples/dns_server/udp_server.h"

#include <array>
#include <memory>
#include <span>
#include <utility>

#include "examples/dns_server/response.h"

namespace dns_server {
namespace {

constexpr size_t kBatch = 64;  // as many as a burst of frames

struct Batch {
  std::array<weir::Datagram, kBatch> in;
  std::array<weir::UdpMessage, kBatch> out;
};

// For queries that do not lie in a frame of their own: a long one in several frames, or one that was sent to a group.
bool AnswerElsewhere(weir::UdpSocket& socket, const AnswerTable& table, const weir::RecvBuffer& in,
                     weir::SendBuffer* out) {
  std::array<std::byte, kMaxUdpSize> query;  // what is behind that is no query that this server understands
  if (in.size() > query.size()) return false;
  in.CopyTo(query);
  *out = socket.NewSendBuffer(kMaxUdpSize);
  if (out->empty()) return false;
  const size_t size =
      WriteResponse(table, Transport::kUdp, std::span(query).first(in.size()), out->OwnFrame());
  if (size == 0 || size > out->size()) return false;
  out->Resize(size);
  return true;
}

// Headers have been read, the question has not: it begins in the next cache line, which another processor wrote.
void Prefetch(const weir::Datagram& query) {
  if (query.data.empty()) return;
  __builtin_prefetch(static_cast<const std::byte*>(query.data.buffers().front().iov_base) + 32);
}

// False: there is no answer to be sent.
bool AnswerQuery(weir::UdpSocket& socket, const AnswerTable& table, weir::Datagram& in, weir::UdpMessage* out) {
  out->peer = in.peer;
  out->options.source = in.local.ip;  // where the client waits for it from
  const std::span<std::byte> frame = in.data.OwnFrame();
  if (frame.size() < kMaxUdpSize || in.truncated()) [[unlikely]] {
    return AnswerElsewhere(socket, table, in.data, &out->data);
  }
  const size_t size = WriteResponse(table, Transport::kUdp, frame.first(in.data.size()), frame);
  if (size == 0) return false;
  in.data.Resize(size);
  out->data = std::move(in.data);
  return true;
}

}  // namespace

weir::Task<absl::Status> ServeUdp(weir::UdpSocket socket, const AnswerTable& table) {
  const auto batch = std::make_unique<Batch>();
  for (;;) {
    absl::StatusOr<size_t> received = co_await socket.RecvBatch(batch->in);
    if (!received.ok()) co_return received.status();
    const std::span<weir::Datagram> queries = std::span(batch->in).first(*received);
    for (const weir::Datagram& query : queries) Prefetch(query);
    size_t answers = 0;
    for (weir::Datagram& query : queries) {
      answers += AnswerQuery(socket, table, query, &batch->out[answers]);
      query.data.Clear();
    }
    for (size_t sent = 0; sent < answers;) {
      absl::StatusOr<size_t> more = co_await socket.SendBatch(std::span(batch->out).subspan(sent, answers - sent));
      if (absl::IsCancelled(more.status())) co_return more.status();
      // One that cannot be sent is lost, as any datagram may be.
      if (!more.ok()) batch->out[sent].data.Clear();
      sent += more.ok() ? *more : 1;
    }
  }
}

}  // namespace dns_server
