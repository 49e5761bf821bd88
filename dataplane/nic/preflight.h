// What can be seen to be wrong with a device before DPDK is started, in words: its own are hard to act on.
#pragma once

#include <string>

#include "dataplane/nic/device.h"

namespace penstock::dataplane::nic {

// Empty: nothing. Otherwise what it is, and what to do.
std::string find_fault(const Device& device);

}  // namespace penstock::dataplane::nic
