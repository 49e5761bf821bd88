"""Words and calls that may not stand in the tree, each with the place where it may and with what to use instead."""
import re

from tidy.sources import CPP, without_comments

PRODUCT = ('protocol', 'storage', 'dataplane')


class Ban:
    """pattern may not occur in C++ code, except in files for which allowed(file) is true."""

    def __init__(self, pattern, instead, allowed=lambda file: False):
        self.pattern = re.compile(pattern)
        self.instead = instead
        self.allowed = allowed


BANS = [
    Ban(r'\brandom_device\b|\bmt19937|\bs?rand\s*\(|\bgetrandom\s*\(', 'randomness comes from base/prng.h and a seed',
        lambda file: file.under('control')),
    Ban(r'\bstd::(recursive_|shared_|timed_)?mutex\b|\bstd::atomic\b|\bstd::(lock_guard|unique_lock|scoped_lock)\b',
        'lcores share nothing: talk through base/ring.h, count in base/counters.h',
        lambda file: not file.under(*PRODUCT)),
    Ban(r'(?<![\w.>:])time\s*\(\s*(nullptr|NULL|0|&)|\bclock_gettime\s*\(|\bgettimeofday\s*\('
        r'|\bstd::chrono::\w+_clock\b|_clock::now\b',
        'the time comes from the Clock seam (base/clock.h)',
        lambda file: file.under('control', 'bench') or file.path == 'base/system_clock.h'),
    Ban(r'\b(std::this_thread::sleep_(for|until)|u?sleep|nanosleep)\s*\(', 'nothing on an lcore blocks',
        lambda file: not file.under(*PRODUCT)),
    Ban(r'\bDISABLED_|\bGTEST_SKIP\s*\(\s*\)\s*;|\b(EXPECT|ASSERT)_TRUE\(true\)', 'a test that is off tests nothing'),
]

UNFINISHED = re.compile(r'\b(' + '|'.join(('TO' 'DO', 'FIX' 'ME', 'XX' 'X', 'HA' 'CK')) + r')\b')


def check(files):
    for file in files:
        for number, line in enumerate(file.lines, 1):
            if UNFINISHED.search(line):
                yield f'{file.path}:{number}: unfinished: finish it, or open an issue'
        if file.suffix in CPP:
            yield from check_bans(file)


def check_bans(file):
    bans = [ban for ban in BANS if not ban.allowed(file)]
    for number, line in enumerate(without_comments(file.text).split('\n'), 1):
        for ban in bans:
            found = ban.pattern.search(line)
            if found:
                yield f'{file.path}:{number}: {found.group().strip()}: {ban.instead}'
