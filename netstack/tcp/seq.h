// Seq: a TCP sequence number. Numbers wrap (RFC 9293 §3.4), so they are compared by their distance and never as
// integers; the type keeps the two apart.
#ifndef NETSTACK_TCP_SEQ_H_
#define NETSTACK_TCP_SEQ_H_

#include <cstdint>

namespace weir::netstack {

class Seq {
 public:
  constexpr Seq() = default;
  constexpr explicit Seq(uint32_t value) : value_(value) {}

  constexpr uint32_t value() const { return value_; }

  friend constexpr Seq operator+(Seq a, uint32_t n) { return Seq(a.value_ + n); }
  friend constexpr Seq operator-(Seq a, uint32_t n) { return Seq(a.value_ - n); }
  constexpr Seq& operator+=(uint32_t n) {
    value_ += n;
    return *this;
  }
  // How far `a` is ahead of `b`; negative when it is behind. Right for distances below 2^31.
  friend constexpr int32_t operator-(Seq a, Seq b) { return static_cast<int32_t>(a.value_ - b.value_); }

  friend constexpr bool operator==(Seq a, Seq b) = default;
  friend constexpr bool operator<(Seq a, Seq b) { return a - b < 0; }
  friend constexpr bool operator>(Seq a, Seq b) { return a - b > 0; }
  friend constexpr bool operator<=(Seq a, Seq b) { return a - b <= 0; }
  friend constexpr bool operator>=(Seq a, Seq b) { return a - b >= 0; }

 private:
  uint32_t value_ = 0;
};

// [start, end).
struct SeqRange {
  Seq start;
  Seq end;
};

}  // namespace weir::netstack

#endif  // NETSTACK_TCP_SEQ_H_
