// The uniform assignor: everyone has as many partitions as the others, and keeps what it can (assignor.h).
#include <algorithm>
#include <set>
#include <utility>

#include "base/assert.h"
#include "control/groups/assignor_board.h"

namespace penstock::control::groups {
namespace {

bool all_want_all(const AssignorInput& input) {
  return std::ranges::all_of(input.members,
                             [&](const auto& member) { return member.topics.size() == input.topics.size(); });
}

// Everyone gets total / members, and the first `extra` of those who have most already one more. So the fewest move.
std::vector<size_t> quotas(const AssignorBoard& board, size_t members) {
  std::vector<size_t> quota(members, board.partitions() / members);
  size_t extra = board.partitions() % members;
  std::vector<uint32_t> order(members);
  for (uint32_t i = 0; i < members; ++i) order[i] = i;
  std::ranges::stable_sort(order, std::greater{}, [&](uint32_t member) { return board.load(member); });
  for (const uint32_t member : order) {
    if (extra == 0) break;
    ++quota[member];
    --extra;
  }
  return quota;
}

void deal_alike(AssignorBoard& board, size_t members) {
  const std::vector<size_t> quota = quotas(board, members);
  for (size_t at = board.partitions(); at-- > 0;) {
    const uint32_t owner = board.owner(at);
    if (owner != kNobody && board.load(owner) > quota[owner]) board.take(at);
  }
  // Round and round, so that a topic's partitions spread over those with room.
  uint32_t turn = 0;
  for (size_t at = 0; at < board.partitions(); ++at) {
    if (board.owner(at) != kNobody) continue;
    uint32_t tried = 0;
    while (board.load(turn) >= quota[turn]) {
      turn = (turn + 1) % static_cast<uint32_t>(members);
      CHECK(++tried <= members);  // the quotas add up to the number of partitions
    }
    board.give(at, turn);
    turn = (turn + 1) % static_cast<uint32_t>(members);
  }
}

// Topics that few want first: who wants many can still be filled up later.
std::vector<size_t> topics_by_choice(const AssignorBoard& board) {
  std::vector<size_t> order(board.topics());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::stable_sort(order, {}, [&](size_t topic) { return board.wanted_by(topic).size(); });
  return order;
}

using ByLoad = std::set<std::pair<size_t, uint32_t>>;  // load, member

ByLoad by_load(const AssignorBoard& board, size_t topic) {
  ByLoad order;
  for (const uint32_t member : board.wanted_by(topic)) order.emplace(board.load(member), member);
  return order;
}

void deal_rest(AssignorBoard& board) {
  for (const size_t topic : topics_by_choice(board)) {
    if (board.wanted_by(topic).empty()) continue;
    ByLoad order = by_load(board, topic);
    for (size_t at = board.begin_of(topic); at < board.end_of(topic); ++at) {
      if (board.owner(at) != kNobody) continue;
      const uint32_t member = order.extract(order.begin()).value().second;
      board.give(at, member);
      order.emplace(board.load(member), member);
    }
  }
}

// From the member with most to the one with least, of those who want the topic.
bool move_one(AssignorBoard& board, size_t topic, ByLoad& order) {
  const auto [least, receiver] = *order.begin();
  for (auto from = order.rbegin(); from != order.rend() && from->first >= least + 2; ++from) {
    const uint32_t giver = from->second;
    size_t chosen = board.partitions();
    for (size_t at = board.begin_of(topic); at < board.end_of(topic); ++at) {
      if (board.owner(at) != giver) continue;
      if (chosen == board.partitions() || board.was_before(at, receiver)) chosen = at;
      if (!board.was_before(at, giver)) {
        chosen = at;
        break;
      }
    }
    if (chosen == board.partitions()) continue;  // it has none of this topic
    order.erase({board.load(giver), giver});
    order.erase({board.load(receiver), receiver});
    board.take(chosen);
    board.give(chosen, receiver);
    order.emplace(board.load(giver), giver);
    order.emplace(board.load(receiver), receiver);
    return true;
  }
  return false;
}

// Each move makes the sum of the squares of the loads smaller, so it ends. A pass without a move: no move would help.
void level(AssignorBoard& board) {
  for (bool moved = true; moved;) {
    moved = false;
    for (size_t topic = 0; topic < board.topics(); ++topic) {
      if (board.wanted_by(topic).size() < 2) continue;
      ByLoad order = by_load(board, topic);
      while (move_one(board, topic, order)) moved = true;
    }
  }
}

}  // namespace

AssignorOutput assign_uniform(const AssignorInput& input) {
  if (input.members.empty()) return {};
  AssignorBoard board(input);
  if (all_want_all(input)) {
    deal_alike(board, input.members.size());
  } else {
    deal_rest(board);
    level(board);
  }
  return board.output();
}

}  // namespace penstock::control::groups
