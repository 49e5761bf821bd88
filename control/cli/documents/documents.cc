#include "control/cli/documents/documents.h"

#include <memory>
#include <string>

#include "control/cli/command.h"
#include "control/cli/command_line.h"
#include "control/cli/documents/completion.h"
#include "control/cli/documents/man_page.h"

namespace penstock::cli {

void add_document_commands(Command& root) {
  using Make = std::string (*)(const Command&);
  Command& completion = root.command("completion", "print a script that makes a shell complete penstock's words");
  const auto make = std::make_shared<Make>();
  completion
      .choice<Make>("shell", *make, {{"bash", bash_completion}, {"zsh", zsh_completion}, {"fish", fish_completion}},
                    "which shell")
      .required();
  completion.describe(
      "  source <(penstock completion bash)\n"
      "  penstock completion zsh > \"${fpath[1]}/_penstock\"\n"
      "  penstock completion fish > ~/.config/fish/completions/penstock.fish");
  completion.action([make, &root] { write_output("-", (*make)(root)); });

  Command& man = root.command("man", "print the manual page");
  man.describe("  penstock man | man -l -\n  penstock man > /usr/local/share/man/man1/penstock.1");
  man.action([&root] { write_output("-", man_page(root, PENSTOCK_VERSION)); });
}

}  // namespace penstock::cli
