// What the metadata remembers of each ring's last start (storage/api/types.h): all three files of a ring may be
// replaced by those of another folder or an earlier time, and nothing in them says so.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>

#include "base/result.h"
#include "control/metadata/store.h"
#include "protocol/types.h"
#include "storage/api/types.h"

namespace penstock::control {

using RingLives = std::map<uint32_t, storage::RingLife>;  // by ring

// Of all rings below this key: keys::rings_of() a broker, or keys::kRings. Those of which nothing is remembered are not
// in it. kCorrupt: a record is not as remember_ring_lives() writes it.
Result<RingLives> read_ring_lives(MetadataStore& store, std::string_view prefix);

// Once their rings have started; errors as MetadataStore::commit().
Result<void> remember_ring_lives(MetadataStore& store, BrokerId node, const RingLives& lives);

}  // namespace penstock::control
