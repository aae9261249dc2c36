#include "netstack/tcp/tcp_options.h"

#include <algorithm>

#include "netstack/tcp/tcp_context.h"
#include "netstack/tcp/tcp_ecn.h"
#include "netstack/tcp/tcp_fast_open.h"
#include "netstack/tcp/tcp_initial.h"
#include "netstack/tcp/tcp_sack.h"
#include "netstack/tcp/tcp_timestamps.h"

namespace weir::netstack {

void TcpOfferOptions(TcpSock& sock) {
  const TcpSettings& settings = sock.context.settings;
  sock.rcv.wscale = settings.window_scaling ? kTcpWindowScale : 0;
  sock.sack.ok = settings.sack;
  TcpEcnOffer(sock);
  sock.ts.ok = settings.timestamps != 0;
}

void TcpTakeSynOptions(TcpSock& sock, const TcpOptions& options, Nanos now_ns) {
  if (options.has_window_scale && sock.rcv.wscale != 0) {
    sock.snd.wscale = options.window_scale;
  } else {
    sock.rcv.wscale = 0;
  }
  sock.sack.ok = sock.sack.ok && options.sack_permitted;
  sock.ts.ok = sock.ts.ok && options.has_timestamps;
  if (sock.ts.ok) TcpSetTsRecent(sock, options.ts_val, now_ns);
}

size_t TcpWriteSynOptions(const TcpSock& sock, std::byte* at, Nanos now_ns) {
  TcpOptions options{.has_mss = true,
                     .has_window_scale = sock.rcv.wscale != 0,
                     .sack_permitted = sock.sack.ok,
                     .has_timestamps = sock.ts.ok,
                     .mss = sock.rcv.advmss,
                     .window_scale = sock.rcv.wscale,
                     .ts_val = TcpTimestamp(sock, now_ns),
                     .ts_ecr = sock.ts.recent};
  TcpFastOpenRoom room;
  TcpFastOpenOption(sock, now_ns, room, &options);
  return options.Emit(at);
}

// Differs from Linux: a segment that is full is not cut to make room for SACK blocks, since its frame would have to be
// copied; the caller sends them in an ACK by themselves.
size_t TcpWriteOptions(TcpSock& sock, std::byte* at, uint32_t payload, Nanos now_ns, bool* sack_left) {
  TcpOptions options;
  if (sock.ts.ok) {
    options.has_timestamps = true;
    options.ts_val = TcpTimestamp(sock, now_ns);
    options.ts_ecr = sock.ts.recent;
  }
  std::byte blocks[8 * TcpOptions::kMaxSackBlocks];
  if (TcpHasSackBlocks(sock)) [[unlikely]] {
    const uint32_t unused = sock.snd.mss > payload ? sock.snd.mss - payload : 0;
    const size_t room = std::min<size_t>(unused, TcpOptions::kMaxSize - TcpFixedOptions(sock));
    const size_t fit = room < 4 ? 0 : (room - 4) / 8;
    options.sack = blocks;
    options.sack_blocks = TcpTakeSackBlocks(sock, std::span(blocks).first(8 * std::min<size_t>(fit, 4)));
    *sack_left = options.sack_blocks == 0;
  }
  return options.Emit(at);
}

}  // namespace weir::netstack
