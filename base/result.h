// Result<T>: a value, or an operating error (EIO, ENOSPC, a bad frame). Eight bytes of error, no string, no allocation.
// Programmer errors are CHECKs (base/assert.h); peer errors are Kafka error codes in an answer.
#pragma once

#include <cstdint>
#include <expected>
#include <string_view>
#include <utility>

namespace penstock {

enum class Errc : uint8_t {
  kIo,            // the device or the file system reported a failure
  kNoSpace,       // ENOSPC, EDQUOT: the folder is full
  kShort,         // fewer bytes than asked were moved
  kCorrupt,       // bytes that fail their checksum or break their format
  kInvalid,       // an argument or a setting that cannot be
  kNotFound,      // the named thing does not exist
  kExists,        // the named thing exists already
  kUnsupported,   // the kernel, the file system or this version cannot do it
  kWouldBlock,    // nothing now; ask again
  kFull,          // a bound was reached
  kTruncated,     // the input ended inside a value
  kTooLarge,      // a length above its bound
  kPoisoned,      // an earlier failed write fenced this object
  kLocked,        // another process holds it
  kNoPermission,  // EACCES, EPERM
};

constexpr std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::kIo: return "I/O error";
    case Errc::kNoSpace: return "no space left";
    case Errc::kShort: return "short transfer";
    case Errc::kCorrupt: return "corrupt data";
    case Errc::kInvalid: return "invalid argument";
    case Errc::kNotFound: return "not found";
    case Errc::kExists: return "already exists";
    case Errc::kUnsupported: return "unsupported";
    case Errc::kWouldBlock: return "would block";
    case Errc::kFull: return "full";
    case Errc::kTruncated: return "truncated input";
    case Errc::kTooLarge: return "too large";
    case Errc::kPoisoned: return "fenced by an earlier failure";
    case Errc::kLocked: return "locked by another process";
    case Errc::kNoPermission: return "no permission";
  }
  std::unreachable();
}

struct Error {
  Errc code;
  int32_t os_errno = 0;  // the errno behind it, 0 if there is none
  friend bool operator==(Error, Error) = default;
};

// libstdc++ 12's std::expected is not [[nodiscard]]; this is.
template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

inline std::unexpected<Error> fail(Errc code, int os_errno = 0) { return std::unexpected(Error{code, os_errno}); }

}  // namespace penstock

// Value of a Result, or return its error from the calling function.
#define TRY(expr)                           \
  __extension__({                           \
    auto try_ = (expr);                     \
    if (!try_) [[unlikely]]                 \
      return std::unexpected(try_.error()); \
    *std::move(try_);                       \
  })

// The same for a Result<void>.
#define TRY_VOID(expr)                      \
  do {                                      \
    auto try_ = (expr);                     \
    if (!try_) [[unlikely]]                 \
      return std::unexpected(try_.error()); \
  } while (0)
