#include "netstack/host/tcp_flags.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace weir {
namespace {

using netstack::kTcpMaxBuffer;
using netstack::TcpSettings;

// A number, and what it may be.
struct Setting {
  absl::string_view name;
  std::variant<bool TcpSettings::*, uint8_t TcpSettings::*, uint32_t TcpSettings::*> member;
  uint32_t least = 0;
  uint32_t most = 1;
};

// In the order of ip-sysctl.
constexpr Setting kSettings[] = {
    {"base_mss", &TcpSettings::base_mss, 48, 65535},
    {"challenge_ack_limit", &TcpSettings::challenge_ack_limit, 0, 1'000'000},
    {"dsack", &TcpSettings::dsack},
    {"early_retrans", &TcpSettings::early_retrans},
    {"ecn", &TcpSettings::ecn, 0, 2},
    {"fastopen", &TcpSettings::fastopen, 0, 0x607},
    {"fin_timeout", &TcpSettings::fin_timeout_s, 1, 32767},
    {"frto", &TcpSettings::frto},
    {"invalid_ratelimit", &TcpSettings::invalid_ratelimit_ms, 0, 60'000},
    {"max_orphans", &TcpSettings::max_orphans, 0, 1 << 24},
    {"max_syn_backlog", &TcpSettings::max_syn_backlog, 1, 65535},
    {"max_tw_buckets", &TcpSettings::max_tw_buckets, 0, 1 << 24},
    {"min_snd_mss", &TcpSettings::min_snd_mss, 48, 65535},
    {"moderate_rcvbuf", &TcpSettings::moderate_rcvbuf},
    {"mtu_probe_floor", &TcpSettings::mtu_probe_floor, 48, 65535},
    {"mtu_probing", &TcpSettings::mtu_probing, 0, 2},
    {"notsent_lowat", &TcpSettings::notsent_lowat, 1, UINT32_MAX},
    {"probe_interval", &TcpSettings::probe_interval_s, 1, 1 << 24},
    {"probe_threshold", &TcpSettings::probe_threshold, 1, 65535},
    {"retrans_collapse", &TcpSettings::retrans_collapse},
    {"sack", &TcpSettings::sack},
    {"slow_start_after_idle", &TcpSettings::slow_start_after_idle},
    {"syncookies", &TcpSettings::syncookies},
    {"timestamps", &TcpSettings::timestamps, 0, 2},
    {"tw_reuse", &TcpSettings::tw_reuse, 0, 2},
    {"window_scaling", &TcpSettings::window_scaling},
};

absl::Status Wrong(absl::string_view part, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("--tcp=", part, ": ", what));
}

absl::Status Unknown(absl::string_view part) {
  std::string names = "congestion_control, ip_local_port_range, rmem, wmem";
  for (const Setting& setting : kSettings) absl::StrAppend(&names, ", ", setting.name);
  return Wrong(part, absl::StrCat("no such setting; there are ", names));
}

absl::Status SetNumber(const Setting& setting, absl::string_view part, absl::string_view text, TcpSettings* settings) {
  uint32_t value = 0;
  if (!absl::SimpleAtoi(text, &value) || value < setting.least || value > setting.most) {
    return Wrong(part, absl::StrCat("a number from ", setting.least, " to ", setting.most));
  }
  std::visit([&](auto member) { settings->*member = static_cast<std::decay_t<decltype(settings->*member)>>(value); },
             setting.member);
  return absl::OkStatus();
}

// "4096 131072 6291456", as the sysctl has them: in bytes, none less than the one before it.
absl::Status SetThree(absl::string_view part, absl::string_view text, uint32_t* least, uint32_t* initial,
                      uint32_t* most) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipWhitespace());
  uint32_t values[3] = {};
  bool ok = words.size() == 3;
  for (size_t i = 0; ok && i < 3; ++i) {
    ok = absl::SimpleAtoi(words[i], &values[i]) && values[i] >= (i == 0 ? 1 : values[i - 1]) &&
         values[i] <= kTcpMaxBuffer;
  }
  if (!ok) return Wrong(part, absl::StrCat("three numbers up to ", kTcpMaxBuffer, ", rising, with spaces between"));
  *least = values[0];
  *initial = values[1];
  *most = values[2];
  return absl::OkStatus();
}

// "32768 60999": the first and the last.
absl::Status SetPortRange(absl::string_view part, absl::string_view text, netstack::TcpPortRange* ports) {
  const std::vector<absl::string_view> words = absl::StrSplit(text, ' ', absl::SkipWhitespace());
  uint32_t first = 0, last = 0;
  if (words.size() != 2 || !absl::SimpleAtoi(words[0], &first) || !absl::SimpleAtoi(words[1], &last) || first < 1 ||
      last < first || last > 65535) {
    return Wrong(part, "two ports from 1 to 65535, the first and the last, with a space between");
  }
  *ports = {static_cast<uint16_t>(first), static_cast<uint16_t>(last)};
  return absl::OkStatus();
}

absl::Status SetCongestionControl(absl::string_view part, absl::string_view text, TcpSettings* settings) {
  const std::optional<netstack::TcpCongestionControl> control =
      netstack::TcpCongestionControlByName({text.data(), text.size()});
  if (!control.has_value()) return Wrong(part, "no such congestion control");
  settings->congestion_control = *control;
  return absl::OkStatus();
}

absl::Status SetOne(absl::string_view part, TcpSettings* settings) {
  const std::pair<absl::string_view, absl::string_view> words = absl::StrSplit(part, absl::MaxSplits('=', 1));
  const absl::string_view name = absl::StripPrefix(words.first, "tcp_");
  for (const Setting& setting : kSettings) {
    if (name == setting.name) return SetNumber(setting, part, words.second, settings);
  }
  if (name == "rmem") {
    return SetThree(part, words.second, &settings->receive_buffer_min, &settings->receive_buffer,
                    &settings->receive_buffer_max);
  }
  if (name == "wmem") {
    return SetThree(part, words.second, &settings->send_buffer_min, &settings->send_buffer,
                    &settings->send_buffer_max);
  }
  if (name == "ip_local_port_range") return SetPortRange(part, words.second, &settings->local_ports);
  if (name == "congestion_control") return SetCongestionControl(part, words.second, settings);
  return Unknown(part);
}

}  // namespace

absl::Status ParseTcpSettings(absl::string_view text, TcpSettings* settings) {
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipWhitespace())) {
    const absl::Status status = SetOne(absl::StripAsciiWhitespace(part), settings);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace weir
