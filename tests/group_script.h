// Plays a conversation with a coordinator of groups from a text (tests/groups/*.txt): commands at the left edge, below
// each, indented, what it comes to. Member ids, which are made by chance, are called m1, m2 in the order in which they
// appear.
//
//   join T g ...         JoinGroup whose answer is called T: id= instance= v= session= rebalance= type= client=
//                        protocols=range:TEXT,rr:TEXT, or topics=a,b: a consumer's subscription, as protocol range
//   sync T g id= gen= assign=m1:x,m2:y
//   heartbeat g id= gen= instance=
//   leave g m1 m2 instance=... v=
//   commit g id= gen= topic-0=5 ... [metadata=TEXT] [retention=MS] [v=]
//   fetch g topic-0 ...  without topics: all
//   memory               what all groups hold
//   describe g; list; delete g; forget g topic-0 ... (OffsetDelete); topics_deleted a b
//   + MS                 time passes
//   restart              a new coordinator reads what was written
//   set NAME=VALUE       a setting, before the first request
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/groups/coordinator.h"

namespace penstock::control::groups {

class GroupScript {
 public:
  GroupScript();

  // Obeys one line and returns what came of it, a line each.
  std::vector<std::string> obey(const std::string& line);
  // Plays a whole script; the script as it should be.
  std::string play(const std::string& script);

 private:
  struct Words {
    std::vector<std::string> plain;
    std::map<std::string, std::string> named;
    std::string at(size_t place) const;  // empty: there is no such word
    std::string get(const std::string& name, std::string otherwise = "") const;
    int32_t number(const std::string& name, int32_t otherwise) const;
  };

  static Words parse(const std::string& line);
  void join(const Words& words);
  void sync(const Words& words);
  void leave(const Words& words);
  void commit(const Words& words);
  void fetch(const Words& words);
  void describe(const Words& words);
  void forget(const Words& words);
  void set(const Words& words);
  void list();
  void restart();
  void pass(int64_t ms);
  void settle();
  void say(std::string line) { said_.push_back(std::move(line)); }
  std::string name_of(const std::string& member_id);
  std::string id_of(const std::string& name) const;

  GroupSettings settings_;
  Prng prng_{7};
  GroupMemory memory_;
  Now now_{.monotonic = kSecond, .wall_ms = 1'000'000};
  std::unique_ptr<Coordinator> coordinator_;
  std::vector<GroupRecord> log_;
  Effects effects_;
  std::map<Ticket, std::string> tickets_;
  Ticket last_ticket_ = 0;
  std::map<std::string, std::string> names_;  // of members, by id
  std::map<std::string, std::string> ids_;
  std::vector<std::string> said_;
};

}  // namespace penstock::control::groups
