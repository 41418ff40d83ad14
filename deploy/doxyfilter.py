#!/usr/bin/env python3
"""Doxygen filter: the project's plain comments become documentation comments. A comment that stands
on its own documents what follows; one behind code documents what it stands behind."""

import re
import sys


def main():
    out = []
    for line in open(sys.argv[1], encoding='utf-8').read().split('\n'):
        if not line.lstrip().startswith('#') and not line.startswith('/* ---- '):
            line = re.sub(r'^(\s*)/\*(?!\*)', r'\1/**', line)
            line = re.sub(r'(\S\s*)/\* ', r'\1/**< ', line) if '/**' not in line else line
        out.append(line)
    text = '\n'.join(out)
    # The file's own comment says which file it is about.
    text = re.sub(r'\A/\*\* (rtc/\w+\.h): ', r'/** @file \1\n * ', text)
    sys.stdout.write(text)


if __name__ == '__main__':
    main()
