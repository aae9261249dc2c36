#include "runtime/base/siphash.h"

#include <sys/random.h>

#include "runtime/base/check.h"

namespace weir::runtime {

SipKey SipKey::Random() {
  SipKey key;
  WEIR_CHECK(getrandom(&key, sizeof key, 0) == sizeof key);
  return key;
}

}  // namespace weir::runtime
