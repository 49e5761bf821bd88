// Starting and stopping EAL, and its log.
#include "dataplane/nic/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_malloc.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "base/log.h"

namespace penstock::dataplane::nic {

namespace {

// DPDK writes its log to a FILE; this one hands each line to ours.
ssize_t write_log(void*, const char* text, size_t bytes) {
  std::string_view lines(text, bytes);
  while (!lines.empty()) {
    const size_t end = std::min(lines.find('\n'), lines.size());
    if (end > 0) LOG_WARN("dpdk: %.*s", static_cast<int>(end), lines.data());
    lines.remove_prefix(std::min(end + 1, lines.size()));
  }
  return static_cast<ssize_t>(bytes);
}

void catch_log() {
  cookie_io_functions_t functions = {};
  functions.write = write_log;
  if (FILE* stream = fopencookie(nullptr, "w", functions)) {
    setvbuf(stream, nullptr, _IOLBF, 1024);
    rte_openlog_stream(stream);
  }
  rte_log_set_global_level(RTE_LOG_WARNING);
}

Error explain(int error) {
  if (error == EACCES || error == EPERM) {
    LOG_ERROR("DPDK may not use its devices: run as root, or see docs/deploy/bare_metal.md for what to grant");
    return {Errc::kNoPermission, error};
  }
  if (error == EALREADY) return {Errc::kExists, error};
  LOG_ERROR("DPDK does not start (%s): look at the lines before this one, and at the device strings",
            std::strerror(error));
  return {error == ENOMEM ? Errc::kNoSpace : Errc::kInvalid, error};
}

}  // namespace

Result<void> start_eal(const EalOptions& options) {
  const MachineFacts machine = read_machine_facts();
  std::vector<std::string> texts = eal_arguments(options, machine);
  texts.insert(texts.begin() + 1, "--log-level=warning");
  std::vector<char*> arguments;
  for (std::string& text : texts) arguments.push_back(text.data());
  arguments.push_back(nullptr);
  catch_log();
  if (rte_eal_init(static_cast<int>(texts.size()), arguments.data()) < 0) {
    return std::unexpected(explain(rte_errno));
  }
  if (!uses_huge_pages(options, machine)) {
    LOG_INFO("DPDK runs without huge pages: fine for virtual devices, slow for network cards");
  }
  return {};
}

void stop_eal() { rte_eal_cleanup(); }

Result<void> register_thread() {
  if (rte_thread_register() != 0) return fail(Errc::kFull, rte_errno);
  return {};
}

void unregister_thread() { rte_thread_unregister(); }

std::span<std::byte> allocate_device_memory(size_t bytes) {
  constexpr unsigned kPage = 4096;
  auto* memory = static_cast<std::byte*>(rte_malloc("penstock", bytes, kPage));
  return memory == nullptr ? std::span<std::byte>{} : std::span(memory, bytes);
}

void free_device_memory(std::span<std::byte> memory) { rte_free(memory.data()); }

}  // namespace penstock::dataplane::nic
