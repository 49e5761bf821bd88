#!/usr/bin/env python3
"""Do the simulator's seeds find what they are there for? Breaks the store in one place at a time, in a copy of the
sources, and runs the store's simulated tests until one fails. A mutant that survives ends this with 1.

    tests/mutants.py [--seeds N] [NAME ...]
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
COPY = ROOT / 'build' / 'mutants'
PROGRAMS = ['store_segments_test', 'store_fault_test', 'store_damage_test', 'store_scrub_test', 'store_ends_test',
            'store_lives_test', 'compact_batch_test', 'store_compact_test', 'store_crash_points_test', 'store_sim_test']

# name: (file, what stands there, what the mutant has)
MUTANTS = {
    'what a compaction replaced is deleted before the slot that names the new is durable': (
        'storage/log/compactor.cc', '  log.swap_slot = tell_.swapped(log);\n',
        '  log.swap_slot = tell_.swapped(log);\n'
        '  for (const SegmentId old : news.replaced) {\n'
        '    FileOp* op = new FileOp;\n'
        '    op->kind = FileOp::Kind::kUnlink;\n'
        '    op->path = segment_path(shard_.folder, log.id, old);\n'
        '    op->on_done = [](FileOp& done) { delete &done; };\n'
        '    shard_.submit(*op);\n'
        '  }\n'),
    'a cleaned segment is named before it is durable': (
        'storage/compact/segment_output.cc', '  TRY_VOID(run_to_end(disk_, flush));\n  disk_.close(file_);',
        '  disk_.close(file_);'),
    'a cleaned segment is named before its name is durable': (
        'storage/compact/segment_output.cc', '  TRY_VOID(disk_.sync_dir(log_path(folder_, log_)));\n', ''),
    'a swap is not told to the slot': (
        'storage/log/checkpointer.cc', 's.first_timestamp, s.revision});', 's.first_timestamp, 0});'),
    'a truncation does not wait for the slot of a swap': (
        'storage/store.cc', 'log.swap_slot > slots_durable;', 'false;'),
    'answers that were begun are read on from the cleaned segment': (
        'storage/store_read.cc', 'const Segment* segment = log.find_file({cursor.segment, cursor.revision});',
        'const Segment* segment = log.find_segment(cursor.segment);'),
    'a tombstone goes at once': (
        'storage/compact/batch_cleaner.cc', 'return record.value.has_value() || !horizon || rules.now_ms < *horizon;',
        'return record.value.has_value();'),
    'the last batch of a producer is not kept': (
        'storage/compact/batch_cleaner.cc',
        'return producer != rules.producers.end() && producer->second == batch.last_offset();', 'return false;'),
    'records that the map does not reach are cleaned too': (
        'storage/compact/batch_cleaner.cc', '  if (offset >= rules.covered) return true;\n', ''),
    'a block is written again before its head is in the ring': (
        'storage/log/destager.cc', 'shard_.ring->durable() >= job.relog_end) write(job)',
        'job.relog_end > Lsn{0}) write(job)'),
    'ring space is reused before the state slot is durable': (
        'storage/log/checkpointer.cc', '  slot_ = encoder_.finish(next_);\n',
        '  slot_ = encoder_.finish(next_);\n  shard_.ring->advance_tail(next_.tail);\n'),
    'a file is cut before its truncation is durable': (
        'storage/log/destager.cc', ' || log.truncated_at > shard_.ring->durable()) return false;\n  if (log.written',
        ') return false;\n  if (log.written'),
    'a stop that gives up goes on writing': ('storage/store.cc', '    destager.halt();', '    //'),
    'the first zeros of an offset are damage': (
        'storage/log/index_loader.cc', '(stop == ScanStop::kZeros && few)', '(few && false)'),
    'a batch keeps the greatest time that its producer said': (
        'storage/store_append.cc', 'times.greatest != batch.max_timestamp() &&', 'false &&'),
    'a batch is durable when its frame is sent': (
        'storage/ring/ring_writer.cc', '  in_flight_ = frame;\n', '  in_flight_ = frame;\n  durable_ = frame.end;\n'),
    'segments are not flushed before the slot that names them': (
        'storage/log/checkpointer.cc', 'if (changed.empty() && !shard_.names_changed) return begin_slot();',
        'changed.clear(); if (changed.empty()) return begin_slot();'),
    'a failed ring write passes for a good one': (
        'storage/ring/ring_writer.cc', 'if (op.result != static_cast<int64_t>(op.memory.size())) {',
        'if (op.result == INT64_MAX) {'),
    'a failed flush of segments passes for a good one': (
        'storage/log/checkpointer.cc', 'if (result < 0) shard_.poison("flushing the segments", result);',
        'static_cast<void>(result);'),
    'replay takes entries that the slot has': (
        'storage/store_replay.cc', 'found.at < from->second && found.generation <= state_.generation) return;',
        'found.at < Lsn{0}) return;'),
    'a log of a slot that was never issued passes for a deleted one': (
        'storage/store_replay.cc', '        never_issued_logs_ += 1;', '        never_issued_logs_ += 0;'),
    'a log that lives in another ring passes for a deleted one': (
        'storage/store_replay.cc', '        elsewhere_logs_ += 1;', '        elsewhere_logs_ += 0;'),
    'segments of a log that was never issued are nobody\'s': (
        'storage/store_open.cc', 'if (!log || *log < request_.next_log_id) continue;',
        'if (!log || *log >= LogId{0}) continue;'),
    'a whole set of another ring\'s files passes for this one\'s': (
        'storage/ring/recovery.cc', 'if (found.ring_id != known.ring_id) return', 'if (false) return'),
    'a whole set of a ring\'s earlier files passes for its last': (
        'storage/ring/recovery.cc', 'if (found.generation < known.generation) return', 'if (false) return'),
    'a ring of another folder passes for a torn tail': (
        'storage/ring/recovery.cc', 'if (is_foreign_here()) here_ = Here::kForeign;', ''),
    'a truncation is not replayed': (
        'storage/store_replay.cc', 'case EntryKind::kTruncate: return replay_truncate(*log, payload);',
        'case EntryKind::kTruncate: return;'),
    'a repeat is answered before what it repeats is durable': (
        'storage/store_append.cc', 'return {AppendStatus::kDuplicate, check.repeated->base_offset, '
        'log.log_start_offset, check.repeated->end};',
        'return {AppendStatus::kDuplicate, check.repeated->base_offset, log.log_start_offset, Lsn{0}};'),
    'the slot remembers producers ahead of the segments': (
        'storage/log/checkpointer.cc', '  written.truncate_from(log.written);\n', ''),
    'the slot has epochs of what only the ring holds': (
        'storage/log/checkpointer.cc', 'log.epochs.snapshot(log.written)', 'log.epochs.snapshot(log.log_end_offset)'),
    'a truncation leaves the producers as they are': (
        'storage/log/truncator.cc', '  log.producers.truncate_from(end);\n', ''),
    'a truncation leaves the index of its block as it is': (
        'storage/log/truncator.cc', 'crc32c(0, tail), crc32c(0, head));', 'crc32c(0, tail), crc32c(0, tail));'),
    'bytes of a segment are served unchecked': (
        'storage/log/cold_cache.cc',
        '    if (to <= got && block.sums.hold(i, from, block.room.subspan(from - start, to - from)))',
        '    if (to <= got)'),
    'what is known to be bad is promised': (
        'storage/log/cold_reader.cc',
        'return std::min({segment.bytes, bad_from(first.position), ', 'return std::min({segment.bytes, '),
    'the scrubber stands still at what it finds': (
        'storage/log/scrubber.cc', '  position_ = end;  // whatever',
        '  if (bad.none()) position_ = end;  // whatever'),
    'a bad batch is passed over in silence': (
        'storage/log/cold_reader.cc', 'if (std::exchange(behind_hole, false) && batch.base_offset() > from)',
        'if (std::exchange(behind_hole, false) && batch.base_offset() < Offset{0})'),
    'a sidecar vouches for a damaged segment': (
        'storage/log/index_loader.cc',
        '  if (task.holes.empty()) {\n    if (rebuilt_) rebuilt_(log, id, *task.begun);\n',
        '  if (rebuilt_) rebuilt_(log, id, *task.begun);\n  if (task.holes.empty()) {\n'),
    'a time that may be that of a lost record is answered': (
        'storage/log/cold_reader.cc', 'if (segment.holes.may_have_had(', 'if (false && segment.holes.may_have_had('),
    'a segment without its file is the end of it': (
        'storage/log/damage.cc',
        '  tell_unopened(shard, log, *segment, file.error());\n  return fail(Errc::kCorrupt);\n', '  return file;\n'),
    'retention takes what is neither old nor too much': (
        'storage/log/trimmer.cc', 'if (!old && !over) break;', 'if (!old && !over && i > 0) break;'),
}


def run(command, **more):
    return subprocess.run(command, cwd=COPY, text=True, capture_output=True, **more)


def build():
    done = run(['cmake', '--build', 'build/sim', '--target', *PROGRAMS])
    return '' if done.returncode == 0 else done.stdout[-3000:]


def caught_by(seeds):
    """The first test that failed and what it said; None if all passed."""
    env = {**os.environ, 'PENSTOCK_SIM_SEEDS': str(seeds)}
    for program in PROGRAMS:
        try:
            done = run([f'build/sim/tests/{program}', '--gtest_fail_fast', '--gtest_brief=1'], env=env, timeout=1800)
        except subprocess.TimeoutExpired:
            return program, 'it never ended'
        if done.returncode != 0:
            text = done.stdout + done.stderr
            case = re.search(r'\[  FAILED  \] (\S+)', text)
            seed = re.search(r'scripts/dev sim (\d+)', text)
            how = f'seed {seed[1]}' if seed else ''
            return (case[1] if case else f'{program} stopped: {text.strip().splitlines()[-1][:120]}'), how
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seeds', type=int, default=300)
    parser.add_argument('names', nargs='*', help='parts of the names of those to run')
    arguments = parser.parse_args()
    chosen = [name for name in MUTANTS if not arguments.names or any(part in name for part in arguments.names)]

    for file, old, _ in MUTANTS.values():
        if (ROOT / file).read_text().count(old) != 1:
            sys.exit(f'mutants: {file} does not hold {old!r} exactly once; mend the list in tests/mutants.py')

    files = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, check=True, capture_output=True).stdout
    for name in filter(None, files.decode().split('\0')):
        target = COPY / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file() and (not target.exists() or target.read_bytes() != (ROOT / name).read_bytes()):
            shutil.copyfile(ROOT / name, target)  # a new time: an older one would not be built
            shutil.copymode(ROOT / name, target)
    # What a mutant does not use any more is no error.
    unused = ('variable', 'but-set-variable', 'parameter')
    flags = ' '.join(f'-Wno-error=unused-{what}' for what in unused)
    run(['cmake', '--preset', 'sim', f'-DCMAKE_CXX_FLAGS={flags}'], check=True)
    if wrong := build():
        sys.exit(f'mutants: the sources themselves do not build:\n{wrong}')
    if caught := caught_by(arguments.seeds):
        sys.exit(f'mutants: the sources themselves fail {caught[0]} {caught[1]}')

    survived = 0
    for name in chosen:
        file, old, new = MUTANTS[name]
        source = (ROOT / file).read_text()
        began = time.monotonic()
        (COPY / file).write_text(source.replace(old, new))
        try:
            if wrong := build():
                sys.exit(f'mutants: "{name}" does not build:\n{wrong}')
            caught = caught_by(arguments.seeds)
        finally:
            (COPY / file).write_text(source)
        survived += caught is None
        verdict = 'SURVIVED' if caught is None else f'caught by {caught[0]} {caught[1]}'.rstrip()
        print(f'{name}: {verdict} ({time.monotonic() - began:.0f} s)', flush=True)
    print(f'{len(chosen) - survived} mutants caught, {survived} survived')
    sys.exit(1 if survived else 0)


if __name__ == '__main__':
    main()
