// What happens when a connection's deadline has come.
#pragma once

#include "dataplane/tcp/core.h"

namespace penstock::dataplane::tcp {

// t's node came out of the wheel: serves what is due and puts it in again for the rest.
void on_timers(Core& core, Tcb& t);

}  // namespace penstock::dataplane::tcp
