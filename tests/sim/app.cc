#include "tests/sim/app.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_user_calls.h"
#include "runtime/buffer/send_buffer.h"
#include "tests/sim/tcp_view.h"

namespace weir::sim {

using netstack::TcpState;
using testing_support::Bytes;
using testing_support::InetTestHost;

App::App(InetTestHost& host, const Role& role, Verdict& verdict)
    : host_(host), role_(role), verdict_(verdict), random_(role.seed), buffer_(role.mine.max_read) {}

void App::Attach(netstack::TcpSock& sock) {
  if (attached()) return Fail("a second connection with the same port");
  sock_ = &sock;
  sock.owner = this;
  sock.on_ready = &OnReady;
  sock.nodelay = role_.mine.nodelay;
  attached_ns_ = now();
  if (role_.may_fail) wake_ns_ = attached_ns_ + kPatience;
  Run();
}

void App::OnReady(netstack::ReadySock& sock, uint8_t) { static_cast<App*>(sock.owner)->Run(); }

void App::Fail(const std::string& what) { verdict_.Fail(absl::StrCat(what, "; ", ToString())); }

std::string App::ToString() const {
  std::string text = absl::StrCat(role_.name, ": sent ", sent_, " of ", role_.mine.bytes, ", received ", received_,
                                  " of ", role_.peer.bytes, eof_ ? ", end seen" : "", shut_ ? ", shut" : "");
  if (sock_ == nullptr) return absl::StrCat(text, done_ ? ", closed" : ", not connected");
  return absl::StrCat(text, ", state ", static_cast<int>(sock_->state), ", errno ", sock_->error, ", queued ",
                      sock_->send_queue.count(), " out, ", sock_->receive_queue.count(), " in, ",
                      netstack::TcpOfoCount(*sock_), " out of order");
}

void App::Run() {
  if (done_ || sock_ == nullptr) return;
  // Before the handshake is done there is something to do only with Fast Open.
  if (sock_->state == TcpState::kSynSent && !sock_->fast_open.early) return;
  if (sock_->state == TcpState::kSynReceived && !sock_->fast_open.early && !sock_->fast_open.pending) return;
  wake_ns_ = role_.may_fail ? attached_ns_ + kPatience : kNever;
  if (now() >= wake_ns_) {
    TcpAbort(*sock_, now());
    return Close();
  }
  if (Below(2) == 0) {
    Read();
    Write();
  } else {
    Write();
    Read();
  }
  // Data before errors, as tcp_recvmsg.
  if (sock_->error != 0 && sock_->receive_queue.empty()) {
    if (!role_.may_fail) Fail("the connection failed");
    return Close();
  }
  MaybeEnd();
  const Nanos shut_from_ns = shut_ ? 0 : role_.shut_from_ns;
  for (Nanos until_ns : {read_paused_until_ns_, write_paused_until_ns_, shut_from_ns}) {
    if (until_ns > now()) wake_ns_ = std::min(wake_ns_, until_ns);
  }
}

bool App::MaybePause(Nanos& until_ns) {
  const AppParams& mine = role_.mine;
  if (mine.pause_one_in == 0 || paused_ns_ > kMaxPaused || Below(mine.pause_one_in) != 0) return false;
  const Nanos pause_ns = 1 + static_cast<Nanos>(Below(static_cast<uint64_t>(mine.max_pause_ns)));
  paused_ns_ += pause_ns;
  until_ns = now() + pause_ns;
  return true;
}

void App::Took(testing_support::View bytes) {
  if (eof_) Fail("bytes behind the end");
  if (!IsPattern(role_.in_pattern, received_, bytes)) Fail("received other bytes than were sent");
  received_ += bytes.size();
  if (half_ns_ == 0 && 2 * received_ >= role_.peer.bytes) half_ns_ = now();
  if (received_ > role_.peer.bytes) Fail("received more than was sent");
}

// As InetTcp: a reader that waits is known to the connection, and perhaps its memory.
void App::WaitForData() {
  reader_ = {};
  sock_->reader = &reader_;
  if (sock_->fast_open.deferred) host_.inet().tcp.WantOutput(*sock_);
  direct_waits_ = role_.mine.read == ReadMode::kDirect;
  if (!direct_waits_) return;
  direct_ = {buffer_.data(), 1 + Below(buffer_.size())};
  reader_.into = {&direct_, 1};
}

// One call of Recvmsg; 0: there is nothing.
size_t App::ReadOnce() {
  if (direct_waits_ && reader_.copied > 0) {
    const size_t n = reader_.copied;
    Took(testing_support::View(buffer_).first(n));
    return n;
  }
  if (sock_->receive_queue.empty()) return 0;
  if (role_.mine.read == ReadMode::kFrames || role_.mine.read == ReadMode::kHoldFrames) {
    runtime::FrameChain chain;
    TcpRecvmsg(*sock_, chain);
    const size_t n = chain.size();
    Bytes bytes(n);
    chain.CopyTo(bytes);
    Took(bytes);
    // What is kept closes the window, and a program that waits for more before it gives back must leave some open. Small
    // pools have nothing to spare for it.
    const bool spares = 2 * (chain.buffers().size() + 2) * sock_->rcv.advmss < sock_->rcv.buffer;
    if (role_.mine.read == ReadMode::kHoldFrames && spares && host_.pool().size() >= 1024) held_ = std::move(chain);
    return n;
  }
  const iovec into{buffer_.data(), 1 + Below(buffer_.size())};
  const size_t n = TcpRecvmsg(*sock_, {&into, 1});
  Took(testing_support::View(buffer_).first(n));
  return n;
}

void App::Read() {
  if (now() < read_paused_until_ns_) return;
  held_.Clear();
  for (;;) {
    const size_t n = ReadOnce();
    if (n == 0) {
      if (sock_->error == 0 && (sock_->rcv.fin || sock_->state == TcpState::kClosed)) {
        SeeEnd();
      } else if (eof_ && sock_->error == 0) {
        Fail("the end was taken back");
      } else if (!direct_waits_) {
        WaitForData();
      }
      return;
    }
    direct_waits_ = false;
    sock_->reader = nullptr;
    TcpCleanupRbuf(*sock_);
    if (MaybePause(read_paused_until_ns_)) return;
  }
}

void App::SeeEnd() {
  if (eof_) return;
  eof_ = true;
  if (received_ != role_.peer.bytes && !role_.may_fail) Fail("the end came too early");
}

bool App::WriteFrames(size_t n) {
  SendBuffer buffer = SendBuffer::Allocate(host_.pool(), n, sock_->snd.mss);
  uint64_t at = sent_;
  for (const iovec& slice : buffer.writable()) {
    FillPattern(role_.out_pattern, at, {static_cast<std::byte*>(slice.iov_base), slice.iov_len});
    at += slice.iov_len;
  }
  const size_t filled = buffer.size();
  const bool all = TcpSendFrames(*sock_, buffer);
  sent_ += filled - buffer.size();
  return all;
}

bool App::WriteOnce() {
  const size_t n = std::min<uint64_t>(1 + Below(role_.mine.max_write), role_.mine.bytes - sent_);
  // A sender gets none of the last frames, as in InetTcp::NewSendBuffer; TcpSendmsg wakes it when there are more.
  const size_t frames = n / sock_->snd.mss + 1;
  if (role_.mine.send_frames && host_.pool().free_count() > host_.pool().size() / 8 + frames) return WriteFrames(n);
  Bytes bytes(n);
  FillPattern(role_.out_pattern, sent_, bytes);
  const iovec from{bytes.data(), n};
  size_t taken = 0;
  const bool all = TcpSendmsg(*sock_, {&from, 1}, &taken);
  sent_ += taken;
  return all;
}

void App::Write() {
  if (now() < write_paused_until_ns_ || sock_->error != 0 || sock_->state == TcpState::kClosed || shut_) return;
  while (sent_ < role_.mine.bytes) {
    if (!WriteOnce()) return;  // kWritable comes
    if (MaybePause(write_paused_until_ns_)) return;
  }
}

void App::MaybeEnd() {
  const AppParams& mine = role_.mine;
  const bool all_sent = sent_ == mine.bytes && now() >= write_paused_until_ns_;
  if (mine.ending == Ending::kAbort && sent_ + received_ >= mine.abort_after) {
    aborted_early_ = sock_->fast_open.pending;
    TcpAbort(*sock_, now());
    return Close();
  }
  if (mine.ending == Ending::kCloseAtOnce && all_sent) return Close();
  if (now() >= role_.shut_from_ns && (mine.ending == Ending::kAfterPeer ? all_sent && eof_ : all_sent)) {
    if (!std::exchange(shut_, true)) TcpShutdown(*sock_);
  }
  if (shut_ && eof_) Close();
}

void App::Close() {
  held_.Clear();
  TcpClose(*std::exchange(sock_, nullptr), now());
  done_ = true;
  done_ns_ = now();
}

}  // namespace weir::sim
