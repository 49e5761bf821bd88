"""The files that the rules look at, and C++ text with what is not code blanked out."""
import pathlib
import re

SKIPPED = {'build', 'data', 'node_modules', '__pycache__'}
CPP = ('.h', '.cc')
CODE = CPP + ('.def', '.py', '.sh', '.cmake')


class File:
    """One file: its path from the root, its text and its lines."""

    def __init__(self, root, path):
        self.path = path.as_posix()
        self.name = path.name
        self.suffix = path.suffix
        self.text = (root / path).read_text(errors='replace')
        self.lines = self.text.splitlines()
        self.executable = bool((root / path).stat().st_mode & 0o100)

    def is_script(self):
        return self.suffix == '' and self.text.startswith('#!')

    def is_code(self):
        return self.suffix in CODE or self.name == 'CMakeLists.txt' or self.is_script()

    def is_python(self):
        return self.suffix == '.py' or self.is_script() and 'python' in self.lines[0]

    def is_shell(self):
        return self.suffix == '.sh' or self.is_script() and 'sh' in self.lines[0].rsplit('/', 1)[-1]

    def under(self, *folders):
        return any(self.path.startswith(folder + '/') for folder in folders)


def is_text(path):
    with path.open('rb') as file:
        return b'\0' not in file.read(4096)


def load(root):
    """Every text file of the tree, in order. What git does not track is looked at too: it is about to be committed."""
    files = []
    for file in sorted(root.rglob('*')):
        path = file.relative_to(root)
        hidden = any(part in SKIPPED or part.startswith('.') and part != '.ci' for part in path.parts)
        if file.is_file() and not hidden and is_text(file):
            files.append(File(root, path))
    return files


NOT_CODE = re.compile(
    r'//[^\n]*'
    r'|/\*.*?\*/'
    r'|\bR"(?P<mark>[^(\s]*)\(.*?\)(?P=mark)"'
    r'|"(?:\\.|[^"\\\n])*"'
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'", re.S)


def without_comments(text):
    """Comments, strings and characters replaced by blanks; line numbers stay."""
    return NOT_CODE.sub(lambda found: re.sub(r'[^\n]', ' ', found.group()), text)


def without_directives(text):
    """Preprocessor lines blanked, and of each #if only the first branch kept, so that braces balance."""
    kept, skipping, continued = [], [], False
    for line in text.split('\n'):
        directive = re.match(r'\s*#\s*(\w+)', line)
        word = directive.group(1) if directive and not continued else None
        if word in ('if', 'ifdef', 'ifndef'):
            skipping.append(False)
        elif word in ('else', 'elif') and skipping:
            skipping[-1] = True
        elif word == 'endif' and skipping:
            skipping.pop()
        blank = word is not None or continued or any(skipping)
        continued = (word is not None or continued) and line.endswith('\\')
        kept.append('' if blank else line)
    return '\n'.join(kept)
