// penstock check: looks at the machine and says what to change.
#pragma once

namespace penstock::cli {

class Command;

void add_check_command(Command& root);

}  // namespace penstock::cli
