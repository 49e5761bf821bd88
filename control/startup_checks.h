// What the machine must offer, looked at before anything is opened. Each failure is one line that says what to do.
#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

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
};

// Lets the process open as many files and lock as much memory as its hard limits allow. Refused with fewer files than a
// broker without clients needs: there is no going on without the descriptors that wake its threads.
std::expected<void, std::string> raise_limits(const DescriptorUse& use);

// What stands in a data folder's place that is none: a file, or a link to nothing. A folder that is not there is fine.
std::expected<void, std::string> check_folder(const std::string& folder);

// Room for what is made once: as many rings, their states, and some for the metadata.
std::expected<void, std::string> check_space(const std::string& folder, size_t new_rings, uint64_t ring_bytes);

// CPUs that this process may use.
size_t cpus_allowed();
// Lcores to run: as many as wanted, or with 0 half the CPUs, at least one.
uint16_t lcores_for(int64_t wanted, size_t cpus);

// CPU numbers of penstock.lcore.cpus, one an lcore, or none.
std::expected<std::vector<int>, std::string> parse_cpus(const std::string& text, size_t lcores);
void pin_this_thread(int cpu);

}  // namespace penstock::control
