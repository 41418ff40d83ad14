#!/bin/sh
# check_report.sh TEST_REPORT EVENT_PROTO: records of event files as protoc decodes them, which knows
# nothing of our encoder.
command -v protoc >/dev/null || { echo "skipped: protoc is not installed"; exit 77; }
test=$1 proto=$2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() { echo "$1"; cat "$dir/out"; exit 1; }
"$test" records "$dir/run" || { echo "no records"; exit 1; }

decode() { # N MESSAGE
    protoc --proto_path="$(dirname "$proto")" --decode=Event "$proto" <"$dir/run/$1.bin" \
        >"$dir/out" 2>&1 || fail "record $1 is not decoded"
    # A field without a name is one that the format does not have there.
    grep -q '^ *[0-9]' "$dir/out" && fail "record $1 has an unknown field"
}
has() { grep -qF "$1" "$dir/out" || fail "$1 is missing"; }

decode 0
has 'file_version: "brain.Event:2"'
has 'wall_time: 1700000000.5'
decode 1
has 'step: 7'
has 'tag: "loss/best"'
has 'simple_value: 0.5'
decode 2
has 'plugin_name: "text"'
has 'string_val: "**found** \303\251"'
has 'dtype: 7'
has 'data_class: 2'
decode 3
has 'step: -1'
has 'num: 998'
has 'max: 249.25'
test "$(grep -c '^ *bucket:' "$dir/out")" = 30 || fail "there are not 30 bins"
decode 4
has 'width: 258'
has 'height: 3'
has 'encoded: "\211PNG\r\n'
decode 5
has 'tag: "_hparams_/experiment"'
has 'plugin_name: "hparams"'
decode 6
has 'tag: "_hparams_/session_start_info"'
decode 7
has 'tag: "_hparams_/session_end_info"'
test ! -e "$dir/run/8.bin" || fail "there are more records than were written"
