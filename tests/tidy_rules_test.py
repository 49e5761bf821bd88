#!/usr/bin/env python3
"""Seeds violations of each tidy rule and expects check_tidy.py's rules to find each, and in a good tree nothing."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'scripts'))
import check_tidy  # noqa: E402
from tidy import functions, headers, life, sources, tree, words  # noqa: E402

UNFINISHED = 'TO' + 'DO'  # spelled so that this file passes its own rule


class Tree(unittest.TestCase):
    """A folder to seed, removed after each test."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.root = pathlib.Path(self.folder.name)

    def tearDown(self):
        self.folder.cleanup()

    def seed(self, path, text='', mode=0o644):
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)
        (self.root / path).chmod(mode)

    def files(self):
        return sources.load(self.root)

    def expect(self, errors, *texts):
        """One error for each text, in any order, and no other."""
        errors = list(errors)
        for text in texts:
            self.assertTrue(any(text in error for error in errors), (text, errors))
        self.assertEqual(len(texts), len(errors), errors)


class Functions(Tree):
    def lengths(self, text):
        return [last - first + 1 for first, last in functions.cpp_functions(text)]

    def test_what_is_a_function(self):
        self.assertEqual([3], self.lengths('int f() {\n  return 1;\n}\n'))
        self.assertEqual([4], self.lengths('template <class T>\nauto f(T x) -> int\n{ if (x) { return 2; }\n}\n'))
        self.assertEqual([2, 1], self.lengths('namespace a::b { class C final : public D {\n public:\n  void f() const '
                                              'override {\n }\n  C() : a_{1}, b_(2) { g(); } }; }\n'))
        self.assertEqual([3], self.lengths('struct alignas(64) S { int a[2] = {1, 2}; S()\n : x_{f(1)}\n {} };'))
        self.assertEqual([2], self.lengths('TEST(A, B) { auto f = [] { return 1; };\n}\n'))
        self.assertEqual([], self.lengths('constexpr auto kTable = std::to_array<Row>({\n{1},\n{2},\n});\n'))
        self.assertEqual([], self.lengths('std::array<int, f(3)> table{\n1,\n2};\nenum class E : uint8_t {\nkA\n};\n'))

    def test_braces_that_are_not_code(self):
        self.assertEqual([3], self.lengths('int f() {  // {\n  g("}", \'{\', R"(}})", 1\'000);\n}\n'))
        both = 'void f() {\n#ifdef A\n  if (a) {\n#else\n  if (b) {\n#endif\n  }\n}\nvoid g() {}\n'
        self.assertEqual([8, 1], self.lengths(both))

    def test_long_ones_are_found(self):
        self.seed('a.cc', 'void f() {\n' + '  g();\n' * 69 + '}\nvoid h() {\n' + '  g();\n' * 68 + '}\n')
        self.seed('b.py', 'def f():\n' + '    pass\n' * 70 + 'def g():\n' + '    pass\n' * 69)
        self.expect(functions.check(self.files()), 'a.cc:1: a function of 71', 'b.py:1: a function of 71')


class Sizes(Tree):
    def test_long_files_long_lines_and_blanks(self):
        self.seed('a.cc', 'x\n' * 601)
        self.seed('b.h', 'x\n' * 600)
        self.seed('c.py', 'y' * 121 + '\n' + 'y' * 120 + '\n')
        self.seed('d.def', 'y \n')
        self.seed('e.md', 'y' * 200 + '\n')
        self.expect(tree.check_sizes(self.files()), 'a.cc: 601 lines', 'c.py:1: 121 columns', 'd.def:1: blanks')


class DeadFiles(Tree):
    def test_what_nothing_uses(self):
        self.seed('base/CMakeLists.txt', 'add_library(base a.cc sub/b.cc)\n')
        self.seed('tests/CMakeLists.txt', 'penstock_test(a_test SOURCES a_test.cc)\n')
        for path in ('base/a.cc', 'base/sub/b.cc', 'base/dead.cc', 'tests/a_test.cc', 'tests/forgotten_test.cc'):
            self.seed(path, '#include "base/used.h"\n#include "base/list.def"\n')
        for path in ('base/used.h', 'base/unused.h', 'base/list.def', 'base/unused.def'):
            self.seed(path)
        self.seed('scripts/used.py', 'import helper\n')
        self.seed('scripts/helper.py')
        self.seed('scripts/unused.sh', '# used.py\n')
        self.expect(tree.check_dead_files(self.files()), 'base/dead.cc: a dead file', 'base/unused.h',
                    'base/unused.def', 'tests/forgotten_test.cc: a test that is not built',
                    'scripts/unused.sh: a dead file')


class TopOfFiles(Tree):
    def test_each_file_says_what_it_is(self):
        self.seed('a.h', '// What it is.\n#pragma once\n')
        self.seed('a.cc', '#include "a.h"\n')  # its header says it
        self.seed('b.h', '#pragma once\n')
        self.seed('c.h', '// What it is.\n')
        self.seed('d.cc', 'int x;\n')
        self.seed('e.py', 'import sys\n')
        self.seed('f.sh', '#!/bin/sh\necho\n')
        self.expect(tree.check_headers_of_files(self.files()), 'b.h:1: no comment', 'c.h: no #pragma once', 'd.cc:1:',
                    'e.py:1:', 'f.sh:1:')


class Scripts(Tree):
    def test_syntax_and_mode(self):
        self.seed('a', '#!/usr/bin/env bash\n# fine\n', 0o755)
        self.seed('b', '#!/usr/bin/env bash\n# fine\n')
        self.seed('c.sh', 'if true\n')
        self.expect(tree.check_scripts(self.root, self.files()), 'b: begins with #!', 'c.sh:')


class Pages(Tree):
    def test_links(self):
        self.seed('docs/a.md', '[b](b.md) [c](missing.md) [d](https://example.org/x) [e](../x.cc#L1) [f](#here)\n')
        self.seed('docs/b.md')
        self.seed('x.cc')
        self.expect(tree.check_links(self.root, self.files()), 'docs/a.md:1: the link to missing.md')

    def test_decisions(self):
        self.seed('docs/adr/0001-one.md', '# 0001 One\n')
        self.seed('docs/adr/0001-two.md', '# 0001 Two\n')
        self.seed('docs/adr/0003-three.md', '# Three\n')
        self.seed('docs/adr/four.md', '# Four\n')
        self.expect(tree.check_adrs(self.files()), '0001-two.md: docs/adr/0001-one.md has', '0003-three.md:1',
                    'four.md:')

    def test_changelog(self):
        good = '# Changelog\n\nIntroduction.\n\n## Unreleased\n\n### Added\n\n- A thing\n  that goes on.\n\n' \
               '## 1.10.0 - 2025-02-03\n\n### Fixed\n\n- B.\n\n## 1.9.0 - 2025-01-02\n'
        self.seed('CHANGELOG.md', good)
        self.expect(tree.check_changelog(self.files()))
        self.seed('CHANGELOG.md', '# Changes\n## 1.0.0\n## 1.0.0 - 2025-01-01\n- early\n### Hacks\nprose\n'
                                  '## 1.1.0 - 2025-01-02\n## Unreleased\n')
        self.expect(tree.check_changelog(self.files()), ':1: begins', ':2: a release is', ':4: a change stands',
                    ':5: Hacks is none', ':6: a change is one', ':7: the newest', ':8: a release is')


class Words(Tree):
    def test_unfinished_marks_anywhere(self):
        self.seed('docs/a.md', f'a\n{UNFINISHED}: b\n')
        self.seed('b.cc', f'// {UNFINISHED}(me)\n// {UNFINISHED}S is another word\n')
        self.expect(words.check(self.files()), 'docs/a.md:2', 'b.cc:1')

    def test_bans_and_where_they_end(self):
        bad = {
            'std::random_device r;': 'tests/a.cc',
            'int x = rand();': 'bench/a.cc',
            'std::mutex m;': 'storage/a.h',
            'std::atomic<int> n;': 'dataplane/a.h',
            'long t = time(nullptr);': 'tests/b.cc',
            'clock_gettime(CLOCK_REALTIME, &t);': 'base/clock2.h',
            'auto t = std::chrono::steady_clock::now();': 'protocol/a.cc',
            'usleep(10);': 'storage/b.cc',
            'TEST(A, DISABLED_B) {}': 'tests/c.cc',
            'EXPECT_TRUE(true);': 'tests/d.cc',
        }
        for line, path in bad.items():
            self.seed(path, line + '\n')
        good = {
            'base/ring.h': 'std::atomic<int> n;', 'control/a.cc': 'std::mutex m; clock_gettime(CLOCK_REALTIME, &t);',
            'base/system_clock.h': 'clock_gettime(id, &now);', 'tests/e.cc': '// rand() and std::mutex in a comment',
            'tests/f.cc': 'log("std::random_device"); clock.time(0); this->time(0); operand(1); timeout(0);',
            'tests/g.cc': 'GTEST_SKIP() << "says why";',
        }
        for path, line in good.items():
            self.seed(path, line + '\n')
        self.expect(words.check(self.files()), *(path + ':1' for path in bad.values()))


class Life(Tree):
    def test_steps_and_tags(self):
        self.seed('a.cc', '// life: 1\n')
        self.expect(life.check(self.files()))  # no page yet: no rule yet
        self.seed(life.PAGE, '| Step | What |\n| --- | --- |\n| 1 | a |\n| 2 | b |\n| 3 | c |\n| 3 | d |\n')
        self.seed('b.cc', 'x();  // life: 2\n// Why (life: 1).\n// life: 9\n')
        self.seed('tests/c.cc', '// life: 3\n')
        self.expect(life.check(self.files()), 'step 3 is on line', 'life: 1 stands at', 'life: 9 is no step',
                    'no line of code is tagged "// life: 3"')


class Headers(Tree):
    def check(self):
        return list(headers.check(self.root, self.root / 'build', self.files()))

    def test_a_header_stands_alone_and_is_compiled_again_when_what_it_reads_changes(self):
        self.seed('base/a.cc', '// What it is.\n#include "base/first.h"\n#include "base/bad.h"\n')
        self.seed('base/first.h', 'no code, but the build of a.cc would have said so\n')
        self.seed('base/good.h', '#include <cstdint>\n#include "gen/made.h"\ninline uint8_t x = kMade;\n')
        self.seed('base/bad.h', 'inline std::vector<int> v;\n')
        self.seed('base/sub/c.h', '#include "base/good.h"\n')
        self.seed('build/gen/made.h', 'constexpr int kMade = 1;\n')
        compiler = shutil.which('c++') or 'g++'
        self.seed('build/compile_commands.json', json.dumps([{
            'directory': str(self.root / 'build'), 'file': str(self.root / 'base/a.cc'),
            'command': f'{compiler} -std=c++20 -I{self.root}/build -o a.o -c {self.root}/base/a.cc'}]))
        self.expect(self.check(), 'base/bad.h: does not compile alone')
        self.seed('base/bad.h', '#include <vector>\ninline std::vector<int> v;\n')
        self.expect(self.check())
        self.seed('build/gen/made.h', '')  # a generated header changes: both that read it are compiled again
        self.expect(self.check(), 'base/good.h: does not', 'base/sub/c.h: does not')

    def test_without_a_build_it_says_so(self):
        self.seed('base/a.h')
        self.expect(self.check(), 'build first')


class Format(Tree):
    def check(self, path):
        program = pathlib.Path(check_tidy.__file__)
        return subprocess.run([sys.executable, '-B', program, '--root', self.root, 'format'], capture_output=True,
                              text=True, env=os.environ | {'PATH': path})

    @unittest.skipUnless(shutil.which(check_tidy.FORMATTER), 'tidy.format says so')
    def test_what_is_not_formatted_is_named(self):
        self.seed('.clang-format', 'BasedOnStyle: Google\n')
        self.seed('a.cc', 'int   x ;\n')
        self.seed('b.cc', 'int x;\n')
        self.expect(check_tidy.check_format(self.root, self.files()), 'a.cc: not formatted')
        done = self.check(os.environ['PATH'])
        self.assertEqual(done.returncode, 1, done)

    def test_the_lack_of_the_formatter_is_no_success(self):
        self.seed('a.cc', 'int x;\n')
        done = self.check('/nowhere')
        self.assertEqual(done.returncode, check_tidy.SKIP_STATUS, done)
        self.assertIn('scripts/setup', done.stdout)

    def test_stale_generated_pages_are_named(self):
        self.expect(check_tidy.check_generated_docs(self.root))
        self.seed('scripts/gen_docs.py', 'import sys\nprint("docs/x.md is stale")\nsys.exit("--check" in sys.argv)\n')
        self.expect(check_tidy.check_generated_docs(self.root), 'docs/x.md is stale')


if __name__ == '__main__':
    os.environ.setdefault('LC_ALL', 'C')
    unittest.main()
