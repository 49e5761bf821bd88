// What the log commands print: a line a thing, as text for people or as a JSON object for programs.
#pragma once

#include <cstdint>
#include <string>

#include "control/cli/log_names.h"
#include "storage/api/log_tool.h"

namespace penstock::cli {

// "2026-01-02T03:04:05.678Z"; "-" for none.
std::string time_text(storage::ItemTime time);

class LogPrinter {
 public:
  LogPrinter(const LogNames& names, bool json) : names_(names), json_(json) {}

  void item(const storage::LogItem& item) const;
  void finding(const storage::Finding& finding) const;
  void step(const storage::RepairStep& step, bool dry_run) const;
  void verified(const std::string& folder, const storage::VerifyTotals& totals) const;
  void repaired(const storage::RepairTotals& totals, bool dry_run) const;

 private:
  const LogNames& names_;
  const bool json_;
};

}  // namespace penstock::cli
