// What a Fetch finds in one partition, on the lcore that owns it, and how what several lcores have found becomes one
// answer within its budget. Used alike for partitions at home and for those of other lcores (host.h).
#pragma once

#include <cstdint>

#include "dataplane/kafka/parcel.h"
#include "storage/api/store_set.h"

namespace penstock::dataplane {

struct Budget {
  uint64_t bytes_left;
  bool nothing_yet = true;  // no partition before has anything
};

// Fills in what is found behind "found". The first partition that has anything gives a whole batch even if that is
// larger than every limit, so that a consumer always gets on; the others only what fits (KIP-74). What is being read
// counts as found: it takes its part of the budget, so that one request has no more read than it may be answered with.
void look_at(storage::StoreSet& store, Look& look, Budget& budget);

// A settled partition stays so unless its records have gone; it takes its part of the budget before all others.
void keep_settled(const storage::StoreSet& store, Look& look, Budget& budget);

// What another lcore has found, which knew nothing of the partitions before it, to what is left for it here.
void trim_to(Look& look, Budget& budget);

// Bytes of the first batch that cursor promises.
uint64_t first_batch_bytes(storage::StoreSet& store, const storage::ReadCursor& cursor);

}  // namespace penstock::dataplane
