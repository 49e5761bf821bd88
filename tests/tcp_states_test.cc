// Row 1 of docs/internals/tcp.md: every state against every kind of segment, as a table (RFC 9293 3.10.7).
#include <gtest/gtest.h>

#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "tests/tcp_script.h"

namespace penstock::testing {
namespace {

// How a connection gets there, the peer's next number N and ours U behind that.
struct Place {
  std::string state;
  std::string script;
  int n;
  int u;
};

const std::string kOpening = "opt ts=0 sack=0\nlisten\n< S 0 win 65535 mss 1000\n> SA 0 ack 1\n";
const std::string kOpen = kOpening + "< A 1 ack 1\nevent accepted\n";
const std::string kFinWait1 = kOpen + "shutdown\n> FA 1 ack 1\n";
const std::string kFinWait2 = kFinWait1 + "< A 1 ack 2\n";
const std::string kCloseWait = kOpen + "< FA 1 ack 1\n> A 1 ack 2\nevent ended\n";

const std::vector<Place> kPlaces = {
    {"SYN-SENT", "opt ts=0 sack=0\nconnect\n> S 0\n", 1, 1},
    {"SYN-RECEIVED", kOpening, 1, 1},
    {"ESTABLISHED", kOpen, 1, 1},
    {"FIN-WAIT-1", kFinWait1, 1, 2},
    {"FIN-WAIT-2", kFinWait2, 1, 2},
    {"CLOSE-WAIT", kCloseWait, 2, 1},
    {"CLOSING", kFinWait1 + "< FA 1 ack 1\n> A 2 ack 2\nevent ended\n", 2, 2},
    {"LAST-ACK", kCloseWait + "shutdown\n> FA 1 ack 2\n", 2, 2},
    {"TIME-WAIT", kFinWait2 + "< FA 1 ack 2\n> A 2 ack 2\nevent ended\ntimewaits 1\n", 2, 2},
};

// N, N+5, N+900000 and U stand for numbers; ACK for the acknowledgement that N belongs to.
const std::vector<std::pair<std::string, std::string>> kKinds = {
    {"ack", "< A N ack 1"},
    {"ack outside", "< A N+900000 ack 1"},
    {"data", "< PA N:10 ack 1"},
    {"data outside", "< PA N+900000:10 ack 1"},
    {"reset", "< R N"},
    {"reset near", "< R N+5"},
    {"reset outside", "< R N+900000"},
    {"syn", "< S N+5"},
    {"syn outside", "< S N+900000"},
    {"fin", "< FA N ack 1"},
    {"fin outside", "< FA N+900000 ack 1"},
    {"no ack", "< P N:10"},
};

struct Outcome {
  std::string reply;  // a line of the script, or "none"
  std::string state;
};

// What the tables of 3.10.7.4 say for a state in which both SYNs are done.
Outcome synchronized_outcome(const std::string& state, const std::string& kind) {
  static const std::string kTell = "> A U ack N";
  const bool receives = state == "ESTABLISHED" || state == "FIN-WAIT-1" || state == "FIN-WAIT-2";
  const std::map<std::string, std::string> after_fin = {
      {"ESTABLISHED", "CLOSE-WAIT"}, {"FIN-WAIT-1", "CLOSING"}, {"FIN-WAIT-2", "none"}};
  if (kind == "ack" || kind == "reset outside" || kind == "no ack") return {"none", state};
  if (kind == "data") return {receives ? "> A U ack N+10" : "none", state};
  if (kind == "reset") return {"none", "none"};
  if (kind == "fin") return receives ? Outcome{"> A U ack N+1", after_fin.at(state)} : Outcome{kTell, state};
  return {kTell, state};
}

// The states with rules of their own.
const std::map<std::pair<std::string, std::string>, Outcome> kSpecial = {
    {{"SYN-SENT", "ack"}, {"none", "SYN-SENT"}},  // acceptable, but neither SYN nor RST
    {{"SYN-SENT", "ack outside"}, {"none", "SYN-SENT"}},
    {{"SYN-SENT", "data"}, {"none", "SYN-SENT"}},
    {{"SYN-SENT", "data outside"}, {"none", "SYN-SENT"}},
    {{"SYN-SENT", "reset"}, {"none", "SYN-SENT"}},  // without ACK it may be anybody's
    {{"SYN-SENT", "reset near"}, {"none", "SYN-SENT"}},
    {{"SYN-SENT", "reset outside"}, {"none", "SYN-SENT"}},
    {{"SYN-SENT", "syn"}, {"> SA 0 ack N+6", "SYN-RECEIVED"}},
    {{"SYN-SENT", "syn outside"}, {"> SA 0 ack N+900001", "SYN-RECEIVED"}},  // there is no window yet
    {{"SYN-SENT", "fin"}, {"none", "SYN-SENT"}},
    {{"SYN-SENT", "fin outside"}, {"none", "SYN-SENT"}},
    {{"SYN-SENT", "no ack"}, {"none", "SYN-SENT"}},
    {{"SYN-RECEIVED", "ack"}, {"none", "ESTABLISHED"}},
    {{"SYN-RECEIVED", "ack outside"}, {"> A U ack N", "SYN-RECEIVED"}},
    {{"SYN-RECEIVED", "data"}, {"> A U ack N+10", "ESTABLISHED"}},
    {{"SYN-RECEIVED", "data outside"}, {"> A U ack N", "SYN-RECEIVED"}},
    {{"SYN-RECEIVED", "reset"}, {"none", "none"}},
    {{"SYN-RECEIVED", "reset near"}, {"> A U ack N", "SYN-RECEIVED"}},
    {{"SYN-RECEIVED", "reset outside"}, {"none", "SYN-RECEIVED"}},
    {{"SYN-RECEIVED", "syn"}, {"> A U ack N", "SYN-RECEIVED"}},
    {{"SYN-RECEIVED", "syn outside"}, {"> A U ack N", "SYN-RECEIVED"}},
    {{"SYN-RECEIVED", "fin"}, {"> A U ack N+1", "CLOSE-WAIT"}},
    {{"SYN-RECEIVED", "fin outside"}, {"> A U ack N", "SYN-RECEIVED"}},
    {{"SYN-RECEIVED", "no ack"}, {"none", "SYN-RECEIVED"}},
    {{"TIME-WAIT", "ack"}, {"none", "waits"}},
    {{"TIME-WAIT", "ack outside"}, {"> A U ack N", "waits"}},
    {{"TIME-WAIT", "data"}, {"> A U ack N", "waits"}},
    {{"TIME-WAIT", "data outside"}, {"> A U ack N", "waits"}},
    {{"TIME-WAIT", "reset"}, {"none", "gone"}},
    {{"TIME-WAIT", "reset near"}, {"none", "waits"}},
    {{"TIME-WAIT", "reset outside"}, {"none", "waits"}},
    {{"TIME-WAIT", "syn"}, {"> SA 0 ack N+6", "SYN-RECEIVED"}},  // newer: the peer begins anew
    {{"TIME-WAIT", "syn outside"}, {"> SA 0 ack N+900001", "SYN-RECEIVED"}},
    {{"TIME-WAIT", "fin"}, {"> A U ack N", "waits"}},
    {{"TIME-WAIT", "fin outside"}, {"> A U ack N", "waits"}},
    {{"TIME-WAIT", "no ack"}, {"> A U ack N", "waits"}},
};

// Replaces N+number, N and U by their values.
std::string filled_in(const std::string& line, const Place& place) {
  std::string out;
  for (size_t i = 0; i < line.size(); ++i) {
    const bool alone = i == 0 || line[i - 1] == ' ';
    if (alone && line[i] == 'N' && (i + 1 == line.size() || !std::isalpha(line[i + 1]))) {
      int value = place.n;
      if (i + 1 < line.size() && line[i + 1] == '+') {
        size_t digits = 0;
        value += std::stoi(line.substr(i + 2), &digits);
        i += 1 + digits;
      }
      out += std::to_string(value);
    } else if (alone && line[i] == 'U') {
      out += std::to_string(place.u);
    } else {
      out += line[i];
    }
  }
  return out;
}

TEST(TcpStates, EveryStateAgainstEverySegment) {
  size_t cells = 0;
  for (const Place& place : kPlaces) {
    for (const auto& [kind, segment] : kKinds) {
      const auto special = kSpecial.find({place.state, kind});
      const Outcome outcome = special != kSpecial.end() ? special->second : synchronized_outcome(place.state, kind);
      std::string script = place.script + filled_in(segment, place) + "\n" + filled_in(outcome.reply, place) + "\n";
      if (outcome.state == "waits" || outcome.state == "gone") {
        script += std::string("timewaits ") + (outcome.state == "waits" ? "1" : "0") + "\n";
      } else {
        script += "state " + outcome.state + "\n";
      }
      std::istringstream in(script);
      EXPECT_EQ(run_tcp_script(in), "") << place.state << " gets " << kind << ":\n" << script;
      ++cells;
    }
  }
  EXPECT_EQ(cells, 9u * 12u);
}

}  // namespace
}  // namespace penstock::testing
