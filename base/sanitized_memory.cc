// Linked into what the address sanitizer of GCC checks, and nothing else (cmake/penstock.cmake). Its memmove() goes
// byte by byte, and a third of a simulator's time went there; its memcpy() checks the same and is the C library's. What
// it keeps of freed memory is 32 MiB: 256, its default, are page faults. A use of what was freed longer ago is missed
// by that, which ASAN_OPTIONS undoes.
#include <cstddef>
#include <cstdint>
#include <cstring>

extern "C" {

void* __real_memmove(void* to, const void* from, size_t bytes);

void* __wrap_memmove(void* to, const void* from, size_t bytes) {
  const auto distance = reinterpret_cast<uintptr_t>(to) - reinterpret_cast<uintptr_t>(from);
  const bool overlap = distance < bytes || 0 - distance < bytes;
  return overlap ? __real_memmove(to, from, bytes) : std::memcpy(to, from, bytes);
}

const char* __asan_default_options();
const char* __asan_default_options() { return "quarantine_size_mb=32"; }
}
