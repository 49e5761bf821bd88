// The vocabulary of base: known answers.
#include <gtest/gtest.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/counters.h"
#include "base/crc32c.h"
#include "base/doorbell.h"
#include "base/log.h"
#include "base/on_lcore.h"
#include "base/prng.h"
#include "base/result.h"
#include "base/ring.h"
#include "base/strong.h"
#include "base/system_clock.h"
#include "protocol/types.h"

namespace penstock {
namespace {

TEST(Crc32c, KnownAnswer) { EXPECT_EQ(crc32c(0, as_bytes("123456789")), 0xE3069283u); }

}  // namespace
}  // namespace penstock
