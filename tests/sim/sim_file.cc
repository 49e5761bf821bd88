#include "tests/sim/sim_file.h"

#include <algorithm>
#include <cstring>
#include <limits>

namespace penstock::sim {

void SimFile::put(std::vector<std::byte>& file, uint64_t at, std::span<const std::byte> bytes) {
  if (file.size() < at + bytes.size()) file.resize(at + bytes.size());
  if (!bytes.empty()) std::memcpy(file.data() + at, bytes.data(), bytes.size());
}

void SimFile::write(Write write) {
  put(visible_, write.at, write.bytes);
  if (write.promised)  // a durable one takes the file's length along
    for (Resize& resize : resizes_) resize.promised = true;
  writes_.push_back(std::move(write));
}

void SimFile::write_durable(const Write& write) {
  put(visible_, write.at, write.bytes);
  for (const Resize& resize : resizes_) durable_.resize(resize.bytes);
  resizes_.clear();
  forget_volatile(write.at, write.at + write.bytes.size());
  put(durable_, write.at, write.bytes);
}

// What is durable in [begin, end) now is younger than what was written there.
void SimFile::forget_volatile(uint64_t begin, uint64_t end) {
  cut_out(writes_, begin, end);
  cut_out(lost_promises_, begin, end);
}

void SimFile::cut_out(std::vector<Write>& writes, uint64_t begin, uint64_t end) {
  std::vector<Write> kept;
  for (Write& old : writes) {
    const uint64_t old_end = old.at + old.bytes.size();
    if (old.at >= end || old_end <= begin) {
      kept.push_back(std::move(old));
      continue;
    }
    const std::span<const std::byte> bytes(old.bytes);
    const auto keep = [&](uint64_t from, uint64_t to) {
      const auto piece = bytes.subspan(from - old.at, to - from);
      kept.push_back({from, {piece.begin(), piece.end()}, old.order, old.promised});
    };
    if (old.at < begin) keep(old.at, begin);
    if (old_end > end) keep(end, old_end);
  }
  writes = std::move(kept);
}

void SimFile::resize(uint64_t bytes, Order order) {
  visible_.resize(bytes);
  forget_volatile(bytes, std::numeric_limits<uint64_t>::max());
  resizes_.push_back({bytes, order});
}

void SimFile::flush(Order until) {
  std::erase_if(resizes_, [&](const Resize& resize) {
    if (resize.order > until) return false;
    durable_.resize(resize.bytes);
    return true;
  });
  std::erase_if(writes_, [&](const Write& write) {
    if (write.order > until) return false;
    put(durable_, write.at, write.bytes);
    return true;
  });
}

void SimFile::promise(Order until) {
  for (Resize& resize : resizes_) resize.promised = resize.promised || resize.order <= until;
  for (Write& write : writes_) write.promised = write.promised || write.order <= until;
}

// What is there now is neither what was promised nor what reads saw instead of it.
void SimFile::note_broken(const Write& write) {
  if (!write.promised) return;
  const auto there = [&](const std::vector<std::byte>& file) {
    const auto from = std::span(file).subspan(std::min<uint64_t>(write.at, file.size()));
    return from.first(std::min(write.bytes.size(), from.size()));
  };
  if (!std::ranges::equal(there(durable_), write.bytes) && !std::ranges::equal(there(durable_), there(visible_)))
    broke_a_promise_ = true;
}

// Lengths are kept in a journal: of their changes the first so many hold. True if a promised one does not.
bool SimFile::apply_some_resizes(Order until, Prng& prng) {
  const auto covered =
      static_cast<uint64_t>(std::ranges::count_if(resizes_, [&](auto& r) { return r.order <= until; }));
  if (covered == 0) return false;
  const uint64_t keep = prng.below(covered + 1);
  for (uint64_t i = 0; i < keep; ++i) durable_.resize(resizes_[i].bytes);
  const bool broke =
      std::any_of(resizes_.begin() + static_cast<ptrdiff_t>(keep), resizes_.begin() + static_cast<ptrdiff_t>(covered),
                  [](auto& r) { return r.promised; });
  std::erase_if(resizes_, [&](auto& r) { return r.order <= until; });
  return broke;
}

void SimFile::lose_flush(Order until, Prng& prng, uint64_t tear_unit) {
  lost_promised_size_ = apply_some_resizes(until, prng) || lost_promised_size_;
  std::vector<Write> kept;
  for (Write& write : writes_) {
    if (write.order <= until) apply_torn(write, prng, tear_unit);
    if (write.order > until)
      kept.push_back(std::move(write));
    else if (write.promised)
      lost_promises_.push_back(std::move(write));
  }
  writes_ = std::move(kept);
}

void SimFile::lose_power(std::vector<Write> in_flight, Prng& prng, uint64_t tear_unit) {
  broke_a_promise_ =
      apply_some_resizes(std::numeric_limits<Order>::max(), prng) || lost_promised_size_ || broke_a_promise_;
  for (const Write& write : writes_) apply_torn(write, prng, tear_unit);
  for (size_t i = in_flight.size(); i > 1; --i) std::swap(in_flight[i - 1], in_flight[prng.below(i)]);
  for (const Write& write : in_flight) apply_torn(write, prng, tear_unit);
  for (const Write& write : writes_) note_broken(write);
  for (const Write& write : lost_promises_) note_broken(write);
  writes_.clear();
  lost_promises_.clear();
  lost_promised_size_ = false;
  visible_ = durable_;
}

// A sector that was being written when power went may hold neither what it held nor what it should have.
void SimFile::spoil(uint64_t at, uint64_t n, Prng& prng) {
  std::vector<std::byte> noise(n);
  prng.fill(noise);
  put(durable_, at, noise);
}

void SimFile::apply_torn(const Write& write, Prng& prng, uint64_t tear_unit) {
  constexpr uint64_t kPage = 4096;
  const uint64_t fate = prng.below(4);  // a whole write kept or lost is as likely as a torn one
  if (fate == 0) return;
  if (fate == 1) return put(durable_, write.at, write.bytes);
  const std::span<const std::byte> bytes(write.bytes);
  for (uint64_t page = 0; page < bytes.size(); page += kPage) {
    const uint64_t end = std::min<uint64_t>(page + kPage, bytes.size());
    const uint64_t page_fate = prng.below(fate == 2 || tear_unit == kPage ? 2 : 3);  // kept, lost, or torn
    if (page_fate == 1) continue;
    for (uint64_t at = page; at < end; at += tear_unit) {
      const uint64_t n = std::min<uint64_t>(tear_unit, end - at);
      if (page_fate == 0 || prng.one_in(2)) put(durable_, write.at + at, bytes.subspan(at, n));
      if (page_fate == 2 && prng.one_in(4)) spoil(write.at + at, n, prng);
    }
  }
}

void SimFile::flip_bit(uint64_t at, unsigned bit) {
  visible_.at(at) ^= static_cast<std::byte>(1u << bit);
  durable_.at(at) ^= static_cast<std::byte>(1u << bit);
}

void SimFile::replace(uint64_t at, std::span<const std::byte> bytes) {
  put(visible_, at, bytes);
  put(durable_, at, bytes);
}

}  // namespace penstock::sim
