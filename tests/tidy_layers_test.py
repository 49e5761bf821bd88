#!/usr/bin/env python3
"""Seeds a tree with one layering violation of each kind and expects check_layers.py to name each, and nothing else."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / 'scripts'))
import check_layers  # noqa: E402

TABLE = '''
base        :                 # stands on nothing
storage/api : base
storage     : base storage/api
dataplane   : base storage/api dataplane/x.h
dataplane/x.h : base
main.cc     : *
tests       : *
only storage  liburing.h isa-l/
only tests    gtest/
system unistd.h sys/
'''


def errors_in(tree, table=TABLE):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path, text in {'docs/layers.txt': table, **tree}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return list(check_layers.check(root))


class Layers(unittest.TestCase):
    def test_a_tree_in_order_has_no_errors(self):
        self.assertEqual([], errors_in({
            'base/a.h': '#include <vector>\n#include <sys/uio.h>\n',
            'storage/api/b.h': '#include "base/a.h"\n',
            'storage/ring/c.cc': '#include "storage/api/b.h"\n#include <liburing.h>\n#include <isa-l/crc.h>\n',
            'dataplane/d.cc': '#include "storage/api/b.h"\n  #  include "dataplane/x.h"\n',
            'main.cc': '#include "storage/ring/c.h"\n',
            'tests/e_test.cc': '#include <gtest/gtest.h>\n#include "storage/ring/c.h"\n',
            'build/gen.h': '#include "nowhere.h"\n',
        }))

    def test_each_violation_is_named(self):
        seeded = {
            'base/up.h': ('#include "storage/api/b.h"', 'base may not include'),
            'storage/up.h': ('#include "dataplane/d.h"', 'storage may not include'),
            'dataplane/inside.h': ('#include "storage/ring/c.h"', 'dataplane may not include'),
            'dataplane/x.h': ('#include "storage/api/b.h"', 'dataplane/x.h may not include'),
            'dataplane/leak.h': ('#include <liburing.h>', 'belongs to storage only'),
            'base/leak.cc': ('#include <isa-l/crc.h>', 'belongs to storage only'),
            'storage/test.h': ('#include <gtest/gtest.h>', 'belongs to tests only'),
            'base/vendor.h': ('#include <unknown/library.h>', 'has no home'),
            'base/nobody.h': ('#include "elsewhere/a.h"', 'is in no layer'),
            'stray/a.h': ('', 'is in no layer'),
            'base/list.def': ('#include "dataplane/d.h"', 'base may not include'),
        }
        found = errors_in({path: f'// a file\n{line}\n' for path, (line, _) in seeded.items()})
        self.assertEqual(len(seeded), len(found), found)
        for path, (_, text) in seeded.items():
            self.assertTrue(any(line.startswith(path + ':') and text in line for line in found), (path, found))

    def test_the_table_itself_is_checked(self):
        for line, text in (('a : b\nb : a', 'a cycle among a b'), ('a : nobody', 'nobody is not a layer'),
                           ('a : b\nb :\nb : a', 'a cycle'),
                           ('a b c', 'cannot read'), ('only nobody x.h', 'not a layer')):
            self.assertTrue(any(text in error for error in errors_in({}, line + '\n')), text)


if __name__ == '__main__':
    unittest.main()
