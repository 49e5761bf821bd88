"""What every test here is run by: arguments, a work folder that goes away, brokers that end, a line a test.

    run = check.Run()
    broker = run.broker()
    run.tests(broker, test_this, test_that)
    run.finish()
"""
import argparse
import os
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

import broker as broker_module


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def equal(got, wanted, what):
    if got != wanted:
        raise AssertionError(f'{what}: got {short(got)}, wanted {short(wanted)}')


def short(value, size=400):
    text = repr(value)
    return text if len(text) <= size else text[:size] + '...'


def within(got, low, high, what):
    expect(low <= got <= high, f'{what}: {got} is not in {low} .. {high}')


class Skipped(Exception):
    """What a test raises that cannot run here."""


SKIP_STATUS = 77  # tests/compat/CMakeLists.txt: ctest reports it as skipped


def skip_all(why):
    print(f'skipped: {why}', flush=True)
    sys.exit(SKIP_STATUS)


class Run:
    def __init__(self):
        parser = argparse.ArgumentParser()
        parser.add_argument('--build', type=pathlib.Path, required=True, help='the build folder with the program')
        parser.add_argument('--only', default='', help='run only tests whose names contain this')
        parser.add_argument('--keep', action='store_true', help='keep data folders and logs')
        args = parser.parse_args()
        self.build, self.only, self.keep = args.build.resolve(), args.only, args.keep
        self.full = os.environ.get('PENSTOCK_FULL', '') not in ('', '0')
        self.program = self.build / 'penstock'
        self.brokers, self.passed, self.failed, self.skipped = [], 0, [], []
        expect(self.program.exists(), f'{self.program} is not there: build it first')
        place = self.build / 'compat'
        place.mkdir(exist_ok=True)
        remove_abandoned(place)
        name = pathlib.Path(sys.argv[0]).stem
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f'{name}-{os.getpid()}-', dir=place))

    def broker(self, settings=None, start=True, **options):
        folder = self.folder / f'broker-{len(self.brokers)}'
        folder.mkdir()
        made = broker_module.Broker(self.program, folder, settings, **options)
        self.brokers.append(made)
        return made.start() if start else made

    def tests(self, argument, *functions):
        """Each function is called with the argument; a failed one does not stop the others."""
        for function in functions:
            name = function.__name__.removeprefix('test_')
            if self.only in name:
                self.test(name, function, argument)

    def test(self, name, function, *arguments):
        started, had = time.monotonic(), len(self.brokers)
        try:
            said = function(*arguments)
        except Skipped as why:
            print(f'skip {name}: {why}', flush=True)
            self.skipped.append(str(why))
            return
        except Exception:  # pylint: disable=broad-except
            print(f'FAIL {name}\n{traceback.format_exc()}', flush=True)
            self.failed.append(name)
            for broker in self.brokers[had:]:  # or it answers for the next one's, where an address is a device's
                broker.kill()
            return
        self.passed += 1
        print(f'ok   {name} ({time.monotonic() - started:.1f} s){": " + said if said else ""}', flush=True)

    def finish(self):
        for broker in self.brokers:
            if self.failed and broker.log.exists():
                print(f'-- {broker.log}:\n{broker.last_words()}')
            broker.kill()
        if not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        print(f'{self.passed} passed, {len(self.failed)} failed {" ".join(self.failed)}')
        if self.skipped and not self.failed:  # also one of many: ctest would hide it behind those that passed
            skip_all('; '.join(self.skipped))
        sys.exit(bool(self.failed) or self.passed == 0)


def remove_abandoned(place):
    """Folders of runs that were killed."""
    for folder in place.iterdir():
        words = folder.name.rsplit('-', 2)
        if len(words) == 3 and words[1].isdigit() and not pathlib.Path('/proc', words[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)
