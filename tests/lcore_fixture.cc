#include "tests/lcore_fixture.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "storage/api/folder.h"

namespace penstock::testing {

using dataplane::Command;

LcoreFixture::LcoreFixture(LcoreSetup setup) : setup_(std::move(setup)) {
  if (setup_.clock == nullptr) setup_.clock = &clock_;
  char name[] = "lcore_test.XXXXXX";  // where the build is: a file system that can do direct I/O
  CHECK(mkdtemp(name) != nullptr);
  folder_ = std::filesystem::absolute(name);
  const auto mesh = std::make_shared<dataplane::Mesh>(setup_.lcores);
  for (uint16_t i = 0; i < setup_.lcores; ++i) {
    lcores_.emplace_back();
    open_store(i);
    dataplane::LcoreRequest request{.index = i,
                                    .options = setup_.options,
                                    .listeners = {},
                                    .disks = {lcores_[i].disk.get()},
                                    .store = std::move(lcores_[i].store),
                                    .clock = setup_.clock,
                                    .counters = &lcores_[i].counters,
                                    .control_doorbell = &control_doorbell_,
                                    .mesh = mesh};
    if (i == 0) request.listeners.push_back({.host = "127.0.0.1", .port = 0});
    auto lcore = dataplane::Lcore::make(std::move(request));
    if (!lcore) std::fprintf(stderr, "%s\n", lcore.error().what.c_str());
    CHECK(lcore.has_value());
    lcores_[i].lcore = *std::move(lcore);
  }
  if (setup_.publish) publish(setup_.partitions);
  for (OneLcore& one : lcores_) one.thread = std::thread([&one] { one.lcore->run(); });
  control_thread_ = std::thread([this] { be_control(); });
}

void LcoreFixture::open_store(uint16_t index) {
  OneLcore& one = lcores_[index];
  auto disk = storage::open_uring_disk();
  CHECK(disk.has_value());
  one.disk = *std::move(disk);
  if (index == 0) CHECK(storage::open_folder(*one.disk, prng_, folder_).has_value());
  storage::StoreRequest request{.folder = folder_,
                                .ring_index = index,
                                .disk = one.disk.get(),
                                .clock = setup_.clock,
                                .prng = &prng_,
                                .counters = &one.storage_counters,
                                .live_logs = {},
                                .next_log_id = storage::LogId{1},
                                .is_foreign = [index, lcores = setup_.lcores](storage::LogId log) {
                                  return (log.value() - 1) % lcores != index;  // as publish() shares them out
                                }};
  request.options.ring_bytes = 32 * kMiB;
  request.allocate = [&one](size_t bytes) {
    one.memory.resize(bytes + 4096);
    const auto at = reinterpret_cast<uintptr_t>(one.memory.data());
    return std::span(one.memory).subspan(align_up(at, 4096) - at, bytes);
  };
  auto store = storage::Store::open(std::move(request));
  if (!store) std::fprintf(stderr, "%s\n", store.error().what.c_str());
  CHECK(store.has_value());
  one.store = std::make_unique<storage::StoreSet>();
  one.store->add(index, *std::move(store), {});
}

LcoreFixture::~LcoreFixture() {
  stop();
  for (OneLcore& one : lcores_) one.lcore.reset();
  while (!lcores_.empty()) lcores_.pop_back();  // the first disk has the folder's lock
  std::filesystem::remove_all(folder_);
}

uint64_t LcoreFixture::count(dataplane::Metric metric) const {
  uint64_t n = 0;
  for (const OneLcore& one : lcores_) n += one.counters.get(metric);
  return n;
}

uint64_t LcoreFixture::count(storage::Metric metric) const {
  uint64_t n = 0;
  for (const OneLcore& one : lcores_) n += one.storage_counters.get(metric);
  return n;
}

void LcoreFixture::tell(uint16_t lcore, Command command) {
  while (!lcores_[lcore].lcore->commands().try_push(command)) std::this_thread::yield();
  lcores_[lcore].lcore->doorbell().ring();
}

void LcoreFixture::publish(int partitions) {
  auto image = std::make_shared<dataplane::RoutingImage>();
  image->revision = ++revision_;
  auto topic = std::make_shared<dataplane::TopicRoute>();
  topic->name = "t";
  topic->id.bytes[0] = 9;
  for (int i = 0; i < partitions; ++i) {
    const storage::LogId log{static_cast<uint64_t>(i) + 1};
    const auto owner = static_cast<uint16_t>(i % setup_.lcores);
    tell(owner, dataplane::OpenLog{.log = log, .ring = owner});
    topic->partitions.push_back({.log = log, .lcore = owner, .leader_epoch = LeaderEpoch{3}});
  }
  image->insert(std::move(topic));
  for (uint16_t i = 0; i < setup_.lcores; ++i) tell(i, dataplane::PublishImage{image});
}

void LcoreFixture::be_control() {
  while (!stopped_) {
    bool worked = false;
    for (uint16_t i = 0; i < setup_.lcores; ++i) worked |= take_event(i);
    if (worked) continue;
    if (stop_.exchange(false)) {
      for (uint16_t i = 0; i < setup_.lcores; ++i) tell(i, dataplane::Stop{});
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

bool LcoreFixture::take_event(uint16_t index) {
  OneLcore& one = lcores_[index];
  auto event = one.lcore->events().try_pop();
  if (!event) return false;
  if (auto* slow = std::get_if<dataplane::SlowRequest>(&*event)) {
    Bytes answer;
    if (setup_.answer) {
      answer = setup_.answer(*slow);
    } else {
      protocol::encode_response_header(*protocol::find_api(slow->api_key), slow->api_version,
                                       protocol::decode_request_header(slow->frame)->correlation_id, answer);
    }
    tell(index, dataplane::Answer{slow->connection, std::move(answer)});
  }
  setup_.on_event(*event);
  one.stopped = one.stopped || std::holds_alternative<dataplane::Stopped>(*event);
  stopped_ = std::ranges::all_of(lcores_, [](const OneLcore& each) { return each.stopped; });
  return true;
}

bool LcoreFixture::stop() {
  if (!control_thread_.joinable()) return stopped_;
  stop_ = true;
  for (OneLcore& one : lcores_) one.thread.join();
  control_thread_.join();
  return stopped_;
}

void LcoreFixture::await(dataplane::Metric metric, uint64_t n) const {
  while (count(metric) < n) std::this_thread::sleep_for(std::chrono::microseconds(200));
}

void LcoreFixture::await_exactly(dataplane::Metric metric, uint64_t n) const {
  while (count(metric) != n) std::this_thread::sleep_for(std::chrono::microseconds(200));
}

}  // namespace penstock::testing
