#include "tests/lcore_fixture.h"

#include <cstdlib>
#include <filesystem>

#include "storage/api/folder.h"

namespace penstock::testing {

using dataplane::Command;

LcoreFixture::LcoreFixture(LcoreSetup setup) : setup_(std::move(setup)) {
  char name[] = "lcore_test.XXXXXX";  // where the build is: a file system that can do direct I/O
  CHECK(mkdtemp(name) != nullptr);
  folder_ = std::filesystem::absolute(name);
  open_store();
  dataplane::LcoreRequest request{.index = 0,
                                  .options = setup_.options,
                                  .listeners = {{.host = "127.0.0.1", .port = 0}},
                                  .disks = {disk_.get()},
                                  .store = std::move(store_),
                                  .clock = &clock_,
                                  .counters = &counters_,
                                  .control_doorbell = &control_doorbell_};
  auto lcore = dataplane::Lcore::make(std::move(request));
  if (!lcore) std::fprintf(stderr, "%s\n", lcore.error().what.c_str());
  CHECK(lcore.has_value());
  lcore_ = *std::move(lcore);
  if (setup_.publish) publish(setup_.partitions);
  lcore_thread_ = std::thread([this] { lcore_->run(); });
  control_thread_ = std::thread([this] { be_control(); });
}

void LcoreFixture::open_store() {
  auto disk = storage::open_uring_disk();
  CHECK(disk.has_value());
  disk_ = *std::move(disk);
  CHECK(storage::open_folder(*disk_, prng_, folder_).has_value());
  storage::StoreRequest request{.folder = folder_,
                                .disk = disk_.get(),
                                .clock = &clock_,
                                .prng = &prng_,
                                .counters = &storage_counters_,
                                .live_logs = {},
                                .next_log_id = storage::LogId{1}};
  request.options.ring_bytes = 32 * kMiB;
  request.allocate = [this](size_t bytes) {
    memory_.resize(bytes + 4096);
    const auto at = reinterpret_cast<uintptr_t>(memory_.data());
    return std::span(memory_).subspan(align_up(at, 4096) - at, bytes);
  };
  auto store = storage::Store::open(std::move(request));
  if (!store) std::fprintf(stderr, "%s\n", store.error().what.c_str());
  CHECK(store.has_value());
  store_ = std::make_unique<storage::StoreSet>();
  store_->add(0, *std::move(store), {});
}

LcoreFixture::~LcoreFixture() {
  stop();
  lcore_.reset();
  disk_.reset();
  std::filesystem::remove_all(folder_);
}

void LcoreFixture::tell(Command command) {
  while (!lcore_->commands().try_push(command)) std::this_thread::yield();
  lcore_->doorbell().ring();
}

void LcoreFixture::publish(int partitions) {
  auto image = std::make_shared<dataplane::RoutingImage>();
  image->revision = ++revision_;
  auto topic = std::make_shared<dataplane::TopicRoute>();
  topic->name = "t";
  topic->id.bytes[0] = 9;
  for (int i = 0; i < partitions; ++i) {
    const storage::LogId log{static_cast<uint64_t>(i) + 1};
    tell(dataplane::OpenLog{log});
    topic->partitions.push_back({.log = log, .lcore = 0, .leader_epoch = LeaderEpoch{3}});
  }
  image->insert(std::move(topic));
  tell(dataplane::PublishImage{std::move(image)});
}

void LcoreFixture::be_control() {
  while (!stopped_) {
    auto event = lcore_->events().try_pop();
    if (!event) {
      if (stop_.exchange(false)) tell(dataplane::Stop{});
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      continue;
    }
    if (auto* slow = std::get_if<dataplane::SlowRequest>(&*event)) {
      Bytes answer;
      if (setup_.answer) {
        answer = setup_.answer(*slow);
      } else {
        protocol::encode_response_header(*protocol::find_api(slow->api_key), slow->api_version,
                                         protocol::decode_request_header(slow->frame)->correlation_id, answer);
      }
      tell(dataplane::Answer{slow->connection, std::move(answer)});
    }
    setup_.on_event(*event);
    if (std::holds_alternative<dataplane::Stopped>(*event)) stopped_ = true;
  }
}

bool LcoreFixture::stop() {
  if (!lcore_thread_.joinable()) return stopped_;
  stop_ = true;
  lcore_thread_.join();
  control_thread_.join();
  return stopped_;
}

void LcoreFixture::await(dataplane::Metric metric, uint64_t n) const {
  while (count(metric) < n) std::this_thread::sleep_for(std::chrono::microseconds(200));
}

}  // namespace penstock::testing
