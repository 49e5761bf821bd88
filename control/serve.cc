#include "control/serve.h"

#include <sys/random.h>
#include <sys/utsname.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <thread>

#include "base/log.h"
#include "base/system_clock.h"
#include "control/address_limit_settings.h"
#include "control/controller/keys.h"
#include "control/controller/ring_lives.h"
#include "control/controller/uuid_text.h"
#include "control/data_folders.h"
#include "control/event_loop.h"
#include "control/http.h"
#include "control/listeners.h"
#include "control/log_sink.h"
#include "control/memory_check.h"
#include "control/metadata/sqlite_store.h"
#include "control/prometheus.h"
#include "control/ring_memory.h"
#include "control/ring_options.h"
#include "control/signals.h"
#include "control/startup_checks.h"
#include "dataplane/api/devices.h"
#include "storage/api/compaction.h"
#include "storage/api/folder.h"
#include "storage/api/uring_disk.h"

namespace penstock::control {
namespace {

using Step = std::expected<void, std::string>;
using Failure = std::unexpected<std::string>;

constexpr size_t kLogRingLines = 256;

uint64_t os_entropy() {
  uint64_t seed = 0;
  CHECK(getrandom(&seed, sizeof seed, 0) == sizeof seed);
  return seed;
}

// Everything a broker is made of, in the order in which it is made; destroyed in the reverse.
class Broker {
 public:
  // doorbell: rung by the lcore and by signals; it outlives the broker.
  Broker(ServeRequest request, Doorbell& doorbell)
      : settings_(std::move(request.settings)),
        accept_loss_at_(request.accept_loss_at),
        prng_(os_entropy()),
        doorbell_(doorbell),
        memory_(settings_.broker.huge_pages == "auto"),
        group_board_(doorbell) {}

  Step start();
  // Until a stop was asked for and obeyed. The exit code.
  int run();

 private:
  Step check_all_settings();
  Step check_machine();
  Step open_devices();
  Step start_http();
  Step try_listeners();
  Step open_folders();
  Step open_metadata();
  Step find_rings();
  Step load_controller();
  Step open_storage();
  Step make_lcores();
  Step make_slow_path();
  Step make_event_loop();
  Step run_lcores();
  Step say_ready();

  static constexpr struct {
    const char* doing;
    Step (Broker::*step)();
  } kStartUp[] = {
      // control plane: what there is
      {"checking the settings", &Broker::check_all_settings},
      {"checking the machine", &Broker::check_machine},
      {"opening the network devices", &Broker::open_devices},
      {"starting HTTP", &Broker::start_http},
      {"looking for the listeners' ports", &Broker::try_listeners},
      {"opening the data folder", &Broker::open_folders},
      {"opening the metadata", &Broker::open_metadata},
      {"looking for the rings", &Broker::find_rings},
      {"reading the metadata", &Broker::load_controller},
      // data plane: the log, then who serves it
      {"recovering the rings", &Broker::open_storage},
      {"binding the listeners", &Broker::make_lcores},
      {"resolving the advertised addresses", &Broker::make_slow_path},
      {"wiring the event loop", &Broker::make_event_loop},
      {"starting the lcores", &Broker::run_lcores},
      {"getting ready", &Broker::say_ready},
  };

  std::expected<storage::DurableMethod, std::string> durable_method(const std::string& folder);
  std::span<const RingCounters> shown_rings() const {
    return rings_known_.load(std::memory_order_acquire) ? ring_counters_ : std::span<const RingCounters>();
  }
  std::string metadata_path() const { return folders_->path(0) + "/metadata.sqlite"; }
  std::function<bool(storage::LogId)> logs_of_others(uint16_t ring) const;
  Step open_ring(size_t i);
  std::span<std::byte> shown_to_devices(std::span<std::byte> memory) {
    if (!memory.empty()) devices_->add_log_memory(memory);
    return memory;
  }
  Step make_cleaner(size_t folder);

  struct Cleaner {
    storage::DiskPtr disk;
    std::unique_ptr<storage::CompactionThread> thread;
  };
  const Settings settings_;
  const std::optional<uint64_t> accept_loss_at_;
  SystemClock clock_;
  Prng prng_;
  Health health_;
  Doorbell& doorbell_;
  ControlCounters counters_;
  uint16_t lcores_wanted_ = 1;
  DescriptorShare descriptors_{};
  std::vector<dataplane::DataplaneCounters> lcore_counters_;  // by lcore
  std::vector<RingCounters> ring_counters_;                   // in the order of rings_
  std::atomic<bool> rings_known_ = false;  // /metrics may look at them: they are made while it is served
  std::vector<Listener> listeners_;
  std::vector<AdvertisedAddress> advertised_;
  std::vector<int> cpus_;
  std::string address_overrides_;  // max.connections.per.ip.overrides with addresses for names
  RingMemoryPool memory_;          // devices may read it, until they are closed
  std::unique_ptr<dataplane::Devices> devices_;
  std::vector<ShownDevice> shown_devices_;
  GroupBoard group_board_;
  std::unique_ptr<HttpServer> http_;
  std::optional<DataFolders> folders_;
  std::vector<RingPlace> rings_;
  RingLives known_lives_;  // as of the last start
  // One a ring: what one drive takes its time for holds up no other. The first one is there before the rings, for what
  // is to do with the folders, and holds their locks.
  std::vector<storage::DiskPtr> disks_;
  std::map<size_t, Cleaner> cleaners_;  // by folder: its thread is told by the stores, and ends after them
  std::unique_ptr<SqliteStore> metadata_;
  std::unique_ptr<Controller> controller_;
  std::vector<std::unique_ptr<storage::StoreSet>> stores_;  // by lcore, until that has it
  std::vector<std::unique_ptr<dataplane::Lcore>> lcores_;
  std::unique_ptr<SlowPath> slow_path_;
  std::unique_ptr<GroupSurvey> group_survey_;  // none: /metrics does not tell of groups
  std::unique_ptr<Registration> registration_;
  std::vector<std::unique_ptr<LogRing>> log_rings_;  // by lcore
  std::unique_ptr<EventLoop> event_loop_;
  std::vector<std::jthread> lcore_threads_;
};

Step Broker::start() {
  for (const auto& [doing, step] : kStartUp) {
    // Once there are lcores the rest takes no time, and the stop of a broker that runs is the cleaner one.
    if (stop_was_asked() && lcores_.empty()) return Failure("a stop was asked for");
    health_.set_not_ready(std::string("starting: ") + doing);
    if (auto done = (this->*step)(); !done) return done;
  }
  health_.set_ready();
  return {};
}

Step Broker::check_all_settings() {
  if (auto done = check_settings(settings_); !done) return done;
  auto listeners = parse_listeners(settings_.broker);
  if (!listeners) return Failure(listeners.error());
  listeners_ = *std::move(listeners);
  for (const dataplane::DeviceSettings& device : devices_of(listeners_)) {
    if (auto done = dataplane::check_device(device); !done) return Failure("listeners: " + done.error());
  }
  if (auto done = check_ports(listeners_, settings_.broker.http_listener); !done) return done;
  // Once more when the ports are known; here so that a bad setting shows before anything is made.
  std::vector<uint16_t> ports;
  for (const Listener& listener : listeners_) {
    ports.push_back(listener.bind.port);
  }
  if (auto advertised = advertise(settings_.broker, listeners_, ports); !advertised) return Failure(advertised.error());
  lcores_wanted_ = cli::lcores_for(settings_.broker.lcores, cli::cpus_allowed());
  lcore_counters_ = std::vector<dataplane::DataplaneCounters>(lcores_wanted_);
  auto cpus = parse_cpus(settings_.broker.lcore_cpus, lcores_wanted_);
  if (!cpus) return Failure(cpus.error());
  cpus_ = *std::move(cpus);
  auto overrides = resolve_address_limits(settings_.dataplane);
  if (!overrides) return Failure(overrides.error());
  address_overrides_ = *std::move(overrides);
  return {};
}

Step Broker::check_machine() {
  utsname kernel{};
  uname(&kernel);
  if (auto done = check_kernel(kernel.release); !done) return done;
  auto folders = parse_log_dirs(settings_.broker.log_dirs);
  if (!folders) return Failure(folders.error());
  for (const std::string& folder : *folders) {
    if (auto done = check_folder(folder); !done) return done;
  }
  const auto memory = plan_memory(settings_, lcores_wanted_, *folders, devices_of(listeners_));
  if (auto done = look_for_memory(memory, stop_was_asked); !done) return done;
  const auto share =
      raise_limits({.lcores = lcores_wanted_,
                    .folders = folders->size(),
                    .listeners = listeners_.size(),
                    .segments_max = static_cast<uint64_t>(settings_.storage.open_files_max),
                    .connections_max = static_cast<uint64_t>(settings_.dataplane.connections_max),
                    .http_max = settings_.broker.http_listener.empty() ? 0 : HttpLimits{}.connections_max});
  if (!share) return Failure(share.error());
  descriptors_ = *share;
  return {};
}

Step Broker::open_devices() {
  const SignalsBlocked blocked;
  const std::vector<dataplane::DeviceSettings> wanted = devices_of(listeners_);
  auto devices =
      dataplane::Devices::open({.devices = wanted,
                                .lcores = lcores_wanted_,
                                .huge_pages = settings_.broker.huge_pages == "auto",
                                .options = settings_.dataplane,
                                .fill_random = [](std::span<std::byte> out) {
                                  CHECK(getrandom(out.data(), out.size(), 0) == static_cast<ssize_t>(out.size()));
                                }});
  if (!devices) return Failure(devices.error());
  devices_ = *std::move(devices);
  for (size_t i = 0; i < wanted.size(); ++i) {
    for (uint16_t lcore = 0; lcore < lcores_wanted_; ++lcore)
      shown_devices_.push_back({devices_->name(i), lcore, &devices_->counters(i, lcore)});
  }
  return {};
}

Step Broker::start_http() {
  if (settings_.broker.http_listener.empty()) return {};
  const auto address = parse_host_port(settings_.broker.http_listener);
  if (!address) return Failure("penstock.http.listener: " + address.error());
  const SignalsBlocked blocked;
  const auto metrics = [this] {
    const auto groups = group_board_.latest(clock_.monotonic());
    return prometheus_text(counters_, shown_rings(), lcore_counters_, shown_devices_, groups.get());
  };
  auto http = HttpServer::start(*address, health_, metrics, {.connections_max = descriptors_.http_max},
                                {.ask = [this] { return group_board_.ask(clock_.monotonic()); },
                                 .is_there = [this](uint64_t number) { return group_board_.is_there(number); }});
  if (!http) return Failure(http.error());
  http_ = *std::move(http);
  return {};
}

// A killed broker's listener goes when the kernel has taken its io_uring apart, a moment after the process is gone; who
// starts the next at once would find the port in use. The lock of a data folder is waited for in the same way.
Step try_patiently(const dataplane::ListenerAddress& address) {
  constexpr int kTries = 300;
  auto done = dataplane::Lcore::try_listener(address);
  for (int i = 0; i < kTries && !done && done.error().error.code == Errc::kLocked && !stop_was_asked(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    done = dataplane::Lcore::try_listener(address);
  }
  if (!done) return Failure(done.error().what);
  return {};
}

// They are bound when the rings are there, which takes long; a port that is in use shows here, before any is made.
Step Broker::try_listeners() {
  for (const Listener& listener : listeners_) {
    const auto address = resolve(listener);
    if (!address) return Failure(address.error());
    if (auto done = try_patiently(*address); !done) return done;
  }
  return {};
}

Step Broker::open_folders() {
  auto disk = storage::open_uring_disk();
  if (!disk) return Failure(disk.error().what);
  disks_.push_back(*std::move(disk));
  auto paths = parse_log_dirs(settings_.broker.log_dirs);
  if (!paths) return Failure(paths.error());
  auto folders = DataFolders::open(*disks_.front(), prng_, *std::move(paths));
  if (!folders) return Failure(folders.error());
  folders_.emplace(*std::move(folders));
  return {};
}

Step Broker::open_metadata() {
  auto store = SqliteStore::open(metadata_path(), clock_);
  if (!store) return Failure(store.error());
  metadata_ = *std::move(store);
  return folders_->open_others(*metadata_);
}

Step Broker::find_rings() {
  auto rings = folders_->rings(lcores_wanted_);
  if (!rings) return Failure(rings.error());
  rings_ = *std::move(rings);
  ring_counters_ = std::vector<RingCounters>(rings_.size());
  for (size_t i = 0; i < rings_.size(); ++i) {
    ring_counters_[i].ring = rings_[i].ring;
    ring_counters_[i].lcore = lcore_of(rings_[i].ring, lcores_wanted_);
  }
  rings_known_.store(true, std::memory_order_release);
  const auto ring_bytes = static_cast<uint64_t>(settings_.storage.ring_bytes);
  for (size_t folder = 0; folder < folders_->count(); ++folder) {
    const auto is_new = [&](const RingPlace& place) { return place.folder == folder && !place.is_there; };
    const auto new_rings = static_cast<size_t>(std::ranges::count_if(rings_, is_new));
    if (auto done = check_space(folders_->path(folder), new_rings, ring_bytes); !done) return done;
  }
  return folders_->remember(*metadata_);
}

Step Broker::load_controller() {
  ControllerSettings settings{.options = &settings_.broker,
                              .settings = kafka_settings(settings_),
                              .read_at_start = kafka_setting_names(),
                              .lcores = lcores_wanted_,
                              .rings = {}};
  for (const RingPlace& place : rings_) settings.rings.push_back(place.ring);
  auto controller = Controller::load(*metadata_, prng_, std::move(settings), counters_);
  if (!controller) return Failure(metadata_path() + ": " + controller.error());
  controller_ = *std::move(controller);
  return {};
}

// Drives differ, so each folder has its own.
std::expected<storage::DurableMethod, std::string> Broker::durable_method(const std::string& folder) {
  const std::string& durability = settings_.storage.ring_durability;
  if (durability == "dsync") return storage::DurableMethod::kDsync;
  if (durability == "flush") return storage::DurableMethod::kLinkedFlush;
  const Nanos spin = dataplane::SpinTimes(settings_.dataplane).commit;
  const auto measured = storage::measure_durable_method(*disks_.front(), clock_, folder, spin);
  if (measured) return *measured;
  return Failure(cannot_write_durably(folder, measured.error()));
}

Step Broker::open_storage() {
  auto lives = read_ring_lives(*metadata_, keys::rings_of(controller_->node()));
  if (!lives) return metadata_failed(folders_->path(0), lives.error());
  known_lives_ = *std::move(lives);
  std::map<size_t, storage::DurableMethod> methods;  // by folder
  for (const RingPlace& place : rings_) {
    if (methods.contains(place.folder)) continue;
    const auto method = durable_method(folders_->path(place.folder));
    if (!method) return Failure(method.error());
    methods[place.folder] = *method;
  }
  for (uint16_t i = 0; i < lcores_wanted_; ++i) stores_.push_back(std::make_unique<storage::StoreSet>());
  for (size_t i = 0; i < rings_.size(); ++i) {
    if (i == disks_.size()) {
      auto disk = storage::open_uring_disk();
      if (!disk) return Failure(disk.error().what);
      disks_.push_back(*std::move(disk));
    }
    disks_[i]->set_durable_method(methods[rings_[i].folder]);
    if (auto done = make_cleaner(rings_[i].folder); !done) return done;
    if (auto done = open_ring(i); !done) return done;
  }
  const SignalsBlocked blocked;
  for (auto& [folder, cleaner] : cleaners_) cleaner.thread->start();
  return {};
}

// Whoever compacts the logs of a folder's rings.
Step Broker::make_cleaner(size_t folder) {
  if (cleaners_.contains(folder) || !settings_.storage.cleaner_enable) return {};
  constexpr size_t kOpsAtOnce = 4;  // a step of it blocks
  auto disk = storage::open_uring_disk(kOpsAtOnce);
  if (!disk) return Failure(disk.error().what);
  Cleaner& cleaner = cleaners_[folder];
  cleaner.disk = *std::move(disk);
  const auto rings_there = std::ranges::count(rings_, folder, &RingPlace::folder);
  const int64_t reserve = settings_.storage.disk_reserve_bytes + rings_there * settings_.storage.ring_bytes;
  auto thread =
      storage::CompactionThread::make(storage::CompactionRequest{.folder = folders_->path(folder),
                                                                 .options = settings_.storage,
                                                                 .reserve_bytes = static_cast<uint64_t>(reserve),
                                                                 .disk = cleaner.disk.get(),
                                                                 .clock = &clock_,
                                                                 .prng = &prng_});
  if (!thread) return Failure(thread.error().what);
  cleaner.thread = *std::move(thread);
  return {};
}

// Which logs' files a ring leaves alone. It is asked on the ring's lcore, while the others make new logs.
std::function<bool(storage::LogId)> Broker::logs_of_others(uint16_t ring) const {
  return [others = controller_->logs_not_of(ring), next = controller_->next_log_id()](storage::LogId log) {
    return log >= next || others.contains(log);
  };
}

Step Broker::open_ring(size_t i) {
  const RingPlace& place = rings_[i];
  const auto logs = controller_->logs_of(place.ring);
  const auto rings_there = static_cast<size_t>(std::ranges::count(rings_, place.folder, &RingPlace::folder));
  const auto cleaner = cleaners_.find(place.folder);
  storage::StorageOptions options = settings_.storage;
  options.open_files_max = static_cast<int64_t>(descriptors_.segments_max);
  auto store = storage::Store::open(
      {.folder = folders_->path(place.folder),
       .ring_index = place.ring,
       .options = options_of_ring(options, rings_.size(), rings_there),
       .disk = disks_[i].get(),
       .clock = &clock_,
       .prng = &prng_,
       .counters = &ring_counters_[i].storage,
       .live_logs = logs,
       .next_log_id = controller_->next_log_id(),
       .is_foreign = logs_of_others(place.ring),
       .known_life = known_lives_.contains(place.ring) ? std::optional(known_lives_.at(place.ring)) : std::nullopt,
       .allocate = [this](size_t bytes) { return shown_to_devices(memory_.allocate(bytes)); },
       .allocate_cache = [this](size_t bytes) { return shown_to_devices(memory_.allocate_cache(bytes)); },
       .compaction = cleaner == cleaners_.end() ? nullptr : cleaner->second.thread->new_link(),
       .accept_loss_at = accept_loss_at_,
       .should_stop = stop_was_asked});
  if (!store) return Failure(store.error().what);
  // Behind its first durable slot, so that the metadata never knows of a later life than the ring does; and before the
  // next ring is opened, which may be refused: what was accepted of this one is not asked again.
  const auto known = remember_ring_lives(*metadata_, controller_->node(), {{place.ring, (*store)->life()}});
  if (!known) return metadata_failed(folders_->path(0), known.error());
  stores_[lcore_of(place.ring, lcores_wanted_)]->add(place.ring, *std::move(store), logs);
  return {};
}

Step Broker::make_lcores() {
  const auto mesh = std::make_shared<dataplane::Mesh>(lcores_wanted_);
  for (uint16_t i = 0; i < lcores_wanted_; ++i) {
    dataplane::LcoreRequest request{.index = i,
                                    .options = settings_.dataplane,
                                    .sockets_max = descriptors_.connections_max,
                                    .listeners = {},
                                    .devices = {devices_->all().begin(), devices_->all().end()},
                                    .disks = {},
                                    .store = std::move(stores_[i]),
                                    .clock = &clock_,
                                    .counters = &lcore_counters_[i],
                                    .control_doorbell = &doorbell_,
                                    .mesh = mesh};
    request.options.connections_max_per_ip_overrides = address_overrides_;
    for (size_t ring = 0; ring < rings_.size(); ++ring) {
      if (lcore_of(rings_[ring].ring, lcores_wanted_) == i) request.disks.push_back(disks_[ring].get());
    }
    for (const Listener& listener : listeners_) {
      auto address = resolve(listener);
      if (!address) return Failure(address.error());
      request.listeners.push_back(*std::move(address));
    }
    auto lcore = dataplane::Lcore::make(std::move(request));
    if (!lcore) return Failure(lcore.error().what);
    lcores_.push_back(*std::move(lcore));
    log_rings_.push_back(std::make_unique<LogRing>(kLogRingLines));
  }
  return {};
}

Step Broker::make_slow_path() {
  const auto ports = lcores_.front()->bound_ports();
  auto advertised = advertise(settings_.broker, listeners_, {ports.begin(), ports.end()});
  if (!advertised) return Failure(advertised.error());
  advertised_ = *std::move(advertised);
  controller_->advertise(advertised_);
  std::vector<LogDir> dirs;
  for (size_t i = 0; i < folders_->count(); ++i) {
    dirs.push_back({.path = std::filesystem::absolute(folders_->path(i)).lexically_normal().string(), .rings = {}});
  }
  for (const RingPlace& place : rings_) dirs[place.folder].rings.push_back(place.ring);
  slow_path_ = std::make_unique<SlowPath>(*controller_, advertised_, counters_, std::move(dirs), os_entropy());
  return {};
}

Step Broker::make_event_loop() {
  std::string addresses;
  for (size_t i = 0; i < listeners_.size(); ++i) {
    addresses +=
        "listener " + listeners_[i].name + " " + advertised_[i].host + " " + std::to_string(advertised_[i].port) + "\n";
  }
  std::vector<RingFolder> rings;
  for (const RingPlace& place : rings_) rings.push_back({.ring = place.ring, .folder = folders_->path(place.folder)});
  std::vector<std::string> devices;
  for (size_t i = 0; i < devices_->all().size(); ++i) devices.push_back(devices_->name(i));
  std::vector<LcoreLink> lcores;
  for (size_t i = 0; i < lcores_.size(); ++i) {
    lcores.push_back({.commands = &lcores_[i]->commands(),
                      .events = &lcores_[i]->events(),
                      .doorbell = &lcores_[i]->doorbell(),
                      .log = log_rings_[i].get(),
                      .counters = &lcore_counters_[i]});
  }
  if (const auto most = static_cast<size_t>(settings_.broker.metrics_group_partitions_max);
      http_ != nullptr && most > 0)
    group_survey_ = std::make_unique<GroupSurvey>(*controller_, slow_path_->groups().runtime(), group_board_, clock_,
                                                  lcores_wanted_, most);
  registration_ = std::make_unique<Registration>(*metadata_, clock_, controller_->node(), addresses);
  event_loop_ = std::make_unique<EventLoop>(EventLoopParts{.controller = controller_.get(),
                                                           .slow_path = slow_path_.get(),
                                                           .group_survey = group_survey_.get(),
                                                           .store = metadata_.get(),
                                                           .registration = registration_.get(),
                                                           .health = &health_,
                                                           .rings = std::move(rings),
                                                           .devices = std::move(devices),
                                                           .clock = &clock_,
                                                           .counters = &counters_,
                                                           .doorbell = &doorbell_,
                                                           .lcores = std::move(lcores)});
  event_loop_->turn();  // the first image is in the rings before an lcore takes its first connection
  return {};
}

Step Broker::run_lcores() {
  const SignalsBlocked blocked;
  for (size_t i = 0; i < lcores_.size(); ++i) {
    lcore_threads_.emplace_back([this, i] {
      if (!cpus_.empty()) pin_this_thread(cpus_[i]);
      set_thread_log_ring(log_rings_[i].get());
      devices_->enter_lcore();
      lcores_[i]->run();
      devices_->leave_lcore();
      set_thread_log_ring(nullptr);
    });
  }
  return {};
}

Step Broker::say_ready() {
  const auto ports = lcores_.front()->bound_ports();
  std::string line = "ready";
  for (size_t i = 0; i < listeners_.size(); ++i) {
    const std::string& host = listeners_[i].bind.host;
    const bool bracketed = host.find(':') != std::string::npos;
    line += " " + listeners_[i].name + "://" + (bracketed ? "[" + host + "]" : host) + ":" + std::to_string(ports[i]);
  }
  if (http_ != nullptr)
    line += " http://" + parse_host_port(settings_.broker.http_listener)->host + ":" + std::to_string(http_->port());
  LOG_INFO("serving %zu topics with %zu partitions on %u lcores as broker %d of cluster %s",
           controller_->image().topics().size(), controller_->image().partition_count(), unsigned{lcores_wanted_},
           controller_->node().value(), to_text(controller_->cluster_id()).c_str());
  // Its surveys are made by the event loop, which turns from now on.
  if (group_survey_ != nullptr) group_board_.open([this] { http_->wake(); });
  counters_.set(Metric::ready, 1);
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
  return {};
}

int Broker::run() {
  bool stopping = false;
  while (!event_loop_->stopped()) {
    if (stop_was_asked() && !stopping) {
      stopping = true;
      LOG_INFO("stopping: writing what was taken (a second SIGTERM or SIGINT ends at once)");
      health_.set_not_ready("stopping");
      counters_.set(Metric::ready, 0);
      event_loop_->begin_stop();
    }
    if (!event_loop_->turn()) event_loop_->sleep();
  }
  lcore_threads_.clear();  // joins them
  for (const auto& ring : log_rings_) drain_log_ring(*ring);
  (void)registration_->end();
  http_.reset();
  LOG_INFO("stopped");
  return event_loop_->any_ring_failed() ? 1 : 0;
}

}  // namespace

int serve(ServeRequest request) {
  set_up_log(request.settings.broker.log_level);
  static Doorbell doorbell;  // a signal may come until the process has ended
  handle_stop_signals(doorbell);
  Broker broker(std::move(request), doorbell);
  if (auto started = broker.start(); !started) {
    if (stop_was_asked()) {
      LOG_INFO("stopped before it was ready: %s", started.error().c_str());
      return 0;
    }
    std::fprintf(stderr, "penstock: %s\n", started.error().c_str());
    return 1;
  }
  return broker.run();
}

}  // namespace penstock::control
