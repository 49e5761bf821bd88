// Assertions for programmer errors only; a peer's bytes are never asserted (docs/HACKING.md, "Three kinds of error").
#pragma once

#include <cstdio>
#include <cstdlib>

namespace penstock {

[[noreturn, gnu::cold, gnu::noinline]] inline void check_failed(const char* what, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, what);
  std::abort();
}

}  // namespace penstock

// Always on: the cost of a wrong byte on disk is higher than the cost of a branch.
#define CHECK(x)                                        \
  do {                                                  \
    if (!(x)) [[unlikely]]                              \
      ::penstock::check_failed(#x, __FILE__, __LINE__); \
  } while (0)

// On in the dev, tsan, sim and fuzz builds.
#ifdef PENSTOCK_DCHECK
#define DCHECK(x) CHECK(x)
#else
#define DCHECK(x)         \
  do {                    \
    if (false) (void)(x); \
  } while (0)
#endif
