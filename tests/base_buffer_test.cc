// Buffer and BufferChain against a string with random operations; every memory goes home exactly once.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/prng.h"

namespace penstock {
namespace {

static_assert(!std::is_copy_constructible_v<Buffer> && !std::is_copy_assignable_v<Buffer>);
static_assert(std::is_nothrow_move_constructible_v<Buffer> && std::is_nothrow_move_assignable_v<Buffer>);

// Heap memory that knows what is out.
class HeapPool final : public BufferPool {
 public:
  ~HeapPool() { EXPECT_TRUE(out_.empty()) << out_.size() << " buffers did not come home"; }
  Buffer make(std::string_view text, size_t room = 0) {
    auto memory = std::make_unique<std::byte[]>(text.size() + room);
    std::memcpy(memory.get(), text.data(), text.size());
    const std::span<std::byte> all(memory.get(), text.size() + room);
    out_.emplace(all.data(), std::move(memory));
    return Buffer(*this, all, text.size());
  }
  void release(std::span<std::byte> memory) override {
    EXPECT_EQ(out_.erase(memory.data()), 1u) << "released twice, or not from its first byte";
  }
  size_t out() const { return out_.size(); }

 private:
  std::map<std::byte*, std::unique_ptr<std::byte[]>> out_;
};

std::string text_of(const BufferChain& chain, size_t at, size_t n) {
  std::string text;
  chain.for_each_piece(at, n, [&](std::span<const std::byte> piece) {
    EXPECT_FALSE(piece.empty());
    text += as_text(piece);
  });
  std::string copied(n, '\0');
  chain.copy_out(at, std::as_writable_bytes(std::span(copied)));
  EXPECT_EQ(copied, text);
  return text;
}

std::string random_text(Prng& prng, size_t n) {
  std::string text(n, ' ');
  for (char& c : text) c = static_cast<char>('a' + prng.below(26));
  return text;
}

TEST(Buffer, GoesHomeOnceFromWhereverItWasMovedTo) {
  HeapPool pool;
  {
    Buffer a = pool.make("hello", 3);
    EXPECT_EQ(a.room().size(), 3u);
    Buffer b = std::move(a);
    EXPECT_EQ(as_text(b.bytes()), "hello");
    b.room()[0] = std::byte{'!'};
    b.filled(1);
    b.drop_front(1);
    EXPECT_EQ(as_text(b.bytes()), "ello!");
    Buffer c = pool.make("other");
    c = std::move(b);
    EXPECT_EQ(as_text(c.bytes()), "ello!");
    EXPECT_EQ(pool.out(), 2u);
  }
  EXPECT_EQ(pool.out(), 0u);
}

TEST(BufferDeathTest, MoreThanThereIs) {
  HeapPool pool;
  Buffer buffer = pool.make("abc", 2);
  EXPECT_DEATH(buffer.drop_front(4), "CHECK failed");
  EXPECT_DEATH(buffer.filled(3), "CHECK failed");
  BufferChain chain;
  chain.append(std::move(buffer));
  EXPECT_DEATH(chain.consume(4), "CHECK failed");
  EXPECT_DEATH(chain.for_each_piece(2, 2, [](std::span<const std::byte>) {}), "CHECK failed");
}

// One random operation on both; the model is the string.
void step(Prng& prng, HeapPool& pool, BufferChain& chain, std::string& model) {
  switch (prng.below(10)) {
    case 0:
    case 1:
    case 2: {
      const std::string text = random_text(prng, prng.below(40));
      chain.append(pool.make(text, prng.below(20)));
      model += text;
      break;
    }
    case 3: {
      const std::span<std::byte> room = chain.tail_room();
      if (room.empty()) break;
      const std::string text = random_text(prng, prng.between(1, room.size()));
      std::memcpy(room.data(), text.data(), text.size());
      chain.filled(text.size());
      model += text;
      break;
    }
    case 4:
    case 5: {
      const size_t n = prng.below(std::min<size_t>(model.size(), 60) + 1);
      chain.consume(n);
      model.erase(0, n);
      break;
    }
    case 6: {
      BufferChain moved = std::move(chain);
      ASSERT_TRUE(chain.empty() && chain.buffer_count() == 0);
      chain.append(pool.make("gone with the next move"));
      chain = std::move(moved);
      break;
    }
    case 7:
      if (!prng.one_in(20)) break;
      chain.clear();
      model.clear();
      break;
    default: {
      const size_t at = prng.below(model.size() + 1), n = prng.below(model.size() - at + 1);
      ASSERT_EQ(text_of(chain, at, n), model.substr(at, n));
    }
  }
}

TEST(BufferChain, ReadsAsOneString) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    Prng prng(seed);
    HeapPool pool;
    BufferChain chain;
    std::string model;
    for (int i = 0; i < 400; ++i) {
      step(prng, pool, chain, model);
      ASSERT_EQ(chain.size(), model.size()) << "seed " << seed << " step " << i;
      ASSERT_EQ(chain.empty(), model.empty());
      ASSERT_EQ(chain.buffer_count(), pool.out()) << "a Buffer without bytes was kept, or one was lost";
    }
    ASSERT_EQ(text_of(chain, 0, chain.size()), model) << "seed " << seed;
  }
}

}  // namespace
}  // namespace penstock
