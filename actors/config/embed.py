#!/usr/bin/env python3
"""embed.py OUT FILE…: the files as a table of texts in C, under their names without .yaml."""
import os
import sys

out, *paths = sys.argv[1:]
with open(out, 'w', encoding='utf-8') as file:
    file.write('static const struct {\n    const char *name, *text;\n} ppo_presets[] = {\n')
    for path in paths:
        name = os.path.splitext(os.path.basename(path))[0]
        with open(path, encoding='utf-8') as preset:
            lines = preset.read().splitlines(keepends=True)
        file.write(f'    {{"{name}",\n')
        for line in lines:
            text = line.replace('\\', '\\\\').replace('"', '\\"').replace('\n', '\\n')
            file.write(f'     "{text}"\n')
        file.write('    },\n')
    file.write('};\n')
