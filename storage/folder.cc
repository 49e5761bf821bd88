// The file that makes a folder a data folder, and the lock that keeps a second broker out.
#include "storage/api/folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/bytes.h"
#include "base/log.h"

namespace penstock::storage {
namespace {

constexpr std::string_view kName = "folder";
constexpr std::string_view kHead = "penstock data folder\n";
constexpr size_t kFileBytes = 256;  // fixed, padded with line ends, so that one read has it all

std::unexpected<OpenFailure> refuse(Error error, std::string what) {
  return std::unexpected(OpenFailure{error, std::move(what)});
}

std::unexpected<OpenFailure> refuse_io(Error error, std::string_view doing, const std::string& path,
                                       bool reads = false) {
  std::string_view hint = "check the drive and its file system";
  if (error.code == Errc::kNoSpace) hint = "free some space";
  if (error.code == Errc::kNoPermission)
    hint = reads ? "give the user that runs penstock the right to read it" : hint_to_write(error);
  if (error.code == Errc::kUnsupported) hint = "choose a folder on a local file system with direct I/O (ext4, XFS)";
  if (error.code == Errc::kNotFound) hint = "make the folder above it first";
  return refuse(error, fmt::format("cannot {} {}: {}; {}", doing, path, reason_of(error), hint));
}

std::string hex(const Uuid& id) {
  std::string text;
  for (const uint8_t byte : id.bytes) text += fmt::format("{:02x}", byte);
  return text;
}

bool parse_hex(std::string_view text, Uuid& id) {
  if (text.size() != 2 * id.bytes.size()) return false;
  for (size_t i = 0; i < id.bytes.size(); ++i) {
    const char* at = text.data() + 2 * i;
    const auto [end, error] = std::from_chars(at, at + 2, id.bytes[i], 16);
    if (error != std::errc{} || end != at + 2) return false;
  }
  return true;
}

// The text behind "key = " on a line of its own, or empty.
std::string_view value_of(std::string_view text, std::string_view key) {
  const std::string start = fmt::format("\n{} = ", key);
  const size_t at = text.find(start);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + start.size());
  return text.substr(0, text.find('\n'));
}

// The folder's own name, which is in the one above it. Who may not read that one cannot sync it either: then the name
// is as durable as whoever made the folder left it.
Result<void> sync_name(Disk& disk, std::string_view path) {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const size_t slash = path.rfind('/');
  const auto done = disk.sync_dir(slash == path.npos ? "." : slash == 0 ? "/" : path.substr(0, slash));
  if (!done && done.error().code != Errc::kNoPermission) return done;
  return {};
}

std::expected<void, OpenFailure> write_folder_file(Disk& disk, const Folder& folder) {
  const std::string path = fmt::format("{}/{}", folder.path, kName);
  const std::string making = path + ".making";
  std::string text = fmt::format("{}format_version = {}\nid = {}\n", kHead, folder.format_version, hex(folder.id));
  text.resize(kFileBytes, '\n');
  const auto file = disk.open(making, {.create = true, .direct = false});
  if (!file) return refuse_io(file.error(), "make", making);
  DiskOp write{.kind = DiskOp::Kind::kWrite, .file = *file, .memory = std::as_writable_bytes(std::span(text))};
  if (auto done = run_to_end(disk, write); !done) return refuse_io(done.error(), "write", making);
  DiskOp flush{.kind = DiskOp::Kind::kFlush, .file = *file};
  if (auto done = run_to_end(disk, flush); !done) return refuse_io(done.error(), "flush", making);
  disk.close(*file);
  if (auto done = disk.rename(making, path); !done) return refuse_io(done.error(), "name", path);
  if (auto done = disk.sync_dir(folder.path); !done) return refuse_io(done.error(), "sync", folder.path);
  return {};
}

std::expected<void, OpenFailure> read_folder_file(Disk& disk, Folder& folder) {
  const std::string path = fmt::format("{}/{}", folder.path, kName);
  const auto file = disk.open(path, {.direct = false, .read_only = true});
  if (!file) return refuse_io(file.error(), "open", path, true);
  std::string text(kFileBytes, '\0');
  DiskOp read{.file = *file, .memory = std::as_writable_bytes(std::span(text))};
  const auto done = run_to_end(disk, read);
  disk.close(*file);
  if (!done) return refuse_io(done.error(), "read", path);
  const std::string_view version = value_of(text, "format_version");
  const auto [end, error] = std::from_chars(version.data(), version.data() + version.size(), folder.format_version);
  if (!text.starts_with(kHead) || error != std::errc{} || folder.format_version < 1 ||
      !parse_hex(value_of(text, "id"), folder.id))
    return refuse({Errc::kCorrupt},
                  fmt::format("{} is not a penstock folder file; restore it, or choose another folder", path));
  if (folder.format_version > kFormatVersion)
    return refuse({Errc::kUnsupported},
                  fmt::format("{} has format {}, this penstock knows formats up to {}; start the newer "
                              "penstock that wrote it",
                              folder.path, folder.format_version, kFormatVersion));
  return {};
}

std::unexpected<OpenFailure> refuse_in_use(Error error, const std::string& path) {
  return refuse(error, fmt::format("{} is in use by another penstock; stop that one, or choose another --data", path));
}

// A killed broker's lock goes when the last of its writes has landed (storage/io/uring_disk.cc). Who would start or
// look before that would meet them later: so both wait that moment.
Result<void> lock_patiently(Disk& disk, FileHandle file) {
  constexpr int kTries = 300;
  Result<void> done = disk.lock(file);
  for (int i = 0; i < kTries && !done && done.error().code == Errc::kLocked; ++i) {
    disk.wait(10 * kMillisecond);
    done = disk.lock(file);
  }
  return done;
}

}  // namespace

std::expected<Folder, OpenFailure> look_at_folder(Disk& disk, std::string_view path, bool locked) {
  Folder folder{.path = std::string(path), .id = {}, .format_version = kFormatVersion, .lock = {}};
  const auto names = disk.list(path);
  if (!names) return refuse_io(names.error(), "read", folder.path, true);
  if (std::ranges::find(*names, kName) == names->end())
    return refuse({Errc::kNotFound},
                  fmt::format("{} is no data folder: it holds no file named '{}'", folder.path, kName));
  const std::string lock_path = folder.path + "/lock";
  if (locked && std::ranges::find(*names, "lock") != names->end()) {
    const auto lock = disk.open(lock_path, {.direct = false, .read_only = true});
    if (!lock) return refuse_io(lock.error(), "open", lock_path, true);
    folder.lock = *lock;
    if (auto done = lock_patiently(disk, folder.lock); !done) {
      disk.close(folder.lock);
      return refuse_in_use(done.error(), folder.path);
    }
  }
  if (auto done = read_folder_file(disk, folder); !done) {
    if (folder.lock != FileHandle{}) disk.close(folder.lock);
    return std::unexpected(std::move(done.error()));
  }
  return folder;
}

std::expected<Folder, OpenFailure> open_folder(Disk& disk, Prng& prng, std::string_view path) {
  Folder folder{.path = std::string(path), .id = {}, .format_version = kFormatVersion, .lock = {}};
  if (auto done = disk.make_dir(path); !done) return refuse_io(done.error(), "make", folder.path);
  if (auto done = sync_name(disk, path); !done) return refuse_io(done.error(), "sync the folder above", folder.path);
  const std::string lock_path = folder.path + "/lock";
  const auto lock = disk.open(lock_path, {.create = true, .direct = false});
  if (!lock) return refuse_io(lock.error(), "open", lock_path);
  folder.lock = *lock;
  if (auto done = lock_patiently(disk, folder.lock); !done) return refuse_in_use(done.error(), folder.path);
  const auto names = disk.list(path);
  if (!names) return refuse_io(names.error(), "read", folder.path);
  if (std::ranges::find(*names, kName) != names->end()) {
    if (auto done = read_folder_file(disk, folder); !done) return std::unexpected(done.error());
    if (folder.format_version == kFormatVersion) return folder;
    // Durable before anything is written that the older version would misread (docs/internals/log_format.md).
    LOG_INFO("%s has format %d; it becomes format %d now, which an older penstock refuses", folder.path.c_str(),
             folder.format_version, kFormatVersion);
    folder.format_version = kFormatVersion;
    if (auto done = write_folder_file(disk, folder); !done) return std::unexpected(done.error());
    return folder;
  }
  // A ring without a folder file: this is not a new folder, and making one over it could hide its version.
  if (std::ranges::any_of(*names, [](const std::string& name) { return name.starts_with("ring-"); }))
    return refuse({Errc::kNotFound},
                  fmt::format("{} holds a ring but no file named '{}'; restore that file", folder.path, kName));
  prng.fill(std::as_writable_bytes(std::span(folder.id.bytes)));
  if (auto done = write_folder_file(disk, folder); !done) return std::unexpected(done.error());
  return folder;
}

}  // namespace penstock::storage
