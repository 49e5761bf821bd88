"""Every header compiles alone. What a source includes first, the build itself has compiled so; the others are compiled
here, with the flags of the nearest source in compile_commands.json, so that generated headers are found. A header whose
text, includes and flags did not change since it last passed is not compiled again."""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import tempfile


def flags_of_sources(root, build):
    """{path of a source: compiler and flags}."""
    commands = {}
    for entry in json.loads((build / 'compile_commands.json').read_text()):
        source = pathlib.Path(entry['directory'], entry['file'])
        if not source.is_relative_to(root) or source.is_relative_to(build):
            continue
        words = shlex.split(entry['command'])
        if words[0].endswith('ccache'):
            words = words[1:]
        if '-o' in words:
            del words[words.index('-o'):words.index('-o') + 2]
        words = [word for word in words if word != '-c' and word != entry['file']]
        commands[source.relative_to(root).as_posix()] = words
    return commands


def flags_for(header, commands, files, build):
    """Those of a source that includes the header; else of the nearest folder's source that sees most of what is
    generated."""
    for file in files:
        if file.path in commands and f'#include "{header}"' in file.text:
            return commands[file.path]
    for folder in pathlib.PurePath(header).parents:
        near = [words for path, words in commands.items() if pathlib.PurePath(path).is_relative_to(folder)]
        if near:
            return max(near, key=lambda words: sum(word.startswith(f'-I{build}') for word in words))
    return None


def built_first(files):
    """Headers that some source includes before anything else."""
    for file in files:
        found = re.search(r'^\s*#\s*include\s+([<"][^>"]+)', file.text, re.M) if file.suffix == '.cc' else None
        if found:
            yield found.group(1)[1:]


def key_of(words, paths):
    digest = hashlib.sha256('\0'.join(words).encode())
    for path in paths:
        try:
            digest.update(pathlib.Path(path).read_bytes())
        except OSError:
            return None
    return digest.hexdigest()


def compile_alone(root, header, words):
    """(error text or None, the files that it read)."""
    with tempfile.TemporaryDirectory() as folder:
        deps, probe = pathlib.Path(folder, 'deps'), pathlib.Path(folder, 'probe.cc')
        probe.write_text(f'#include "{header.as_posix()}"\n')
        done = subprocess.run([*words, '-iquote', str(root), '-fsyntax-only', '-MMD', '-MF', str(deps), str(probe)],
                              cwd=root, capture_output=True, text=True)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if 'error' in line]
            return (lines or done.stderr.splitlines() or ['the compiler failed'])[0], []
        read = deps.read_text().replace('\\\n', ' ').split()[1:]
        return None, [path for path in read if path != str(probe)]


def check(root, build, files):
    if not (build / 'compile_commands.json').exists():
        yield f'{build}: no compile_commands.json: build first'
        return
    commands, store = flags_of_sources(root, build), build / 'tidy_headers.json'
    try:
        passed = json.loads(store.read_text())
    except (OSError, ValueError):
        passed = {}
    work, proven = {}, set(built_first(files))
    for file in files:
        if file.suffix != '.h' or file.path in proven:
            continue
        words = flags_for(file.path, commands, files, build)
        if words is None:
            yield f'{file.path}: no source tells how to compile it'
            continue
        old = passed.get(file.path)
        if not old or key_of(words, old['read']) != old['key']:
            work[file.path] = words
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(pool.map(lambda path: compile_alone(root, pathlib.Path(path), work[path]), work))
    for path, (error, read) in zip(work, results):
        if error:
            passed.pop(path, None)
            yield f'{path}: does not compile alone: {error}'
        else:
            passed[path] = {'key': key_of(work[path], read), 'read': read}
    store.write_text(json.dumps(passed, indent=0))
