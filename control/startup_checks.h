// What the machine must offer, looked at before anything is opened. Each failure is one line that says what to do.
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "control/options.h"

namespace penstock::control {

// Linux 6.1 or newer; release: as uname tells it.
std::expected<void, std::string> check_kernel(std::string_view release);

// Who will hold descriptors.
struct DescriptorUse {
  uint64_t lcores = 1;
  uint64_t folders = 1;
  uint64_t listeners = 1;
  uint64_t segments_max = 0;     // files of segments that a ring keeps open
  uint64_t connections_max = 0;  // of clients
  uint64_t http_max = 0;         // connections of HTTP
};

// What they may hold of it, so that no number of clients takes what the broker itself needs.
struct DescriptorShare {
  uint64_t segments_max;     // files of segments, a ring
  uint64_t connections_max;  // of clients
  uint64_t http_max;         // connections of HTTP
  friend bool operator==(const DescriptorShare&, const DescriptorShare&) = default;
};

// How so many descriptors are shared out: the broker's own needs first, then some for each of the others, then what
// they want as far as there is. Nothing: they are fewer than a broker with a few clients needs.
std::optional<DescriptorShare> share_descriptors(const DescriptorUse& use, uint64_t files);

// Lets the process open as many files and lock as much memory as its hard limits allow; says so where somebody gets
// less than is wanted. Refused with fewer files than a broker needs: there is no going on without the descriptors that
// wake its threads.
std::expected<DescriptorShare, std::string> raise_limits(const DescriptorUse& use);

// What stands in a data folder's place that is none: a file, or a link to nothing. A folder that is not there is fine.
std::expected<void, std::string> check_folder(const std::string& folder);

// Room for what is made once: as many rings, their states, and some for the metadata.
std::expected<void, std::string> check_space(const std::string& folder, size_t new_rings, uint64_t ring_bytes);

// CPU numbers of penstock.lcore.cpus, one an lcore, or none.
std::expected<std::vector<int>, std::string> parse_cpus(const std::string& text, size_t lcores);
void pin_this_thread(int cpu);

// Why records in the folder would not be durable, and what to do.
std::string cannot_write_durably(const std::string& folder, Error error);

}  // namespace penstock::control
