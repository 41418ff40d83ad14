#!/bin/sh
# check_examples.sh RTC README EXAMPLE…: the examples, which other tests run embedded, on one `rtc head`
# that outlives them all.
rtc=$1
text=$2
shift 2
dir=$(mktemp -d)
export RTC_ADDRESS="unix:$dir/s"
trap '"$rtc" stop >/dev/null 2>&1; rm -rf "$dir"' EXIT
fail() { echo "$1"; cat "$dir/out" "$dir/err"; exit 1; }

"$rtc" head --durability disk --cpus 2 --socket "$dir/s" --state-dir "$dir/state" --detach >"$dir/out" 2>"$dir/err" || fail "no head"
for example in "$@"; do
    case $example in
    */pi) set -- 8 100000 ;;
    */tree) set -- 4 ;;
    */mapreduce) set -- "$text" 4 ;;
    */average) set -- 3 ;;
    *) set -- ;;
    esac
    "$example" "$@" >"$dir/out" 2>"$dir/err" || fail "$example failed"
    test -s "$dir/out" || fail "$example says nothing"
done
"$rtc" list jobs >"$dir/out" 2>"$dir/err" || fail "rtc list jobs failed"
"$rtc" status --json >"$dir/out" 2>"$dir/err" || fail "rtc status failed"
grep -q '"tasks_alive":0' "$dir/out" || fail "tasks of ended jobs are left"
grep -q '"objects":0' "$dir/out" || fail "objects of ended jobs are left"
