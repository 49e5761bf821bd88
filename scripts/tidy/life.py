"""docs/how_a_request_lives.md and the code name the same steps: each step of the page ("| 7 | ..." or "7. ...") has
exactly one tag `// life: 7` in the product, and each tag has its step."""
import re

PAGE = 'docs/how_a_request_lives.md'
STEP = re.compile(r'(?:\|\s*(\d+)\s*\||#+\s*(\d+)[.:]|(\d+)\.\s)')
TAG = re.compile(r'//.*\blife: (\d+(?:, \d+)*)')


def check(files):
    page = next((file for file in files if file.path == PAGE), None)
    if page is None:
        return
    steps, tags = {}, {}
    for number, line in enumerate(page.lines, 1):
        found = STEP.match(line)
        if found:
            step = int(next(group for group in found.groups() if group))
            if step in steps:
                yield f'{PAGE}:{number}: step {step} is on line {steps[step]} too'
            steps.setdefault(step, number)
    for file in files:
        if file.suffix not in ('.h', '.cc') or file.under('tests', 'bench'):
            continue
        for number, line in enumerate(file.lines, 1):
            found = TAG.search(line)
            for step in map(int, found.group(1).split(', ')) if found else ():
                if step in tags:
                    yield f'{file.path}:{number}: life: {step} stands at {tags[step]} too'
                if step not in steps:
                    yield f'{file.path}:{number}: life: {step} is no step of {PAGE}'
                tags.setdefault(step, f'{file.path}:{number}')
    for step in sorted(steps.keys() - tags.keys()):
        yield f'{PAGE}:{steps[step]}: no line of code is tagged "// life: {step}"'
