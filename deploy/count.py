#!/usr/bin/env python3
"""Counts the tests in meson's testlog.json files: prints `N passed, N failed, N skipped` and exits
with 1 when one failed or none ran."""

import json
import sys


def main():
    passed = failed = skipped = 0
    for path in sys.argv[1:]:
        try:
            with open(path, encoding='utf-8') as log:
                tests = [json.loads(line) for line in log if line.strip()]
        except OSError as error:
            print(f'{path}: {error.strerror}: no test ran')
            failed += 1
            continue
        for test in tests:
            if test['result'] in ('OK', 'EXPECTEDFAIL'):
                passed += 1
            elif test['result'] == 'SKIP':
                skipped += 1
            else:
                failed += 1
                print(f'{path}: {test["name"]}: {test["result"]}')
    print(f'{passed} passed, {failed} failed, {skipped} skipped')
    return 0 if passed and not failed else 1


if __name__ == '__main__':
    sys.exit(main())
