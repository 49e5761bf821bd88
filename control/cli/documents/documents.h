// penstock completion and penstock man: what the command line says of itself.
#pragma once

namespace penstock::cli {

class Command;

// root: the whole command line, as it is when they run.
void add_document_commands(Command& root);

}  // namespace penstock::cli
