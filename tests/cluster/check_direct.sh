#!/bin/sh
# check_direct.sh RTC BULK: what is large goes from worker to worker directly where one of them can be
# reached, and through the head where none can; also when the daemon that has it is killed meanwhile.
rtc=$1
bulk=$2
command=true
export RTC_LOG=info
dir=$(mktemp -d)
end() {
    for s in "$dir/a/worker.sock" "$dir/b/worker.sock" "$dir/s"; do
        test -S "$s" && RTC_ADDRESS="unix:$s" "$rtc" stop --now >/dev/null 2>&1
    done
    rm -rf "$dir"
}
trap end EXIT
fail() { echo "$1"; cat "$dir"/out "$dir"/err; exit 1; }

# round WHAT PATH PATH OPTION-OF-A… -- OPTION-OF-B…
round() {
    what=$1 path_a=$2 path_b=$3 options_a= options_b=
    shift 3
    while test "$1" != --; do options_a="$options_a $1"; shift; done
    shift
    options_b=$*
    rm -rf "$dir/state" "$dir/a" "$dir/b" "$dir/a.log" "$dir/b.log"
    "$rtc" head --address 127.0.0.1 --cpus 1 --store 256M --socket "$dir/s" --state-dir "$dir/state" --detach >"$dir/out" 2>"$dir/err" || fail "no head"
    for n in a b; do
        eval "options=\$options_$n"
        "$rtc" worker --join @"$dir/state/join" --name $n --cpus 1 --store 256M --state-dir "$dir/$n" --detach $options >"$dir/out" 2>"$dir/err" || fail "no worker $n"
    done
    RTC_ADDRESS="unix:$dir/s" "$bulk" "$what" "$command" >"$dir/out" 2>"$dir/err" || fail "$what: failed"
    for n in 1 2 3 4 5 6 7 8 9 10; do # the head takes some time to find out that nobody answers
        RTC_ADDRESS="unix:$dir/s" "$rtc" list nodes --json >"$dir/out" 2>"$dir/err" || fail "rtc list nodes failed"
        grep -q '"path":"looking"' "$dir/out" || break
        RTC_ADDRESS="unix:$dir/s" "$bulk" "$what" >"$dir/err" 2>&1
    done
    grep -q '"path":"head"' "$dir/out" || fail "node 1 is not shown as the head's"
    grep -q "\"name\":\"a\",\"path\":\"$path_a" "$dir/out" || fail "$what: path of a is not $path_a"
    grep -q "\"name\":\"b\",\"path\":\"$path_b" "$dir/out" || fail "$what: path of b is not $path_b"
    for s in "$dir/a/worker.sock" "$dir/b/worker.sock" "$dir/s"; do
        RTC_ADDRESS="unix:$s" "$rtc" stop --now >"$dir/out" 2>"$dir/err" || fail "does not stop"
    done
}

round direct 127.0.0.1: 127.0.0.1: --
round direct relayed 127.0.0.1: --peer-port none --
pid="sed -n 's/.*daemon started pid=\([0-9]*\).*/\1/p' '$dir/a.log' | tail -n 1"
command="kill -9 \$($pid)"
round direct 127.0.0.1: 127.0.0.1: --
test "$(grep -c 'daemon started' "$dir/a.log")" -ge 2 || fail "the daemon was not killed"
command=true
round relayed relayed relayed --peer-port none -- --peer-port none
round relayed relayed relayed --address 192.0.2.1 -- --address 192.0.2.1

"$rtc" worker --peer-port never >"$dir/out" 2>"$dir/err" && fail "an impossible port was taken"
grep -q 'peer-port wants' "$dir/err" || fail "no reason given"
