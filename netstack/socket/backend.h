// The border between the public sockets and the two stacks below them: kernel sockets through io_uring
// (kernel_*.cc) and weir's own stack (inet_*.cc). The public types hold a backend pointer; each call makes an
// operation, which lives in the awaiting coroutine's frame, and hands it to the backend.
//
// The protocol of an operation: Start…(op) returns true when it completed at once, with the result in `op`.
// Otherwise the backend keeps a pointer to it and later stores the result and calls op.Wake(), exactly once.
// Cancel…(op) asks for an early end: the backend stores kCancelled (or what happened first) and calls Wake(),
// at once or when the kernel has let go of the operation's memory.
#ifndef NETSTACK_SOCKET_BACKEND_H_
#define NETSTACK_SOCKET_BACKEND_H_

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "netstack/ip/group_call.h"
#include "netstack/tcp/tcp_reader.h"
#include "netstack/tcp/tcp_sock_options.h"
#include "netstack/udp/datagram.h"
#include "netstack/udp/udp_options.h"
#include "netstack/udp/udp_receive_queue.h"
#include "runtime/base/ip_address.h"
#include "runtime/base/time.h"
#include "runtime/base/unix_address.h"
#include "runtime/buffer/recv_buffer.h"
#include "runtime/buffer/send_buffer.h"
#include "runtime/core/waiter.h"

namespace weir::netstack {

class StreamBackend;
class ListenerBackend;
class UdpBackend;
class UnixDatagramBackend;

// Closes rather than deletes: a connection outlives its socket while FIN or unsent data is under way, and a kernel
// operation outlives it until its final completion. The backend frees itself after that.
struct CloseBackend {
  template <typename Backend>
  void operator()(Backend* backend) const {
    backend->Close();
  }
};
using StreamBackendPtr = std::unique_ptr<StreamBackend, CloseBackend>;
using ListenerBackendPtr = std::unique_ptr<ListenerBackend, CloseBackend>;
using UdpBackendPtr = std::unique_ptr<UdpBackend, CloseBackend>;
using UnixDatagramBackendPtr = std::unique_ptr<UnixDatagramBackend, CloseBackend>;

// How to receive into the caller's memory.
struct RecvFlags {
  bool peek = false;      // the bytes stay, for the next call (MSG_PEEK)
  bool wait_all = false;  // not before the memory is full, or nothing more will come (MSG_WAITALL)
};

// A call into the caller's memory (TcpReader), or for the frames as they lie. Every connection has room for one in its
// coroutine's frame, so what only the one or the other needs shares its place.
struct RecvOp : runtime::Waiter {
  static constexpr const char* kWaitsFor = "tcp receive";
  explicit RecvOp(StopCallback::Function on_stop) : Waiter(on_stop) {}
  ~RecvOp() {
    if (has_buffer) buffer.~RecvBuffer();
  }

  // Where the frames go, once some are there; then there is no reader any more. Not for calls with memory.
  RecvBuffer& MakeBuffer() {
    has_buffer = true;
    return *std::construct_at(&buffer);
  }
  bool plain() const { return !flags.peek && !flags.wait_all; }
  // Of a call with memory.
  bool full() const {
    size_t room = 0;
    for (const iovec& piece : reader.into) room += piece.iov_len;
    return reader.copied >= room;
  }

  bool has_buffer = false;
  RecvFlags flags;  // of a call with memory
  union {
    TcpReader reader = {};
    RecvBuffer buffer;
  };
  absl::Status status;  // OK with nothing received: the peer's FIN

  void TakeArguments(RecvOp& from) {
    reader.into = from.reader.into;
    flags = from.flags;
  }
};

// What a connection may wait for besides a receive: one of them at a time.
struct OutputOp : runtime::Waiter {
  enum class Kind : uint8_t { kConnect, kSend, kClose };
  OutputOp(StopCallback::Function on_stop, Kind kind) : Waiter(on_stop), kind(kind) {}
  const Kind kind;
};

// Either frames, of which the backend takes ownership, or the caller's memory, which it has copied (or the kernel has
// read) when the operation completes. Or, of a ScatterSendOp, first the one and then the other.
struct SendOp : OutputOp {
  static constexpr const char* kWaitsFor = "tcp send";
  explicit SendOp(StopCallback::Function on_stop) : OutputOp(on_stop, Kind::kSend) {}
  ~SendOp() {
    if (has_frames) frames.~SendBuffer();
  }

  void SetFrames(runtime::FrameChain&& chain) {
    has_frames = true;
    static_cast<runtime::FrameChain&>(*std::construct_at(&frames)) = std::move(chain);
  }

  // The frames are taken: memory that is to follow takes their place. False: there is none.
  bool GoOnWithMemory();

  struct Memory {
    std::span<const iovec> from;
    size_t sent = 0;  // progress
  };
  bool has_frames = false;
  bool has_more = false;  // memory follows the frames
  bool then_shutdown = false;  // ShutdownWrite was called meanwhile; for the backend
  union {
    Memory memory = {};
    SendBuffer frames;
  };
  absl::Status status;

  void TakeArguments(SendOp& other) {
    if (other.has_frames) {
      SetFrames(std::move(other.frames));
    } else {
      memory = other.memory;
    }
    has_more = other.has_more;
  }
};

struct ScatterSendOp : SendOp {
  using SendOp::SendOp;
  std::span<const iovec> then;
  size_t frame_bytes = 0;   // when it began
  size_t* taken = nullptr;  // how many bytes the stack took is told here

  void Fill(runtime::FrameChain&& chain, std::span<const iovec> memory_then, size_t* count) {
    then = memory_then;
    taken = count;
    frame_bytes = chain.size();
    if (frame_bytes == 0) {
      memory.from = then;
      return;
    }
    SetFrames(std::move(chain));
    for (const iovec& piece : then) has_more = has_more || piece.iov_len > 0;
  }
  void TellTaken() {
    if (taken != nullptr) *taken = frame_bytes + (has_frames ? 0 : memory.sent) - (has_frames ? frames.size() : 0);
  }
  void TakeArguments(ScatterSendOp& other) {
    SendOp::TakeArguments(other);
    then = other.then;
    frame_bytes = other.frame_bytes;
    taken = other.taken;
  }
};

inline bool SendOp::GoOnWithMemory() {
  if (!has_more) return false;
  frames.~SendBuffer();
  has_frames = has_more = false;
  std::construct_at(&memory, Memory{.from = static_cast<ScatterSendOp&>(*this).then});
  return true;
}

struct ConnectOp : OutputOp {
  static constexpr const char* kWaitsFor = "tcp connect";
  explicit ConnectOp(StopCallback::Function on_stop) : OutputOp(on_stop, Kind::kConnect) {}
  Endpoint peer;
  TcpConnectOptions options;
  absl::Status status;

  void TakeArguments(ConnectOp& from) {
    peer = from.peer;
    options = from.options;
  }
};

struct CloseOp : OutputOp {
  static constexpr const char* kWaitsFor = "tcp close";
  explicit CloseOp(StopCallback::Function on_stop) : OutputOp(on_stop, Kind::kClose) {}
  absl::Status status;

  void TakeArguments(CloseOp&) {}
};

struct AcceptOp : runtime::Waiter {
  static constexpr const char* kWaitsFor = "tcp accept";
  explicit AcceptOp(StopCallback::Function on_stop) : Waiter(on_stop) {}
  StreamBackendPtr stream;
  absl::Status status;

  void TakeArguments(AcceptOp&) {}
};

struct UdpRecvOp : runtime::Waiter {
  static constexpr const char* kWaitsFor = "udp receive";
  explicit UdpRecvOp(StopCallback::Function on_stop) : Waiter(on_stop) {}
  Datagram datagram;
  std::span<Datagram> into;  // `datagram`, or the caller's
  size_t count = 0;          // of `into`, filled
  absl::Status status;
  bool peek = false;  // into `datagram`; it stays in the queue

  void TakeArguments(UdpRecvOp& from) {
    peek = from.peek;
    into = from.into.data() == &from.datagram ? std::span(&datagram, 1) : from.into;
  }
};

struct DatagramSendOp : runtime::Waiter {
  explicit DatagramSendOp(StopCallback::Function on_stop) : Waiter(on_stop) {}
  SendBuffer buffer;
  std::span<const iovec> from;
  absl::Status status;

  void TakeArguments(DatagramSendOp& other) {
    buffer = std::move(other.buffer);
    from = other.from;
  }
};

// One datagram of a batch to be sent.
struct UdpMessage {
  SendBuffer data;
  Endpoint peer;  // none (port 0): the one that the socket is connected to
  UdpSendOptions options;
};

struct UdpSendOp : DatagramSendOp {
  static constexpr const char* kWaitsFor = "udp send";
  explicit UdpSendOp(StopCallback::Function on_stop) : DatagramSendOp(on_stop) {}
  Endpoint peer;
  UdpSendOptions options;
  std::span<UdpMessage> batch;  // instead of all of the above
  size_t sent = 0;              // of `batch`

  void TakeArguments(UdpSendOp& other) {
    DatagramSendOp::TakeArguments(other);
    peer = other.peer;
    options = other.options;
    batch = other.batch;
  }
};

struct UnixDatagram {
  RecvBuffer data;
  UnixAddress peer;  // unnamed when the sender was not bound
};

struct UnixRecvOp : runtime::Waiter {
  static constexpr const char* kWaitsFor = "unix datagram receive";
  explicit UnixRecvOp(StopCallback::Function on_stop) : Waiter(on_stop) {}
  UnixDatagram datagram;
  absl::Status status;

  void TakeArguments(UnixRecvOp&) {}
};

struct UnixSendOp : DatagramSendOp {
  static constexpr const char* kWaitsFor = "unix datagram send";
  explicit UnixSendOp(StopCallback::Function on_stop) : DatagramSendOp(on_stop) {}
  UnixAddress peer;

  void TakeArguments(UnixSendOp& other) {
    DatagramSendOp::TakeArguments(other);
    peer = std::move(other.peer);
  }
};

// Options of TCP: of a connection, or of a listener, for the connections that it accepts from then on.
class TcpOptionsBackend {
 public:
  virtual absl::Status SetTcpOption(TcpSockOption option, uint64_t value) = 0;
  virtual absl::StatusOr<uint64_t> GetTcpOption(TcpSockOption option) const = 0;
  virtual absl::Status SetKeepAlive(const std::optional<TcpKeepAlive>& times) = 0;
  virtual absl::StatusOr<std::optional<TcpKeepAlive>> GetKeepAlive() const = 0;
  virtual absl::Status SetCongestionControl(std::string_view name) = 0;
  virtual absl::StatusOr<std::string> GetCongestionControl() const = 0;

 protected:
  ~TcpOptionsBackend() = default;
};

// A connection of any kind; the options are of TCP alone. At most one receive and one send operation at a time (the
// sockets check it).
class StreamBackend : public TcpOptionsBackend {
 public:
  // First call on a stream from OpenTcp, and only there, with the same peer; it is usable when the operation ended with OK.
  virtual bool StartConnect(ConnectOp& op) = 0;
  virtual void CancelConnect(ConnectOp& op) = 0;
  virtual bool StartRecv(RecvOp& op) = 0;
  virtual void CancelRecv(RecvOp& op) = 0;
  virtual bool StartSend(SendOp& op) = 0;
  virtual void CancelSend(SendOp& op) = 0;
  // Sends FIN after everything accepted by Sendmsg; receiving goes on.
  virtual absl::Status ShutdownWrite() = 0;
  // RST, whatever is queued; the operations under way end with kAborted.
  virtual void Reset() = 0;
  // The same as Close for the peer, with nothing else under way; ends when it has acknowledged all, and Close follows.
  virtual bool StartClose(CloseOp& op) = 0;
  virtual void CancelClose(CloseOp& op) = 0;
  // Called last: orderly close in the background, then frees the backend.
  virtual void Close() = 0;
  virtual Endpoint local() const = 0;
  virtual Endpoint peer() const = 0;
  virtual SendBuffer NewSendBuffer(size_t bytes) = 0;
  // Of TCP alone.
  virtual absl::StatusOr<TcpInfo> Info() const = 0;
  virtual absl::StatusOr<TcpMemInfo> MemInfo() const = 0;
  // What ended the connection, if nobody was told; nobody else is then (SO_ERROR).
  virtual absl::Status TakeError() = 0;
  // The kernel's socket, for what it knows of the peer; -1 when there is none (any more).
  virtual int kernel_fd() const { return -1; }

 protected:
  ~StreamBackend() = default;
};

class ListenerBackend : public TcpOptionsBackend {
 public:
  virtual bool StartAccept(AcceptOp& op) = 0;
  virtual void CancelAccept(AcceptOp& op) = 0;
  virtual void Close() = 0;
  virtual Endpoint local() const = 0;

 protected:
  ~ListenerBackend() = default;
};

class UdpBackend {
 public:
  // Whether a datagram is there that TakeWaiting gives without an operation: most are, with others in the same burst.
  bool datagram_waits() const { return queue_ != nullptr && queue_->ready(); }
  // Not inline: it would be once more in each coroutine that receives.
  [[gnu::noinline]] absl::StatusOr<Datagram> TakeWaiting() {
    runtime::Frame* frame = queue_->PopUsual();
    if (frame == nullptr) [[unlikely]] return TakeUnusual();
    return absl::StatusOr<Datagram>(absl::in_place, WaitingDatagram<true>{*frame});
  }
  // The same into `into`, as many as fit; returns how many.
  size_t TakeWaiting(std::span<Datagram> into) {
    size_t count = 0;
    while (count < into.size() && !queue_->empty()) into[count++] = queue_->Pop();
    return count;
  }

  virtual bool StartRecv(UdpRecvOp& op) = 0;
  virtual void CancelRecv(UdpRecvOp& op) = 0;
  virtual bool StartSend(UdpSendOp& op) = 0;
  virtual void CancelSend(UdpSendOp& op) = 0;
  virtual void Close() = 0;
  virtual absl::Status Connect(const Endpoint& peer) = 0;
  virtual absl::Status Disconnect() = 0;
  virtual absl::Status SetOption(UdpOption option, uint32_t value) = 0;
  virtual absl::Status CallGroup(GroupCall call, const IpAddress& group, const IpAddress& source,
                                 uint32_t interface) = 0;
  virtual Endpoint local() const = 0;
  virtual Endpoint peer() const = 0;
  virtual uint64_t dropped() const = 0;
  virtual SendBuffer NewSendBuffer(size_t bytes) = 0;
  // For what was received and copied to the program's memory.
  virtual void CountCopied(size_t bytes) = 0;

 protected:
  ~UdpBackend() = default;

  // A call of its own, so that TakeWaiting has nothing to save and to restore.
  [[gnu::noinline]] absl::StatusOr<Datagram> TakeUnusual() { return queue_->PopUnusual(); }

  UdpReceiveQueue* queue_ = nullptr;  // where the backend's datagrams wait; nullptr: elsewhere
};

class UnixDatagramBackend {
 public:
  virtual bool StartRecv(UnixRecvOp& op) = 0;
  virtual void CancelRecv(UnixRecvOp& op) = 0;
  virtual bool StartSend(UnixSendOp& op) = 0;
  virtual void CancelSend(UnixSendOp& op) = 0;
  virtual void Close() = 0;
  virtual SendBuffer NewSendBuffer(size_t bytes) = 0;

 protected:
  ~UnixDatagramBackend() = default;
};

// What makes sockets on one shard: KernelStack or InetStack.
class SocketStack {
 public:
  virtual ~SocketStack() = default;
  virtual absl::StatusOr<ListenerBackendPtr> ListenTcp(const Endpoint& local, const TcpListenOptions& options) = 0;
  // A stream that is not connected yet; TcpStream::Connect starts it with StartConnect.
  virtual absl::StatusOr<StreamBackendPtr> OpenTcp(const Endpoint& peer) = 0;
  virtual absl::StatusOr<UdpBackendPtr> BindUdp(const Endpoint& local, const UdpBindOptions& options) = 0;
};

}  // namespace weir::netstack

#endif  // NETSTACK_SOCKET_BACKEND_H_
