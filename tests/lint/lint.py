#!/usr/bin/env python3
"""Rules of the project that a compiler does not check.

  lint.py includes            who may include whom; third-party headers; header guards
  lint.py text                lengths of functions and files, banned calls, left-over marks
  lint.py format CLANG_FORMAT formatting of sources, with clang-format 14
  lint.py headers CC [CXX]    each header compiles alone; public ones as C11 and C++
  lint.py symbols NM LIB      librtc.so exports what include/rtc declares, and nothing else
  lint.py pure NM LIB         librtc_core.a calls nothing that reads a clock, draws or does I/O
  lint.py packages            what Meson looks for by pkg-config is in deploy/packages*.txt (Debian)

Run from anywhere; prints `file:line: what` for each finding and exits with 1. Exit 77: not
possible here."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Module -> modules it may include. The same table stands in ARCHITECTURE.md; the linker enforces it
# too, since each module is a library of its own.
USES = {
    'base': '',
    'wire': 'base',
    'core': 'base wire',
    'shm': 'base wire',
    'store': 'base',
    'net': 'base wire core',
    'gpu': 'base',
    'client': 'base wire core shm',
    'collective': 'base',
    'exec': 'base wire core shm client collective gpu',
    'patterns': 'base client',
    'keeper': 'base shm',
    'node': 'base wire core shm store net gpu keeper',
    'head': 'base wire core shm store net gpu keeper node',
    'cli': 'base wire core shm store net keeper client exec node head',
}
# Third-party header -> modules that may include it.
THIRD = {
    'lmdb.h': 'store',
    'zmq.h': 'net', 'sodium.h': 'net node',
    'uv.h': 'node head',
    'msgpack.h': 'client',
    'xxhash.h': 'base wire store client',
    'cuda.h': 'gpu', 'cuda_runtime.h': 'gpu', 'nccl.h': 'gpu',
}
# The public headers that only the sides of a user's program see; rtc/error.h is everybody's.
API = {'rtc/rtc.h', 'rtc/value.h', 'rtc/actor.h', 'rtc/patterns.h', 'rtc/placement.h', 'rtc/group.h'}
API_USERS = {'client', 'exec', 'cli', 'patterns'}
API_ALSO = {('rtc/value.h', 'collective')}  # the types of elements

FUNCTION_LINES = 70
FILE_LINES_REPORT, FILE_LINES = 450, 600
COLUMNS = {'.c': 100, '.h': 104}  # headers are laid out by hand, for reading
BANNED = re.compile(r'\b(strcpy|strcat|sprintf|vsprintf|gets|atoi|atol|atoll|atof|rand|srand|strtok'
                    r'|alloca|gmtime|localtime|ctime|asctime|tmpnam|mktemp|system|sleep|usleep)\s*\(')
BANNED_TESTS = re.compile(r'\b(sleep|usleep|gets|mktemp|tmpnam)\s*\(')
MARKS = re.compile(r'\b(TODO|FIXME|XXX|HACK)\b')

findings = []


def say(path, line, text):
    findings.append(f'{path}:{line}: {text}')


def files(*endings):
    """Files of the project: what git tracks, or everything where there is no git."""
    try:
        out = subprocess.run(['git', '-C', ROOT, 'ls-files', '-z'], capture_output=True, check=True)
        names = [n for n in out.stdout.decode().split('\0') if n]
    except (OSError, subprocess.CalledProcessError):
        names = []
        for base, dirs, here in os.walk(ROOT):
            dirs[:] = [d for d in dirs if not d.startswith(('.', 'build', 'subprojects'))]
            names += [os.path.relpath(os.path.join(base, n), ROOT) for n in here]
    return sorted(n for n in names if n.endswith(endings) and os.path.exists(os.path.join(ROOT, n)))


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


def code_only(text):
    """Comments and strings become blanks, lines stay."""
    def blank(match):
        return re.sub(r'[^\n]', ' ', match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def module_of(path):
    parts = path.split('/')
    return parts[1] if parts[0] == 'runtime' and len(parts) > 2 else None


def check_include(path, number, line):
    match = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
    if not match:
        return
    bracket, name = match.groups()
    module = module_of(path)
    if path.startswith(('examples/', 'actors/')):
        if bracket == '"' and '/' in name and not name.startswith('actors/'):
            say(path, number, f'{name}: programs include <rtc/…> only')
        return
    if module is None:
        return
    if module not in USES:
        say(path, number, f'module {module} is not in the table of tests/lint/lint.py')
    elif bracket == '"':
        other = module_of(name)
        if other is None:
            say(path, number, f'{name}: write includes of the project from its root')
        elif other != module and other not in USES[module].split():
            say(path, number, f'{module} may not use {other}')
        return
    if name in API and module not in API_USERS and (name, module) not in API_ALSO:
        say(path, number, f'{module} may not use <{name}>')
    if name in THIRD and module not in THIRD[name].split():
        say(path, number, f'<{name}> belongs to {THIRD[name]}')


def check_guard(path, text):
    stem = path.split('/', 1)[1] if path.startswith(('runtime/', 'include/')) else path
    guard = re.sub(r'\W', '_', stem).upper()
    want = {'runtime': 'RTCI_' + guard, 'include': guard}.get(path.split('/')[0], guard)
    match = re.search(r'^#ifndef (\w+)\n#define (\w+)$', text, flags=re.M)
    if not match or match.group(1) != want or match.group(2) != want:
        say(path, 1, f'header guard is not {want}')


def includes():
    for path in files('.c', '.h'):
        text = read(path)
        for number, line in enumerate(text.splitlines(), 1):
            check_include(path, number, line)
        if path.endswith('.h'):
            check_guard(path, text)


def check_lengths(path, lines):
    begin = None
    for number, line in enumerate(lines, 1):
        if line == '{':
            begin = number
        elif line == '}' and begin is not None:
            if number - begin - 1 > FUNCTION_LINES:
                say(path, begin, f'function of {number - begin - 1} lines, at most {FUNCTION_LINES}')
            begin = None
    limit = FILE_LINES + (300 if path.startswith('tests/') else 0)
    if len(lines) > limit:
        say(path, 1, f'{len(lines)} lines; split by concern (at most {limit})')
    elif len(lines) > FILE_LINES_REPORT:
        print(f'note: {path}: {len(lines)} lines')


def text():
    for path in files('.c', '.h'):
        source = read(path)
        code = code_only(source).splitlines()
        check_lengths(path, code)
        for number, line in enumerate(code, 1):
            match = (BANNED_TESTS if path.startswith('tests/') else BANNED).search(line)
            if match and not re.search(r'[.>]\s*$', line[:match.start()]):
                say(path, number, f'{match.group(1)}() is banned')
    for path in files('.c', '.h', '.py', '.sh', '.build', '.md', '.yaml'):
        if path == 'tests/lint/lint.py':
            continue
        for number, line in enumerate(read(path).splitlines(), 1):
            if MARKS.search(line):
                say(path, number, 'a mark that something is left to do')
            if line != line.rstrip():
                say(path, number, 'blanks at the end of the line')
            limit = COLUMNS.get(os.path.splitext(path)[1], 1000)
            if len(line) > limit and 'http' not in line:
                say(path, number, f'{len(line)} columns, at most {limit}')


def formatting(clang_format):
    version = subprocess.run([clang_format, '--version'], capture_output=True, text=True).stdout
    if not re.search(r'version 14\.', version):
        print('needs clang-format 14, found:', version.strip())
        sys.exit(77)
    done = subprocess.run([clang_format, '--dry-run', '-Werror', *files('.c')], cwd=ROOT,
                          capture_output=True, text=True)
    for line in done.stderr.splitlines():
        if 'error:' in line:
            findings.append(line)


def compile_alone(command, path, flags):
    with tempfile.NamedTemporaryFile('w', suffix='.c') as source:
        name = path[len('include/'):] if path.startswith('include/') else path
        source.write(f'#include <{name}>\n#include <{name}>\nint rtc_header_alone;\n')
        source.flush()
        done = subprocess.run([*command, *flags, '-fsyntax-only', '-Werror', '-Wall', '-Wextra',
                               '-I', ROOT, '-I', os.path.join(ROOT, 'include'), source.name],
                              capture_output=True, text=True)
    if done.returncode != 0:
        say(path, 1, f'does not compile alone with {" ".join(command + flags)}:\n{done.stderr}')


def headers(cc, cxx=None):
    for path in files('.h'):
        if path.startswith('include/'):
            compile_alone([cc], path, ['-std=c11', '-pedantic', '-x', 'c'])
            if cxx:
                compile_alone([cxx], path, ['-std=c++17', '-x', 'c++'])
        elif path.startswith('runtime/') and '/gpu/' not in path and '/net/' not in path:
            compile_alone([cc], path, ['-std=gnu17', '-D_GNU_SOURCE', '-x', 'c'])


def symbols(nm, *libraries):
    """Every library exports what its headers declare: LIBRARY:HEADER,HEADER …"""
    for pair in libraries:
        library, headers = pair.rsplit(':', 1)
        out = subprocess.run([nm, '-D', '--defined-only', library], capture_output=True, text=True,
                             check=True).stdout
        exported = {line.split()[-1].split('@')[0] for line in out.splitlines() if line.split()}
        exported -= {n for n in exported if n.startswith(('__asan', '__ubsan', '__sanitizer', 'RTC_'))}
        declared = set()
        for path in [f'include/rtc/{header}.h' for header in headers.split(',')]:
            code = re.sub(r'static inline.*?^}', '', code_only(read(path)), flags=re.S | re.M)
            code = re.sub(r'^\s*#(?:[^\n]*\\\n)*[^\n]*', '', code, flags=re.M)
            declared |= set(re.findall(r'\b(rtc_\w+)\s*\((?!\*)[^;{]*\)[^;{]*;', code))
        declared = {n for n in declared if not n.endswith('_fn')}
        for name in sorted(exported - declared):
            say(library, 0, f'exports {name}, which no public header declares')
        for name in sorted(declared - exported):
            say(library, 0, f'{name} is declared but not exported')


# All that the machines may ask of the C library: memory and text. No file, clock, thread or random.
PURE = set('''calloc free malloc realloc memchr memcmp memcpy memmove memset strcmp strlen strncmp strndup
    strnlen snprintf vsnprintf qsort'''.split())
# What compilers put in by themselves.
COMPILER = re.compile(r'^(_GLOBAL_OFFSET_TABLE_|__stack_chk_fail|__popcountdi2|__(mem|str|snprintf|vsnprintf)\w*_chk)$')


def pure(nm, library):
    out = subprocess.run([nm, library], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in out.splitlines() if len(line.split()) in (2, 3)]
    defined = {row[-1] for row in rows if row[-2] != 'U'}
    for name in sorted({row[-1] for row in rows if row[-2] == 'U'} - defined):
        if name not in PURE and not name.startswith('rtci_') and not COMPILER.match(name):
            say(library, 0, f'uses {name}, which a machine without I/O has no use for')


def package_of(dependency):
    """The Debian package that has it; '': the machine does not know."""
    where = subprocess.run(['pkg-config', '--variable=pcfiledir', dependency], capture_output=True, text=True)
    if where.returncode:
        return ''
    out = subprocess.run(['dpkg', '-S', f'{where.stdout.strip()}/{dependency}.pc'], capture_output=True, text=True)
    return out.stdout.split(':')[0] if out.returncode == 0 else ''


def packages():
    """A machine that has more by chance finds what a fresh one does not."""
    if not shutil.which('dpkg') or not shutil.which('pkg-config'):
        print('no dpkg or pkg-config: nothing known about packages')
        sys.exit(77)
    listed = set()
    for name in files('.txt'):
        if name.startswith('deploy/packages'):
            listed |= {line.strip() for line in read(name).splitlines() if not line.startswith('#')}
    for name in files('meson.build'):
        for number, line in enumerate(read(name).splitlines(), 1):
            for dependency in re.findall(r"dependency\('([\w.+-]+)'", line):
                package = package_of(dependency)
                if package and package not in listed:
                    say(name, number, f'{dependency} comes with {package}, which deploy/packages.txt does not list')


def main():
    rules = {'includes': includes, 'text': text, 'format': formatting, 'headers': headers,
             'symbols': symbols, 'pure': pure, 'packages': packages}
    if len(sys.argv) < 2 or sys.argv[1] not in rules:
        print(__doc__)
        return 2
    rules[sys.argv[1]](*sys.argv[2:])
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
