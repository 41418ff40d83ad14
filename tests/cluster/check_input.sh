#!/bin/sh
# check_input.sh RTC: a state directory or a socket that another head uses is refused with a sentence
# that says who has it, before anything is said to serve; the first head is not disturbed.
rtc=$1
dir=$(mktemp -d)
trap 'RTC_ADDRESS=unix:$dir/s "$rtc" stop >/dev/null 2>&1; rm -rf "$dir"' EXIT
fail() { echo "$1"; cat "$dir/out" "$dir/err"; exit 1; }

"$rtc" head --socket "$dir/s" --state-dir "$dir/state" --detach >"$dir/out" 2>"$dir/err" || fail "did not start"
grep -q 'serves at' "$dir/out" || fail "does not say where it serves"

"$rtc" head --socket "$dir/s2" --state-dir "$dir/state" >"$dir/out" 2>"$dir/err" && fail "two heads on one state directory"
grep -q 'another head (pid [0-9]*) is running with the state directory' "$dir/err" || fail "no reason given"
grep -q 'serves at' "$dir/out" && fail "said to serve though it does not"

"$rtc" head --socket "$dir/s" --state-dir "$dir/state3" >"$dir/out" 2>"$dir/err" && fail "two heads on one socket"
grep -q 'another rtc daemon (pid [0-9]*) serves at' "$dir/err" || fail "no reason given"

RTC_ADDRESS=unix:$dir/s "$rtc" status >"$dir/out" 2>"$dir/err" || fail "the first head was disturbed"
"$rtc" head --durability never --socket "$dir/s4" >"$dir/out" 2>"$dir/err" && fail "an unknown durability was taken"
grep -q '`process` or `disk`' "$dir/err" || fail "no reason given"

for lease in 1.9s 61m 2d s '' 10s5 -10s nan; do
    "$rtc" head --lease "$lease" --socket "$dir/s4" >"$dir/out" 2>"$dir/err" && fail "a lease of '$lease' was taken"
    grep -q 'from 2s to 1h' "$dir/err" || fail "no reason given"
done
"$rtc" worker --lease 10s >"$dir/out" 2>"$dir/err" && fail "a worker took a lease"
grep -q 'rtc worker --help' "$dir/err" || fail "no reason given"

for what in nodes tasks objects jobs actors groups; do
    RTC_ADDRESS=unix:$dir/s "$rtc" list $what --json >"$dir/out" 2>"$dir/err" || fail "list $what failed"
done
RTC_ADDRESS=unix:$dir/s "$rtc" why 1:999 >"$dir/out" 2>"$dir/err" && fail "a reason for nothing"
test -s "$dir/err" || fail "no reason given"
RTC_ADDRESS=unix:$dir/s "$rtc" list nonsense >"$dir/out" 2>"$dir/err" && fail "nonsense was listed"
test -s "$dir/err" || fail "no reason given"
