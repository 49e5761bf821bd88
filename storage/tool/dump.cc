// dump_folder(): what is there, as it is there.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <list>

#include "storage/segment/segment_path.h"
#include "storage/tool/batch_items.h"
#include "storage/tool/verifier.h"

namespace penstock::storage {
namespace {

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

std::string_view name_of(EntryKind kind) {
  switch (kind) {
    case EntryKind::kBatch: return "batch";
    case EntryKind::kRelog: return "relog";
    case EntryKind::kTruncate: return "truncate";
    case EntryKind::kStartOffset: return "start_offset";
    case EntryKind::kSegment:
    case EntryKind::kEpoch:
    case EntryKind::kPad:
    case EntryKind::kDirectRun: break;
  }
  return "reserved";
}

class Dump {
 public:
  Dump(const LogToolRequest& request, const DumpOptions& options, const LogToolSink& sink)
      : request_(request),
        options_(options),
        sink_(sink),
        verifier_(request, quiet_),
        items_(options, [this](LogItem item) { return give(std::move(item)); }) {}
  bool has_memory() const { return verifier_.has_memory(); }

  void run(const ToolFolder& folder) {
    const auto numbers = folder.rings();
    give({"folder",
          0,
          {{"path", request_.folder},
           {"format_version", int64_t{folder.folder().format_version}},
           {"id", hex(folder.folder().id.bytes)},
           {"rings", uint64_t{numbers.size()}}}});
    for (const uint32_t number : numbers) {
      if (enough_) return;
      ToolRing ring(request_, folder, number);
      give_slots(ring);
      if (ring.newest() == nullptr) continue;
      const auto read = ring.read();
      if (!read) {
        give({"ring", 0, {{"file", ring.path()}, {"error", std::string(to_string(read.error().code))}}});
        continue;
      }
      for (const auto& [id, log] : ring.replay().logs())
        if (is_asked_for(id)) give_log(number, log);
      give_ring(ring);
      for (const auto& [id, log] : ring.replay().logs())
        if (is_asked_for(id)) give_segments(log);
    }
  }

 private:
  bool is_asked_for(LogId log) const { return !request_.wanted || request_.wanted(log); }

  bool give(LogItem item) {
    if (!enough_ && sink_.on_item) enough_ = !sink_.on_item(item);
    return !enough_;
  }

  void give_slots(const ToolRing& ring) {
    for (size_t i = 0; i < ring.slots().size(); ++i) {
      const SlotFile& file = ring.slots()[i];
      if (!file.there) continue;
      LogItem item{"slot", 0, {{"file", file.path}, {"whole", file.slot.has_value()}}};
      if (file.slot) add(item, file.slot->ring, file.slot->logs.size(), ring.newest_file() == i);
      give(std::move(item));
    }
    if (!ring.is_version_1() || ring.newest() == nullptr) return;
    LogItem item{"slot", 0, {{"file", ring.old_path()}, {"whole", true}}};
    add(item, ring.newest()->ring, 0, true);
    give(std::move(item));
  }

  static void add(LogItem& item, const RingState& state, size_t logs, bool counts) {
    const std::array<LogItem::Field, 10> fields{{{"counts", counts},
                                                 {"sequence", state.sequence},
                                                 {"generation", state.generation},
                                                 {"tail", state.tail.value()},
                                                 {"as_of", state.as_of.value()},
                                                 {"head", state.head.value()},
                                                 {"clean_stop", state.clean_stop},
                                                 {"ring_bytes", state.ring_bytes},
                                                 {"ring_id", hex(state.ring_id)},
                                                 {"logs", uint64_t{logs}}}};
    item.fields.insert(item.fields.end(), fields.begin(), fields.end());
  }

  void give_log(uint32_t ring, const ReplayedLog& log) {
    const LogState& state = log.state;
    give({"log",
          0,
          {{"log", state.id.value()},
           {"ring", uint64_t{ring}},
           {"start", state.log_start_offset.value()},
           {"destaged", state.destaged.value()},
           {"end", log.end.value()},
           {"in_slot", log.in_slot},
           {"position", state.position},
           {"skip", uint64_t{state.skip}},
           {"cleaned_to", state.cleaned_to.value()},
           {"replay_from", state.replay_from.value()},
           {"segments", uint64_t{state.segments.size()}},
           {"producers", uint64_t{state.producers.size()}},
           {"ring_batches", log.ring_batches},
           {"ring_bytes", log.ring_bytes}}});
    for (const SegmentState& segment : state.segments)
      give({"log_segment",
            1,
            {{"base", segment.base.value()},
             {"revision", segment.revision},
             {"bytes", segment.bytes},
             {"first_timestamp", ItemTime{segment.first_timestamp}},
             {"max_timestamp", ItemTime{segment.max_timestamp}}}});
    for (const EpochEntry& epoch : state.epochs)
      give({"epoch", 1, {{"leader_epoch", int64_t{epoch.epoch.value()}}, {"start", epoch.start.value()}}});
    for (const ProducerState& producer : state.producers) {
      const auto& last = producer.batches[static_cast<size_t>(producer.count) - 1];
      give({"producer",
            1,
            {{"producer", producer.id.value()},
             {"producer_epoch", int64_t{producer.epoch}},
             {"batches", uint64_t{producer.count}},
             {"last_sequence", int64_t{last.last_sequence}},
             {"last_offset", last.base_offset.value()},
             {"last_timestamp", ItemTime{producer.last_timestamp}}}});
    }
  }

  // ---- ring

  void give_ring(const ToolRing& ring) {
    const RingState& state = ring.newest()->ring;
    LogItem item{"ring",
                 0,
                 {{"file", ring.path()},
                  {"bytes", ring.file_bytes()},
                  {"tail", state.tail.value()},
                  {"head", ring.head().value()},
                  {"used", ring.head() - state.tail}}};
    if (ring.is_clean()) {
      item.fields.push_back({"verdict", std::string("stopped cleanly: nothing in it is needed")});
      give(std::move(item));
      return;
    }
    const ScanResult& found = ring.found();
    constexpr std::array kVerdicts = {"end", "torn tail", "damaged"};
    item.fields.push_back({"frames", found.frames});
    item.fields.push_back({"generation", found.generation});
    item.fields.push_back({"verdict", std::string(kVerdicts.at(static_cast<size_t>(found.row->verdict)))});
    item.fields.push_back({"why", std::string(found.foreign.empty() ? found.row->why : found.foreign)});
    if (!give(std::move(item))) return;
    // Each entry below the frame in which it begins: a batch that goes on in the next frame is told when it is whole.
    Lsn frame = state.tail;
    const auto give_frames_to = [&](Lsn end) {
      while (frame < end && !enough_) {
        const auto header = decode_frame_header(ring.memory().at(frame));
        if (!header || header->frame_bytes == 0) return;
        if (!request_.wanted) give_frame(ring, frame, *header);
        frame += header->frame_bytes;
      }
    };
    ring.scan([&](const FoundEntry& entry) {
      if (enough_) return;
      give_frames_to(entry.at);
      if (is_asked_for(entry.log)) give_entry(ring, entry);
    });
    give_frames_to(found.head);
  }

  void give_frame(const ToolRing& ring, Lsn at, const FrameHeader& header) {
    give({"frame",
          1,
          {{"lsn", at.value()},
           {"byte", at.value() % ring.file_bytes()},
           {"bytes", uint64_t{header.frame_bytes}},
           {"used", uint64_t{header.used_bytes}},
           {"entries", uint64_t{header.entries}},
           {"carry_in", uint64_t{header.carry_in}},
           {"generation", header.generation},
           {"seal", (header.flags & kFrameIsSeal) != 0},
           {"opens", (header.flags & kFrameOpensGeneration) != 0}}});
  }

  void give_entry(const ToolRing& ring, const FoundEntry& entry) {
    LogItem item{"entry",
                 2,
                 {{"lsn", entry.at.value()},
                  {"entry", std::string(name_of(entry.kind))},
                  {"log", entry.log.value()},
                  {"bytes", uint64_t{entry.bytes}}}};
    if (entry.kind == EntryKind::kBatch) return give_ring_batch(ring, entry, std::move(item));
    const auto payload = ring.memory().span(entry.at, entry.bytes);
    if (const auto relog = decode_relog(payload); relog && entry.kind == EntryKind::kRelog) {
      item.fields.push_back({"base", relog->segment.value()});
      item.fields.push_back({"position", relog->position});
      item.fields.push_back({"held", uint64_t{relog->bytes.size()}});
    }
    if (const auto truncate = decode_truncate(payload); truncate && entry.kind == EntryKind::kTruncate) {
      item.fields.push_back({"offset", truncate->offset.value()});
      item.fields.push_back({"base", truncate->segment.value()});
      item.fields.push_back({"position", truncate->position});
      item.fields.push_back({"leader_epoch", int64_t{truncate->epoch.value()}});
    }
    if (const auto start = decode_start_offset(payload); start && entry.kind == EntryKind::kStartOffset)
      item.fields.push_back({"offset", start->offset.value()});
    give(std::move(item));
  }

  void give_ring_batch(const ToolRing& ring, const FoundEntry& entry, LogItem item) {
    const auto header = protocol::view_of(ring.memory().span(entry.at, protocol::kBatchHeaderBytes));
    if (const auto last = last_offset_of(header); last && *last < options_.from) return;
    items_.add_batch_fields(item, header);
    if (!give(std::move(item)) || !options_.records) return;
    std::vector<std::byte> batch;
    batch.reserve(entry.bytes);
    std::array<std::span<const std::byte>, 8> pieces;
    while (batch.size() < entry.bytes) {
      const size_t count = ring.memory().view(entry.at, batch.size(), entry.bytes - batch.size(), pieces);
      for (const auto& piece : std::span(pieces).first(count)) batch.insert(batch.end(), piece.begin(), piece.end());
    }
    items_.give_records(batch, 3);
  }

  // ---- segments

  void give_segments(const ReplayedLog& log) {
    for (size_t i = 0; i < log.state.segments.size() && !enough_; ++i) {
      if (end_of_segment(log.state, i) <= options_.from) continue;
      give_segment(log, i);
    }
  }

  void give_segment(const ReplayedLog& log, size_t i) {
    const SegmentState& segment = log.state.segments[i];
    WalkRequest walk = verifier_.walk_of(log, i);
    std::optional<Sidecar> sidecar;
    const SidecarState is = verifier_.sidecar_state(log.state.id, file_of(segment), walk.bytes, sidecar);
    constexpr std::array kStates = {"good", "missing", "unfinished", "of another length", "damaged"};
    const bool open = i + 1 == log.state.segments.size();
    LogItem item{"segment",
                 0,
                 {{"file", walk.path},
                  {"log", log.state.id.value()},
                  {"base", segment.base.value()},
                  {"bytes", walk.bytes},
                  {"open", open},
                  {"sidecar", std::string(kStates.at(static_cast<size_t>(is)))}}};
    if (!give(std::move(item))) return;
    if (sidecar && is == SidecarState::kGood) {
      walk.places = &sidecar->index;
      if (options_.from > segment.base) {
        const auto place = sidecar->index.floor(options_.from);
        walk.position = place.position;
        walk.next = place.offset;
      }
    }
    const auto file = FileReader::open(*request_.disk, walk.path);
    if (!file) {
      if (!open || walk.bytes > 0)
        give({"damage", 1, {{"position", uint64_t{0}}, {"why", std::string(to_string(file.error().code))}}});
      return;
    }
    walk.on_batch = [&](const BatchPlace& place, const protocol::RecordBatchView& batch) {
      return batch.last_offset() < options_.from || give_batch(*file, place, batch);
    };
    const auto walked = verifier_.walk().run(walk);
    if (!walked) return;
    for (const BadRange& bad : walked->bad)
      give({"damage",
            1,
            {{"position", bad.from},
             {"to", bad.to},
             {"offset", bad.lost_from.value()},
             {"why", std::string(bad.error ? to_string(bad.error->code) : to_string(bad.why))}}});
  }

  bool give_batch(const FileReader& file, const BatchPlace& place, const protocol::RecordBatchView& batch) {
    LogItem item{"batch", 1, {{"position", place.position}, {"bytes", uint64_t{place.bytes}}}};
    items_.add_batch_fields(item, batch);
    item.fields.push_back({"crc_ok", true});  // else the walk had not come here
    if (!give(std::move(item))) return false;
    if (!options_.records) return true;
    const uint32_t block = request_.disk->block_bytes();
    const uint64_t at = align_down(place.position, block);
    const AlignedMemory memory(align_up(place.position + place.bytes - at, block));
    const auto got = file.read(at, memory.span());
    const uint64_t skip = place.position - at;
    if (got && *got >= skip + place.bytes) items_.give_records(memory.span().subspan(skip, place.bytes), 2);
    return !enough_;
  }

  const LogToolRequest& request_;
  const DumpOptions& options_;
  const LogToolSink& sink_;
  const LogToolSink quiet_;
  Verifier verifier_;
  BatchItems items_;
  bool enough_ = false;
};

}  // namespace

std::expected<void, OpenFailure> dump_folder(const LogToolRequest& request, const DumpOptions& options,
                                             const LogToolSink& sink) {
  const auto folder = ToolFolder::open(request);
  if (!folder) return std::unexpected(folder.error());
  Dump dump(request, options, sink);
  if (!dump.has_memory())
    return std::unexpected(OpenFailure{{Errc::kFull}, "no memory for a few MiB to read files into; free some"});
  dump.run(*folder);
  return {};
}

}  // namespace penstock::storage
