#include "storage/tool/folder_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace penstock::storage {

// ---------------------------------------------------------------- the folder

std::expected<ToolFolder, OpenFailure> ToolFolder::open(const LogToolRequest& request) {
  auto folder = look_at_folder(*request.disk, request.folder, !request.live);
  if (!folder) {
    OpenFailure failure = std::move(folder.error());
    if (failure.error.code == Errc::kLocked)
      failure.what = fmt::format(
          "{} is in use: a broker runs on it. Stop it first; --live-read-only verifies segments "
          "beside a running one",
          request.folder);
    return std::unexpected(std::move(failure));
  }
  auto names = request.disk->list(request.folder);
  if (!names)
    return std::unexpected(
        OpenFailure{names.error(), fmt::format("cannot read {}: {}", request.folder, to_string(names.error().code))});
  return ToolFolder(request, *std::move(folder), *std::move(names));
}

ToolFolder::ToolFolder(ToolFolder&& other) noexcept
    : request_(other.request_), folder_(std::move(other.folder_)), names_(std::move(other.names_)) {
  other.folder_.lock = FileHandle{};
}

ToolFolder::~ToolFolder() {
  if (folder_.lock != FileHandle{}) request_->disk->close(folder_.lock);
}

bool ToolFolder::has(std::string_view name) const { return std::ranges::binary_search(names_, name); }

std::vector<uint32_t> ToolFolder::rings() const {
  constexpr std::string_view kPrefix = "ring-";
  std::set<uint32_t> numbers;
  for (const std::string& name : names_) {
    if (!name.starts_with(kPrefix)) continue;
    uint32_t number = 0;
    const char* end = name.data() + name.size();
    const auto [at, error] = std::from_chars(name.data() + kPrefix.size(), end, number);
    const std::string_view rest(at, end);
    if (error != std::errc{} || !(rest.empty() || rest == ".state" || rest == ".state-0" || rest == ".state-1"))
      continue;
    if (!request_->ring || *request_->ring == number) numbers.insert(number);
  }
  return {numbers.begin(), numbers.end()};
}

// ---------------------------------------------------------------- slots

ToolRing::ToolRing(const LogToolRequest& request, const ToolFolder& folder, uint32_t number)
    : request_(&request),
      number_(number),
      path_(fmt::format("{}/ring-{}", request.folder, number)),
      old_path_(path_ + ".state"),
      there_(folder.has(fmt::format("ring-{}", number))) {
  for (size_t i = 0; i < slots_.size(); ++i) {
    slots_[i].path = fmt::format("{}.state-{}", path_, i);
    slots_[i].there = folder.has(fmt::format("ring-{}.state-{}", number, i));
  }
  old_ = folder.has(fmt::format("ring-{}.state", number));
  read_slots();
}

void ToolRing::read_slots() {
  newest_.reset();
  newest_file_.reset();
  if (old_) read_version_1();
  for (size_t i = 0; i < slots_.size(); ++i) {
    read_slot(slots_[i]);
    if (!slots_[i].slot || (newest_ && slots_[i].slot->ring.sequence <= newest_->ring.sequence)) continue;
    newest_ = slots_[i].slot;
    newest_file_ = i;
  }
  if (newest_file_) old_ = false;
}

void ToolRing::read_slot(SlotFile& file) {
  file.slot.reset();
  file.error.reset();
  if (!file.there) return;
  const auto reader = FileReader::open(*request_->disk, file.path);
  if (!reader) {
    file.error = reader.error();
    return;
  }
  file.size = reader->size();
  // First what its head says, so that a file of any length takes no more memory than a slot.
  AlignedMemory memory;
  auto bytes = reader->read_all(memory, kSlotBytesMin);
  const auto head = bytes ? decode_slot_head(*bytes) : std::nullopt;
  if (head && head->bytes > bytes->size() && head->bytes <= file.size) bytes = reader->read_all(memory, head->bytes);
  if (!bytes) {
    file.error = bytes.error();
    return;
  }
  file.slot = decode_slot(*bytes);
}

void ToolRing::read_version_1() {
  const auto reader = FileReader::open(*request_->disk, old_path_);
  if (!reader) return;
  AlignedMemory memory;
  const auto bytes = reader->read_all(memory, 2 * kSlot1Bytes);
  if (!bytes) return;
  for (size_t at = 0; at < bytes->size(); at += kSlot1Bytes) {
    const auto state = decode_slot_v1(bytes->subspan(at));
    if (state && (!newest_ || state->sequence > newest_->ring.sequence)) newest_ = Slot{*state, {}};
  }
}

// ---------------------------------------------------------------- the ring

// As a start decides it: Opener::stopped_cleanly().
bool ToolRing::stopped_cleanly(const FileReader& file) {
  const RingState& state = newest_->ring;
  if (!state.clean_stop || !slots_[0].slot || !slots_[1].slot) return false;
  const uint64_t first = slots_[0].slot->ring.sequence;
  const uint64_t second = slots_[1].slot->ring.sequence;
  if (first != second + 1 && second != first + 1) return false;
  if (slots_[0].slot->ring.ring_id != slots_[1].slot->ring.ring_id) return false;
  const uint32_t block = request_->disk->block_bytes();
  if (state.head.value() % block != 0) return false;
  const Lsn before = state.head == Lsn{0} ? Lsn{0} : Lsn{state.head.value() - block};
  const AlignedMemory memory(2 * static_cast<size_t>(block));
  const auto blocks = memory.span();
  if (blocks.empty()) return false;
  const auto read = [&](Lsn lsn, std::span<std::byte> into) {
    const auto got = file.read(lsn.value() % state.ring_bytes, into);
    return got && *got == into.size();
  };
  return read(before, blocks.first(block)) && read(state.head, blocks.subspan(block)) &&
         clean_stop_holds(state, blocks.first(block), blocks.subspan(block));
}

Result<void> ToolRing::read() {
  const auto file = FileReader::open(*request_->disk, path_);
  if (!file) return std::unexpected(file.error());
  file_bytes_ = file->size();
  if (file_bytes_ != newest_->ring.ring_bytes) return fail(Errc::kInvalid);
  memory_ = AlignedMemory(file_bytes_);
  if (memory_.span().size() != file_bytes_) return fail(Errc::kFull);
  replay_.emplace(memory(), newest_->logs, newest_->ring.generation, request_->lives, request_->next_log_id);
  clean_ = stopped_cleanly(*file);
  if (clean_) return {};
  const size_t got = TRY(file->read(0, memory_.span()));
  if (got != file_bytes_) return fail(Errc::kShort);
  std::optional<KnownEnd> known;
  if (newest_->ring.knows_head) known = KnownEnd{newest_->ring.head, newest_->ring.previous_crc};
  found_ = scan_ring({.memory = memory(),
                      .block_bytes = request_->disk->block_bytes(),
                      .ring_id = newest_->ring.ring_id,
                      .tail = newest_->ring.tail,
                      .generation = newest_->ring.generation,
                      .known = known},
                     [this](const FoundEntry& entry) { replay_->take(entry); });
  return {};
}

void ToolRing::forget() {
  replay_.reset();
  memory_ = {};
}

void ToolRing::scan(const std::function<void(const FoundEntry&)>& on_entry) const {
  std::optional<KnownEnd> known;
  if (newest_->ring.knows_head) known = KnownEnd{newest_->ring.head, newest_->ring.previous_crc};
  scan_ring({.memory = memory(),
             .block_bytes = request_->disk->block_bytes(),
             .ring_id = newest_->ring.ring_id,
             .tail = newest_->ring.tail,
             .generation = newest_->ring.generation,
             .known = known},
            on_entry);
}

}  // namespace penstock::storage
