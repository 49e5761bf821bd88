"""Functions that are too long. Python by its syntax tree; C++ by matching braces, which needs no compiler."""
import ast
import re

from tidy.sources import CPP, without_comments, without_directives

LONGEST = 70

PREFIX = re.compile(r'\btemplate\s*<[^{;]*?>\s*(?=class|struct|union|using|auto|[\w:])'
                    r'|alignas\s*\([^)]*\)|\[\[[^]]*\]\]')
SCOPE = re.compile(r'(inline\s+)?namespace\b|extern\s*$'
                   r'|(?:.*>\s*)?(typedef\s+|static\s+|constexpr\s+)*(class|struct|union|enum)\b[^()]*$', re.S)
AFTER = re.compile(r'\s*(const|noexcept|override|final|mutable|try|&|->.*|requires.*|\s)*', re.S)
MEMBERS = re.compile(r'\)\s*(noexcept\s*)?:(?!:)')


def kind_of(head):
    """What a brace opens, judged by the text before it: a scope, a function, or an initialiser."""
    plain = PREFIX.sub(' ', head).strip()
    if SCOPE.match(plain) or plain.endswith('extern'):
        return 'scope'
    if '(' not in plain or plain[-1:] in '=(,':
        return 'value'
    if MEMBERS.search(plain):  # a constructor: its body, or a_{1} in its list
        return 'value' if plain[-1].isalnum() or plain[-1] in '_>' else 'function'
    return 'function' if AFTER.fullmatch(plain.rpartition(')')[2]) else 'value'  # std::array<T, f(3)> table{


def cpp_functions(text):
    """Yields (first line, last line) of each function that is not inside another."""
    code = without_directives(without_comments(text))
    stack, head, head_line, line = [], '', 1, 1
    for letter in code:
        if letter == '\n':
            line += 1
        if letter == '{':
            inside = bool(stack) and stack[-1][0] != 'scope'
            kind = 'inner' if inside else kind_of(head)
            stack.append((kind, head, head_line))
            head = ''
        elif letter == '}' and stack:
            kind, old_head, first = stack.pop()
            if kind == 'function':
                yield first, line
            head, head_line = (old_head + '{}', first) if kind == 'value' else ('', line)
        elif letter == ';' and not (stack and stack[-1][0] != 'scope'):
            head = ''
        elif letter == ':' and re.fullmatch(r'\s*(public|private|protected)\s*', head):
            head = ''
        else:
            if not head.strip():
                head_line = line
            head += letter


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno


def check(files):
    for file in files:
        if file.suffix in CPP:
            found = cpp_functions(file.text)
        elif file.is_python():
            found = python_functions(file.text)
        else:
            continue
        for first, last in found:
            if last - first + 1 > LONGEST:
                yield f'{file.path}:{first}: a function of {last - first + 1} lines, {LONGEST} are the most'
