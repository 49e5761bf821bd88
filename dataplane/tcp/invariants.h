// The invariants of docs/internals/tcp.md, checked after each event in the dev, tsan, sim and fuzz builds; they cost
// nothing in release. Each says which bug of which kind it stands against.
#pragma once

#include "dataplane/tcp/core.h"

namespace penstock::dataplane::tcp {

#ifdef PENSTOCK_DCHECK
// What holds always.
void check_invariants(const Core& core, const Tcb& t);
// What holds when output() has run: pending work has a timer.
void check_invariants_after_output(const Core& core, const Tcb& t);
#else
inline void check_invariants(const Core&, const Tcb&) {}
inline void check_invariants_after_output(const Core&, const Tcb&) {}
#endif

}  // namespace penstock::dataplane::tcp
