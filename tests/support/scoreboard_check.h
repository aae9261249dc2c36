// The rules of netstack/tcp/tcp_scoreboard.h: the sums are those of the frames' bits, the hints point where they may.
#ifndef TESTS_SUPPORT_SCOREBOARD_CHECK_H_
#define TESTS_SUPPORT_SCOREBOARD_CHECK_H_

#include <string>

#include "absl/strings/str_cat.h"
#include "netstack/tcp/tcp_loss.h"
#include "netstack/tcp/tcp_scoreboard.h"

namespace weir::testing_support {

// What is wrong; empty when nothing is.
inline std::string ScoreboardProblem(const netstack::TcpSock& sock) {
  using netstack::TcpTxCb;
  if (sock.state == netstack::TcpState::kSynSent || sock.state == netstack::TcpState::kSynReceived ||
      sock.state == netstack::TcpState::kClosed) {
    return "";
  }
  const auto& board = sock.board;
  const runtime::Frame* const retransmit_hint = sock.loss == nullptr ? nullptr : sock.loss->retransmit_hint;
  const runtime::Frame* const sack_hint = sock.loss == nullptr ? nullptr : sock.loss->sack_hint;
  uint32_t sacked = 0, lost = 0, retrans = 0, sacked_frames = 0, packets = 0, in_flight = 0;
  netstack::Seq at = sock.snd.una;
  bool sent = true, hint_seen = false, sack_hint_seen = false;
  for (runtime::Frame* frame = sock.send_queue.head(); frame != nullptr; frame = frame->next) {
    const auto& cb = frame->Cb<TcpTxCb>();
    if (frame == sock.send_head) {
      if (at != sock.snd.nxt) return absl::StrCat("what was sent ends ", sock.snd.nxt - at, " before nxt");
      sent = false;
    }
    if (cb.seq != at) return "the frames have a gap";
    at = cb.end();
    hint_seen |= frame == retransmit_hint;
    sack_hint_seen |= frame == sack_hint;
    if (!sent) {
      if ((cb.flags & ~TcpTxCb::kFin) != 0) return "bits on a frame that was not sent";
      continue;
    }
    if (cb.has(TcpTxCb::kSacked) && cb.has(TcpTxCb::kLost)) return "SACKed and lost";
    if (cb.has(TcpTxCb::kLost) && !cb.has(TcpTxCb::kRetrans) && !hint_seen) return "lost before the hint";
    ++packets;
    in_flight += 1u - cb.has(TcpTxCb::kSacked) - cb.has(TcpTxCb::kLost) + cb.has(TcpTxCb::kRetrans);
    if (cb.has(TcpTxCb::kSacked)) ++sacked_frames, sacked += cb.size();
    if (cb.has(TcpTxCb::kLost)) lost += cb.size();
    if (cb.has(TcpTxCb::kRetrans)) retrans += cb.size();
  }
  if (sent && at != sock.snd.nxt) return "what was sent does not end at nxt";
  if (retransmit_hint != nullptr && !hint_seen) return "retransmit_hint points nowhere";
  if (sack_hint != nullptr && !sack_hint_seen) return "sack_hint points nowhere";
  const auto outstanding = static_cast<uint32_t>(sock.snd.nxt - sock.snd.una);
  if (lost != board.lost_out || retrans != board.retrans_out) return "lost_out or retrans_out";
  if (sock.sack.ok && (sacked != board.sacked_out || sacked_frames != board.sacked_frames)) return "sacked_out";
  if (packets != sock.usage.packets_out || in_flight != board.packets_in_flight) return "packets_out or packets_in_flight";
  if (board.sacked_out + board.lost_out > outstanding) return "more is SACKed or lost than is outstanding";
  if (sock.recovery.state == netstack::TcpCaState::kOpen && board.lost_out != 0) return "Open with something lost";
  if (outstanding != 0 && sock.timer_kind == netstack::TcpTimerKind::kNone) return "no timer";
  return "";
}

}  // namespace weir::testing_support

#endif  // TESTS_SUPPORT_SCOREBOARD_CHECK_H_
