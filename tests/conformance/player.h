// Plays a script against a stack.
#ifndef TESTS_CONFORMANCE_PLAYER_H_
#define TESTS_CONFORMANCE_PLAYER_H_

#include <string>

#include "tests/conformance/script.h"
#include "tests/conformance/stack.h"

namespace weir::conformance {

// "" when everything came as the script says; else the first thing that did not, with file and line, what was expected
// and what came, and behind it all that happened, line by line with times.
std::string Play(const Script& script, Stack& stack, bool v6);

}  // namespace weir::conformance

#endif  // TESTS_CONFORMANCE_PLAYER_H_
