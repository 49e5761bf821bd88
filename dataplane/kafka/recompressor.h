// Recompressor: makes batches what their topic's compression.type asks for, on a thread of its own beside the lcore,
// because a codec takes milliseconds. One an lcore. Batches go to it and come home as parcels (parcel.h), so that a
// connection waits for one as for another lcore's part.
//
// Bounds: a connection has one batch here at a time, all together kBytesMax bytes (and one batch, if it is larger).
#pragma once

#include <cstddef>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "base/doorbell.h"
#include "base/ring.h"
#include "dataplane/kafka/parcel.h"

namespace penstock::dataplane {

// On any thread: part's batch in its codec, or the error that its producer is told.
void recompress(RecompressPart& part);

// The bytes as a Buffer that owns them.
Buffer buffer_of(std::vector<std::byte> bytes);

class Recompressor {
 public:
  static constexpr size_t kParcels = 256;
  static constexpr size_t kBytesMax = 64 * 1024 * 1024;

  // done is rung when a batch is ready and the lcore sleeps. Without start() nothing is done but by work().
  explicit Recompressor(const Doorbell& done) : done_bell_(done) {}
  ~Recompressor() { stop(); }
  Recompressor(const Recompressor&) = delete;
  Recompressor& operator=(const Recompressor&) = delete;

  // The thread; it inherits the caller's CPUs, so not from an lcore.
  void start();
  // Ends the thread, behind what it was sent.
  void stop();

  // ---- the lcore's side
  // Moves parcel, which holds a RecompressPart, there; false and unmoved: too much is there already.
  bool try_send(ParcelPtr& parcel);
  // The next one that is done.
  ParcelPtr next();
  // As an lcore's bell (base/doorbell.h): before a sleep, and behind it.
  void go_to_sleep() { done_bell_.go_to_sleep(); }
  void wake_up() { done_bell_.wake_up(); }
  bool empty() const { return done_.empty(); }

  // ---- the thread's side, or a test's in its place: does what is there, and returns how many that were.
  size_t work();

 private:
  void run();

  SpscRing<ParcelPtr> asked_{2 * kParcels};  // and the empty one that ends the thread
  SpscRing<ParcelPtr> done_{kParcels};
  size_t out_ = 0;    // parcels that have not come back: no more than done_ has room for
  size_t bytes_ = 0;  // theirs, as they were sent
  Doorbell work_doorbell_;
  NightBell work_bell_{work_doorbell_};
  NightBell done_bell_;
  bool ended_ = false;  // the thread's
  std::thread thread_;
};

}  // namespace penstock::dataplane
