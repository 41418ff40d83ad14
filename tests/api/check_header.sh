#!/bin/sh
# check_header.sh INCLUDE HEADER LANGUAGE COMPILER...: the header compiles alone, and twice.
include=$1 header=$2 lang=$3
shift 3
printf '#include <%s>\n#include <%s>\nint main(void) { return 0; }\n' "$header" "$header" |
    "$@" -x "$lang" -I"$include" -fsyntax-only -
