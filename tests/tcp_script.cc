#include "tests/tcp_script.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <vector>

#include "base/bytes.h"
#include "dataplane/net/checksum.h"
#include "dataplane/tcp/core.h"
#include "dataplane/tcp/stack.h"

namespace penstock::testing {
namespace {

using namespace dataplane::tcp;
namespace net = dataplane::net;
using Bytes = std::vector<std::byte>;

constexpr auto kLocal = net::IpAddress::v4(0x0a000001);
constexpr auto kPeer = net::IpAddress::v4(0x0a000002);
constexpr uint16_t kPort = 9092;
// A deadline fires at the next tick of the wheel.
constexpr Nanos kTolerance = 2 * Wheel::kTick;

std::byte pattern(uint32_t at) { return static_cast<std::byte>(at * 151 + (at >> 8) * 7); }

class Heap final : public BufferPool {
 public:
  Buffer make(const Bytes& bytes) {
    auto* memory = new std::byte[bytes.size()];
    std::copy(bytes.begin(), bytes.end(), memory);
    return Buffer(*this, {memory, bytes.size()}, bytes.size());
  }
  void release(std::span<std::byte> memory) override { delete[] memory.data(); }
};

struct Sent {
  Nanos at;
  TcpSegment segment;
  Bytes payload;
};

// The network below: keeps what is sent until the script asks.
class Wire final : public net::IpOutput {
 public:
  bool send(const net::IpAddress&, const net::IpAddress&, std::span<const std::byte> header,
            std::span<const net::TxPiece> pieces, net::TxOwner* owner, uint64_t token, uint32_t) override {
    if (owner != nullptr) owner->release(token);
    if (refuse > 0) return --refuse, false;
    Bytes bytes(header.begin(), header.end());
    for (const auto& piece : pieces) bytes.insert(bytes.end(), piece.bytes.begin(), piece.bytes.end());
    const auto segment = parse(bytes);
    CHECK(segment);
    sent.push_back({now, *segment, Bytes(bytes.begin() + segment->header_bytes, bytes.end())});
    return true;
  }
  size_t mtu(const net::IpAddress&) const override { return mtu_bytes; }
  bool takes_references() const override { return true; }
  bool refers_to(std::span<const std::byte>) const override { return takes_references(); }
  void confirm(const net::IpAddress&) override {}

  Nanos now = 0;
  size_t mtu_bytes = 1500;
  size_t refuse = 0;
  std::deque<Sent> sent;
};

class Lender final : public net::TxOwner {
 public:
  void release(uint64_t token) override { lent.erase(token); }
  std::map<uint64_t, Bytes> lent;
};

struct Peer {
  uint32_t iss = 1'000'000;
  std::optional<uint32_t> stack_iss;
  TcpStream* stream = nullptr;
  uint32_t last_ts = 0;  // TSval of what the stack sent last
  uint32_t written = 0;
  uint32_t read = 0;
};

uint8_t flags_of(const std::string& word) {
  static const std::map<char, uint8_t> kLetters = {{'S', kSyn}, {'F', kFin}, {'R', kRst},
                                                   {'P', kPsh}, {'A', kAck}, {'U', kUrg}};
  uint8_t flags = 0;
  for (const char c : word) flags |= kLetters.contains(c) ? kLetters.at(c) : 0;
  return flags;
}

std::pair<std::string, std::string> halves(const std::string& word, char at) {
  const size_t place = word.find(at);
  if (place == std::string::npos) return {word, "0"};
  return {word.substr(0, place), word.substr(place + 1)};
}

std::vector<std::pair<uint32_t, uint32_t>> ranges_of(const std::string& word) {
  std::vector<std::pair<uint32_t, uint32_t>> ranges;
  std::istringstream in(word);
  for (std::string range; std::getline(in, range, ',');) {
    const auto [begin, end] = halves(range, '-');
    ranges.emplace_back(std::stoul(begin), std::stoul(end));
  }
  return ranges;
}

class Script {
 public:
  std::string run(std::istream& script);

 private:
  using Words = std::deque<std::string>;
  std::string step(Words words);
  std::string obey(const std::string& verb, Words& words);
  std::string act(const std::string& verb, Words& words);
  std::string inspect(const std::string& verb, Words& words);
  std::string option(const std::string& text);
  std::string inject(Words& words, bool burst);
  std::string fields(Words& words, TcpSegment& s, bool& bad, bool& raw);
  std::string expect(Words& words);
  std::string compare(const Sent& sent, Words& words);
  std::string compare_field(const Sent& sent, const std::string& field, Words& words);
  std::string event(Words& words);
  std::string read(size_t n);
  std::string icmp(Words& words);
  size_t write(const std::string& verb, size_t n);
  void start();
  void turn();
  // Until then, or until something is sent if until_sent.
  void advance(Nanos to, bool until_sent);
  Peer& peer() { return peers_[conn_]; }
  Tcb* tcb();
  uint16_t port() const { return static_cast<uint16_t>(40000 + conn_); }
  static uint32_t number(const std::string& word) {
    return static_cast<uint32_t>(std::strtoull(word.c_str(), nullptr, 10));
  }
  static std::string take(Words& words) {
    if (words.empty()) return "";
    std::string word = words.front();
    words.pop_front();
    return word;
  }

  StackOptions options_;
  TcpCounters counters_;
  Wire wire_;
  Heap heap_;
  Lender lender_;
  std::unique_ptr<Stack> stack_;
  Nanos now_ = 1000 * kSecond;
  Nanos wait_ = 0;  // of this line
  uint32_t conn_ = 0;
  uint64_t tokens_ = 0;
  std::map<uint32_t, Peer> peers_;
};

std::string Script::run(std::istream& script) {
  options_.secret = {1, 2};
  options_.receive_buffer_bytes = 65535;
  options_.request_bytes_max = 65535;
  std::string line;
  for (int n = 1; std::getline(script, line); ++n) {
    std::istringstream in(line.substr(0, line.find('#')));
    Words words;
    for (std::string word; in >> word;) words.push_back(word);
    if (words.empty()) continue;
    if (std::string wrong = step(std::move(words)); !wrong.empty()) {
      return "line " + std::to_string(n) + ": " + line + "\n  " + wrong;
    }
  }
  return wire_.sent.empty() ? "" : "the stack has sent more than the script expects";
}

void Script::start() {
  if (stack_) return;
  stack_ = std::make_unique<Stack>(options_, wire_, counters_);
  wire_.now = now_;
  stack_->poll(now_);
}

void Script::turn() {
  wire_.now = now_;
  stack_->poll(now_);
}

// By the timers alone: events wait until the script asks for them.
void Script::advance(Nanos to, bool until_sent) {
  while (!until_sent || wire_.sent.empty()) {
    const Core& core = stack_->core();
    const Nanos next =
        core.events.empty() ? stack_->next_deadline() : std::min(core.wheel.next(), core.time_waits.next());
    if (next > to) break;
    now_ = std::max(now_, next);
    turn();
  }
  if (!until_sent || wire_.sent.empty()) now_ = std::max(now_, to);
}

std::string Script::step(Words words) {
  wait_ = 0;
  bool waits = false;
  if (words.front().starts_with("+")) {
    wait_ = static_cast<Nanos>(std::llround(std::strtod(take(words).c_str() + 1, nullptr) * kMillisecond));
    waits = true;
  }
  const std::string verb = take(words);
  if (verb == "opt") {
    for (const std::string& word : words) {
      if (std::string wrong = option(word); !wrong.empty()) return wrong;
    }
    return "";
  }
  start();
  if (verb == ">") return expect(words);
  if (waits) {
    advance(now_ + wait_, false);
    if (verb != "none" && !wire_.sent.empty()) return "the stack has sent something meanwhile";
    turn();
  }
  std::string wrong = obey(verb, words);
  if (wrong.empty() && !words.empty()) return "not understood: " + words.front();
  return wrong;
}

std::string Script::option(const std::string& text) {
  const std::string name = text.substr(0, text.find('='));
  const auto value = static_cast<uint64_t>(number(text.substr(text.find('=') + 1)));
  const Nanos time = static_cast<Nanos>(value) * kMillisecond;
  const std::map<std::string, std::function<void()>> known = {
      {"ws", [&] { options_.window_scaling = value != 0; }},
      {"sack", [&] { options_.sack = value != 0; }},
      {"ts", [&] { options_.timestamps = value != 0; }},
      {"nagle", [&] { options_.nagle = value != 0; }},
      {"mtu", [&] { wire_.mtu_bytes = value; }},
      {"delack", [&] { options_.delayed_ack = time; }},
      {"msl", [&] { options_.msl = time; }},
      {"keepalive", [&] { options_.keepalive_idle = time; }},
      {"keepalive_interval", [&] { options_.keepalive_interval = time; }},
      {"keepalive_probes", [&] { options_.keepalive_probes = static_cast<uint32_t>(value); }},
      {"user_timeout", [&] { options_.user_timeout = time; }},
      {"connect_timeout", [&] { options_.connect_timeout = time; }},
      {"fin_wait_2", [&] { options_.fin_wait_2 = time; }},
      {"syn_ack_retries", [&] { options_.syn_ack_retries = static_cast<uint32_t>(value); }},
      {"half_open", [&] { options_.half_open_max = value; }},
      {"connections", [&] { options_.connections_max = value; }},
      {"accept_queue", [&] { options_.accept_queue_max = value; }},
      {"time_waits", [&] { options_.time_wait_max = value; }},
      {"receive", [&] { options_.receive_buffer_bytes = value; }},
      {"request", [&] { options_.request_bytes_max = value; }},
      {"pool", [&] { options_.receive_pool_bytes = value; }},
      {"send", [&] { options_.send_buffer_bytes = value; }},
      {"send_memory", [&] { options_.send_memory_bytes = value; }},
      {"regions", [&] { options_.shared_regions_max = value; }},
      {"frames", [&] { options_.frames_flying_max = value; }},
      {"resets", [&] { options_.resets_per_second = static_cast<uint32_t>(value); }},
  };
  const auto found = known.find(name);
  if (found == known.end() || stack_) return "no such option, or too late: " + name;
  found->second();
  return "";
}

std::string Script::obey(const std::string& verb, Words& words) {
  if (verb == "<" || verb == "<<") return inject(words, verb == "<<");
  if (verb == "none") {
    turn();
    return wire_.sent.empty() ? "" : "the stack has sent something";
  }
  if (verb == "listen") return stack_->listen({}, kPort) ? "" : "cannot listen";
  if (verb == "conn") {
    conn_ = number(take(words));
    return "";
  }
  if (verb == "connect") {
    peer().stream = stack_->connect({.local = kLocal, .remote = kPeer, .remote_port = port(), .local_port = kPort});
    return peer().stream != nullptr ? "" : "cannot connect";
  }
  if (verb == "event") return event(words);
  if (verb == "icmp") return icmp(words);
  if (verb == "rxlow" || verb == "rxok") return stack_->receive_pressure(verb == "rxlow"), "";
  if (verb == "refuse") return wire_.refuse = number(take(words)), "";
  if (verb == "iss") return peer().iss = number(take(words)), "";
  std::string wrong = act(verb, words);
  return wrong == "?" ? inspect(verb, words) : wrong;
}

std::string Script::act(const std::string& verb, Words& words) {
  static const std::vector<std::string> kVerbs = {"send",  "more",   "share",    "read",  "want",
                                                  "pause", "resume", "shutdown", "close", "abort"};
  if (std::find(kVerbs.begin(), kVerbs.end(), verb) == kVerbs.end()) return "?";
  TcpStream* stream = peer().stream;
  if (stream == nullptr) return "there is no connection yet";
  if (verb == "send" || verb == "more" || verb == "share") {
    const size_t n = number(take(words));
    const size_t taken = write(verb, n);
    size_t expected = n;
    if (!words.empty() && words.front() == "taken") {
      take(words);
      expected = number(take(words));
    }
    if (taken != expected) return "taken: " + std::to_string(taken);
  } else if (verb == "read") {
    if (std::string wrong = read(number(take(words))); !wrong.empty()) return wrong;
  } else if (verb == "want") {
    stream->want(number(take(words)));
  } else if (verb == "pause" || verb == "resume") {
    stream->pause(verb == "pause");
  } else if (verb == "shutdown") {
    stream->shutdown_send();
  } else if (verb == "close") {
    stream->close();
  } else {
    stream->abort();
  }
  turn();
  return "";
}

size_t Script::write(const std::string& verb, size_t n) {
  Bytes bytes(n);
  for (size_t i = 0; i < n; ++i) bytes[i] = pattern(peer().written + static_cast<uint32_t>(i));
  size_t taken = 0;
  if (verb == "share") {
    const uint64_t token = ++tokens_;
    const Bytes& kept = lender_.lent[token] = std::move(bytes);
    const dataplane::SharedPiece piece{kept, &lender_, token};
    taken = peer().stream->send_shared(std::span(&piece, 1)) * n;
    if (taken == 0) lender_.lent.erase(token);
  } else {
    const std::span<const std::byte> whole = bytes;
    taken = peer().stream->send(std::span(&whole, 1), verb == "more");
  }
  peer().written += static_cast<uint32_t>(taken);
  return taken;
}

std::string Script::read(size_t n) {
  BufferChain& chain = peer().stream->received();
  if (chain.size() < n) return "there are only " + std::to_string(chain.size());
  Bytes bytes(n);
  chain.copy_out(0, bytes);
  for (const std::byte b : bytes) {
    if (b != pattern(peer().read++)) return "byte " + std::to_string(peer().read - 1) + " is wrong";
  }
  peer().stream->consume(n);
  return "";
}

// The connection of the peer's port; one that is over, but that its owner has not closed, does not count.
Tcb* Script::tcb() {
  for (const auto& t : stack_->core().tcbs) {
    if (t->in_use && t->state != State::kClosed && t->flow.remote_port == port()) return t.get();
  }
  return nullptr;
}

std::string Script::inspect(const std::string& verb, Words& words) {
  const std::string wanted = take(words);
  std::string is;
  const Tcb* t = tcb();
  if (verb == "state") {
    is = t == nullptr ? "none" : std::string(to_string(t->state));
  } else if (verb == "timewaits") {
    is = std::to_string(stack_->core().time_waits.size());
  } else if (verb == "lent") {
    is = std::to_string(lender_.lent.size());
  } else if (verb == "have") {
    is = std::to_string(peer().stream->received().size());
  } else if (verb == "buffers") {
    is = std::to_string(peer().stream->received().buffer_count());
  } else if (verb == "count") {
    const std::string value = take(words);
    for (size_t i = 0; i < std::size(kMetrics); ++i) {
      if (kMetrics[i].name != "tcp_" + wanted) continue;
      is = std::to_string(counters_.get(static_cast<Metric>(i)));
      return is == value ? "" : "it is " + is;
    }
    return "no such metric";
  } else if (t == nullptr) {
    return "there is no connection";
  } else if (verb == "cwnd") {
    is = std::to_string(t->cubic.cwnd());
  } else if (verb == "ssthresh") {
    is = std::to_string(t->cubic.ssthresh());
  } else if (verb == "pipe") {
    is = std::to_string(t->board.pipe());
  } else if (verb == "rto") {
    is = std::to_string(t->rtt.rto() / kMillisecond);
  } else {
    return "no such step";
  }
  return is == wanted ? "" : "it is " + is;
}

std::string Script::event(Words& words) {
  static constexpr std::array kNames = {"accepted", "connected", "received", "writable", "ended", "broken"};
  static constexpr std::array kWhy = {"reset", "refused", "timedout"};
  const std::string wanted = take(words);
  const auto event = stack_->next();
  std::string is = "none";
  if (event) {
    is = kNames[static_cast<size_t>(event->kind)];
    if (event->kind == EventKind::kAccepted) {
      conn_ = event->stream->flow().remote_port - 40000u;
      peer().stream = event->stream;
    }
    if (event->kind == EventKind::kBroken && !words.empty()) {
      const std::string why = take(words);
      if (why != kWhy[static_cast<size_t>(event->why)])
        return std::string("why: ") + kWhy[static_cast<size_t>(event->why)];
    }
  }
  return is == wanted ? "" : "it is " + is;
}

std::string Script::icmp(Words& words) {
  const std::string kind = take(words);
  const uint32_t seq = number(take(words));
  net::IcmpError error{.kind = net::IcmpError::Kind::kUnreachable,
                       .source = kLocal,
                       .destination = kPeer,
                       .source_port = kPort,
                       .destination_port = port(),
                       .sequence = peer().stack_iss.value_or(0) + seq,
                       .mtu = words.empty() ? 0 : number(take(words))};
  if (kind == "toobig") error.kind = net::IcmpError::Kind::kPacketTooBig;
  if (kind == "exceeded") error.kind = net::IcmpError::Kind::kTimeExceeded;
  stack_->on_icmp(error);
  turn();
  return "";
}

std::string Script::fields(Words& words, TcpSegment& s, bool& bad, bool& raw) {
  while (!words.empty()) {
    const std::string field = take(words);
    if (field == "ack") {
      s.ack = SeqNumber{number(take(words))};
    } else if (field == "win") {
      s.window = static_cast<uint16_t>(number(take(words)));
    } else if (field == "mss") {
      s.mss = static_cast<uint16_t>(number(take(words)));
    } else if (field == "ws") {
      s.window_scale = static_cast<uint8_t>(number(take(words)));
    } else if (field == "sackok") {
      s.sack_permitted = true;
    } else if (field == "ts") {
      const uint32_t value = number(take(words));
      const std::string echo = take(words);
      s.timestamps = Timestamps{value, number(echo)};
      if (echo.starts_with("echo")) s.timestamps->echo = peer().last_ts - number(halves(echo, '-').second);
    } else if (field == "sack") {
      for (const auto& [begin, end] : ranges_of(take(words))) {
        const uint32_t base = peer().stack_iss.value_or(0);
        s.sacks[s.sack_count++] = {SeqNumber{base + begin}, SeqNumber{base + end}};
      }
    } else if (field == "bad") {
      bad = true;
    } else if (field == "raw") {
      raw = true;
    } else {
      return "no such field: " + field;
    }
  }
  return "";
}

std::string Script::inject(Words& words, bool burst) {
  TcpSegment s;
  s.source_port = port();
  s.destination_port = kPort;
  s.window = 65535;
  s.flags = flags_of(take(words));
  const auto [seq, length] = halves(take(words), ':');
  bool bad = false;
  bool raw = false;
  if (std::string wrong = fields(words, s, bad, raw); !wrong.empty()) return wrong;
  s.seq = SeqNumber{number(seq) + (raw ? 0 : peer().iss)};
  if (s.has(kAck) && !raw) s.ack += peer().stack_iss.value_or(0);
  std::array<std::byte, kHeaderBytesMax> header;
  const size_t n = write_header(s, header);
  Bytes bytes(header.begin(), header.begin() + static_cast<std::ptrdiff_t>(n));
  const uint32_t first = number(seq) + (s.has(kSyn) ? 1 : 0);
  for (uint32_t i = 0; i < number(length); ++i) bytes.push_back(pattern(first - 1 + i));
  net::ChecksumSum sum = net::pseudo_header_sum(kPeer, kLocal, bytes.size());
  sum.add(bytes);
  store_be(bytes.data() + kChecksumAt, static_cast<uint16_t>(sum.finish() ^ (bad ? 1 : 0)));
  stack_->on_packet(
      {.source = kPeer, .destination = kLocal, .segment = heap_.make(bytes), .at = now_, .checksum_good = false});
  wire_.now = now_;
  if (!burst) turn();
  return "";
}

std::string Script::expect(Words& words) {
  const Nanos from = now_;
  if (wire_.sent.empty()) advance(from + wait_ + kTolerance, true);
  if (wire_.sent.empty()) return "nothing was sent";
  const Sent sent = wire_.sent.front();
  wire_.sent.pop_front();
  if (sent.at < from + wait_ || sent.at > from + wait_ + kTolerance) {
    return "sent after " + std::to_string((sent.at - from) / 1000) + " us";
  }
  now_ = std::max(now_, sent.at);
  if (sent.segment.timestamps) peer().last_ts = sent.segment.timestamps->value;
  if (sent.segment.has(kSyn)) peer().stack_iss = sent.segment.seq.value();
  return compare(sent, words);
}

std::string show(const Sent& sent, uint32_t iss, uint32_t peer_iss) {
  const TcpSegment& s = sent.segment;
  std::string text;
  for (const auto& [flag, letter] : std::vector<std::pair<uint8_t, char>>{
           {kSyn, 'S'}, {kFin, 'F'}, {kRst, 'R'}, {kPsh, 'P'}, {kAck, 'A'}, {kUrg, 'U'}}) {
    if (s.has(flag)) text += letter;
  }
  text += " " + std::to_string(s.seq.value() - iss) + ":" + std::to_string(s.payload_bytes);
  if (s.has(kAck)) text += " ack " + std::to_string(s.ack.value() - peer_iss);
  text += " win " + std::to_string(s.window);
  if (s.mss != 0) text += " mss " + std::to_string(s.mss);
  if (s.window_scale) text += " ws " + std::to_string(*s.window_scale);
  if (s.sack_permitted) text += " sackok";
  if (s.timestamps) text += " ts " + std::to_string(s.timestamps->value) + " " + std::to_string(s.timestamps->echo);
  for (size_t i = 0; i < s.sack_count; ++i) {
    text += (i == 0 ? " sack " : ",") + std::to_string(s.sacks[i].begin.value() - peer_iss) + "-" +
            std::to_string(s.sacks[i].end.value() - peer_iss);
  }
  return text;
}

std::string Script::compare(const Sent& sent, Words& words) {
  const TcpSegment& s = sent.segment;
  const std::string is = "it is: " + show(sent, peer().stack_iss.value_or(0), peer().iss);
  uint8_t flags = flags_of(take(words));
  const uint8_t mask = (flags & kPsh) != 0 ? 0xff : static_cast<uint8_t>(~kPsh);
  if ((flags & mask) != (s.flags & mask)) return is;
  const auto [seq, length] = halves(take(words), ':');
  const bool raw = std::find(words.begin(), words.end(), "raw") != words.end();
  if (s.seq.value() != number(seq) + (raw ? 0 : peer().stack_iss.value_or(0))) return is;
  if (s.payload_bytes != number(length)) return is;
  for (uint32_t i = 0; i < sent.payload.size(); ++i) {
    if (sent.payload[i] != pattern(number(seq) - 1 + i)) return "payload is wrong";
  }
  while (!words.empty()) {
    const std::string field = take(words);
    if (field == "raw") continue;
    if (std::string wrong = compare_field(sent, field, words); !wrong.empty()) return wrong + "; " + is;
  }
  return "";
}

std::string Script::compare_field(const Sent& sent, const std::string& field, Words& words) {
  const TcpSegment& s = sent.segment;
  bool same = true;
  if (field == "no") {
    const std::string absent = take(words);
    if (absent == "mss") return s.mss == 0 ? "" : absent;
    if (absent == "ws") return s.window_scale ? absent : "";
    if (absent == "sackok") return s.sack_permitted ? absent : "";
    if (absent == "ts") return s.timestamps ? absent : "";
    if (absent == "sack") return s.sack_count > 0 ? absent : "";
    return "no such field: " + absent;
  }
  if (field == "ack") {
    same = s.ack.value() == number(take(words)) + peer().iss;
  } else if (field == "win") {
    same = s.window == number(take(words));
  } else if (field == "mss") {
    same = s.mss == number(take(words));
  } else if (field == "ws") {
    same = s.window_scale && *s.window_scale == number(take(words));
  } else if (field == "sackok") {
    same = s.sack_permitted;
  } else if (field == "tsecr") {
    same = s.timestamps && s.timestamps->echo == number(take(words));
  } else if (field == "sack") {
    const auto ranges = ranges_of(take(words));
    same = ranges.size() == s.sack_count;
    for (size_t i = 0; same && i < ranges.size(); ++i) {
      same = s.sacks[i].begin.value() == ranges[i].first + peer().iss &&
             s.sacks[i].end.value() == ranges[i].second + peer().iss;
    }
  } else {
    return "no such field: " + field;
  }
  return same ? "" : field;
}

}  // namespace

std::string run_tcp_script(std::istream& script) { return Script().run(script); }

}  // namespace penstock::testing
