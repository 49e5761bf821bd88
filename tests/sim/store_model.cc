#include "tests/sim/store_model.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace penstock::sim {

Buffer HeapPool::copy_of(std::span<const std::byte> bytes) {
  const std::span<std::byte> memory(new std::byte[bytes.size()], bytes.size());
  if (!bytes.empty()) std::memcpy(memory.data(), bytes.data(), bytes.size());
  return Buffer(*this, memory, bytes.size());
}

BufferChain HeapPool::chain_of(std::span<const std::byte> bytes, Prng& prng) {
  BufferChain chain;
  while (!bytes.empty()) {
    const size_t n = prng.one_in(3) ? bytes.size() : prng.between(1, bytes.size());
    chain.append(copy_of(bytes.first(n)));
    bytes = bytes.subspan(n);
  }
  return chain;
}

void fill_fast(std::span<std::byte> out, Prng& prng) {
  for (; !out.empty(); out = out.subspan(std::min<size_t>(out.size(), 8))) {
    const uint64_t word = prng.next();
    std::memcpy(out.data(), &word, std::min<size_t>(out.size(), 8));
  }
}

std::vector<std::byte> random_batch(Prng& prng, int32_t count, size_t value_bytes,
                                    const protocol::BatchBuilder::Options& options) {
  protocol::BatchBuilder builder(options);
  std::vector<std::byte> value;
  for (int32_t i = 0; i < count; ++i) {
    value.resize(prng.below(2 * value_bytes + 1));
    fill_fast(value, prng);
    builder.add(1'700'000'000'000 + static_cast<int64_t>(prng.below(1000)), std::nullopt, value);
  }
  return builder.finish();
}

namespace {

constexpr int kPatience = 20'000;  // turns

// Appends what cursor promises; false if it cannot be read.
bool read_cursor(storage::Store& store, storage::ReadCursor cursor, const std::function<void()>& turn,
                 std::vector<std::byte>& bytes) {
  for (int waited = 0; cursor.remaining > 0;) {
    std::array<std::span<const std::byte>, 5> pieces;
    const auto count = store.view(cursor, 100'000, pieces);
    if (!count && count.error().code == Errc::kWouldBlock && waited++ < kPatience) {
      store.submit();
      turn();
      continue;
    }
    if (!count || *count == 0) return false;
    size_t n = 0;
    for (size_t i = 0; i < *count; ++i) {
      bytes.insert(bytes.end(), pieces[i].begin(), pieces[i].end());
      n += pieces[i].size();
    }
    store.advance(cursor, n);
  }
  return true;
}

// Whole batches of bytes from at on: at becomes where the last ends; the offset behind it, if there is one.
std::optional<Offset> skip_batches(const std::vector<std::byte>& bytes, size_t& at) {
  std::optional<Offset> next;
  while (bytes.size() - at >= protocol::kBatchHeaderBytes) {
    const auto batch = protocol::view_of(std::span(bytes).subspan(at));
    const auto total = static_cast<size_t>(batch.total_bytes());
    if (total > bytes.size() - at) break;
    next = batch.last_offset() + 1;
    at += total;
  }
  return next;
}

}  // namespace

std::optional<std::vector<std::byte>> read_all(storage::Store& store, storage::LogId log,
                                               const std::function<void()>& turn) {
  const auto offsets = store.offsets(log);
  if (!offsets) return std::nullopt;
  std::vector<std::byte> bytes;
  int waited = 0;
  for (Offset from = offsets->log_start_offset; from < store.offsets(log)->durable;) {
    const storage::ReadPlan plan = store.plan_read(log, from, UINT64_MAX, true);
    if (plan.status == storage::ReadStatus::kPending && waited++ < kPatience) {
      store.submit();
      turn();
      continue;
    }
    if (plan.status != storage::ReadStatus::kReady) return std::nullopt;
    if (plan.cursor.remaining == 0) break;  // a gap before the end: the caller compares what came
    size_t at = bytes.size();
    if (!read_cursor(store, plan.cursor, turn, bytes)) return std::nullopt;
    const auto next = skip_batches(bytes, at);
    if (!next) return std::nullopt;
    bytes.resize(at);
    from = *next;
  }
  return bytes;
}

void LogModel::take(int64_t base_offset, std::vector<std::byte> sent) {
  const auto head = std::span(sent).first<protocol::kBatchHeaderBytes>();
  protocol::store_base_offset(head, Offset{base_offset});
  protocol::store_partition_leader_epoch(head, LeaderEpoch{0});
  end_offset = base_offset + protocol::view_of(sent).records_count();
  batches.push_back({base_offset, std::move(sent)});
}

std::string LogModel::settle_after_crash(std::span<const std::byte> read) {
  size_t kept = 0;
  while (!read.empty()) {
    if (kept == batches.size()) return "bytes behind everything that was produced";
    const auto& want = batches[kept].bytes;
    if (read.size() < want.size() || !std::ranges::equal(read.first(want.size()), want))
      return "batch " + std::to_string(kept) + " at offset " + std::to_string(batches[kept].base_offset) + " differs";
    read = read.subspan(want.size());
    kept += 1;
  }
  for (size_t i = kept; i < batches.size(); ++i)
    if (batches[i].acked) return "acked batch at offset " + std::to_string(batches[i].base_offset) + " is lost";
  batches.resize(kept);
  for (Batch& batch : batches) batch.acked = true;  // it was served after a recovery: it may not vanish any more
  end_offset =
      batches.empty() ? 0 : batches.back().base_offset + protocol::view_of(batches.back().bytes).records_count();
  return {};
}

}  // namespace penstock::sim
