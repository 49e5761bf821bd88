#include "control/cli/cli.h"

#include "control/cli/bench.h"
#include "control/cli/documents/documents.h"
#include "control/cli/group.h"
#include "control/cli/log.h"
#include "control/cli/machine/check.h"
#include "control/cli/records/consume.h"
#include "control/cli/records/produce.h"
#include "control/cli/topic.h"

namespace penstock::cli {

void add_cli_commands(Command& root, const OpenNic& open_nic) {
  add_topic_command(root);
  add_group_command(root);
  add_produce_command(root);
  add_consume_command(root);
  add_bench_command(root, open_nic);
  add_log_command(root);
  add_check_command(root);
  add_document_commands(root);
}

}  // namespace penstock::cli
