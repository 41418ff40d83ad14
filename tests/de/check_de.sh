#!/bin/sh
# check_de.sh RTC: `rtc de` as its users run it: a function, a command, a process that stays; stopped
# with kill -9 in the middle and started again; and what it says about bad files.
rtc=$1
dir=$(mktemp -d)
export RTC_ADDRESS=embedded
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
fail() { echo "$1"; cat out err; exit 1; }
value() { sed -n 's/^value //p' "$1"; }

parameters='parameters:
  - {name: a, low: -2, high: 2}
  - {name: b, low: -2, high: 2}'

run() { # NAME OBJECTIVE OPTIMIZATION
    printf '%s\nobjective: {%s}\noptimization: {%s}\n' "$parameters" "$2" "$3" >"$1.yaml"
    "$rtc" de --config "$1.yaml" >out 2>err
}

run rosen 'function: rosen' 'method: lshade, options: {budget: 3000, seed: 1}' || fail "rosen failed"
awk -v x="$(value out)" 'BEGIN { exit !(x <= 1e-6) }' || fail "rosen was not solved"
cp out first
"$rtc" de --config rosen.yaml >out 2>err || fail "the second run failed"
grep -q '3000 of them stored before' out || fail "stored evaluations were not used"
test "$(value out)" = "$(value first)" || fail "the second run ended elsewhere"
"$rtc" de --config rosen.yaml --csv all.csv >out 2>err || fail "no export"
test "$(head -1 all.csv)" = 'value,seconds,failed,a,b' || fail "the export has no head"

sed -i 's/rosen/sphere/' rosen.yaml
"$rtc" de --config rosen.yaml >out 2>err || fail "another objective under the same name failed"
grep -q '(0 of them stored before' out || fail "another objective's values were used"

# SciPy 1.10, default_rng(1), rosen on [0, 2]: 139 generations, 4,200 evaluations, value 0.
printf 'parameters: [{name: x, low: 0, high: 2}, {name: y, low: 0, high: 2}]\n' >scipy.yaml
printf 'objective: {function: rosen}\noptimization: {method: differential_evolution, ' >>scipy.yaml
printf 'options: {compat: scipy-1.10, generator: 1, workers: 1}}\n' >>scipy.yaml
"$rtc" de --config scipy.yaml >out 2>err || fail "the SciPy run failed"
grep -q '^4200 evaluations .* 139 generations' out || fail "not SciPy's trajectory"
test "$(value out)" = 0 || fail "not SciPy's value"

cat >model.sh <<'M'
awk -v a="$1" -v b="$2" 'BEGIN { if (a > 1.9) exit 3; print "thinking"; print (a-1)^2+(b+0.5)^2 }'
M
cat >loop.sh <<'M'
while read -r a b; do awk -v a="$a" -v b="$b" 'BEGIN { print (a-1)^2+(b+0.5)^2 }'; done
M
run loop "persistent: sh $dir/loop.sh" 'method: async, options: {budget: 600, seed: 2}' || fail "persistent failed"
awk -v x="$(value out)" 'BEGIN { exit !(x <= 1e-6) }' || fail "persistent was not solved"
command="command: 'sh $dir/model.sh \"\$1\" \"\$2\"'"
run whole "$command" 'method: lshade, options: {budget: 400, seed: 3}' || fail "command failed"
grep -q 'an evaluation failed' err || fail "failures were not told"
cp out whole.out

# The same, killed as soon as it told of its first failure, and started again.
printf '%s\nobjective: {%s}\noptimization: {%s}\n' "$parameters" "$command" \
    'method: lshade, options: {budget: 400, seed: 3}' >half.yaml
mkfifo pipe
"$rtc" de --config half.yaml >out 2>pipe &
pid=$!
head -1 <pipe >/dev/null
kill -9 $pid
wait $pid 2>/dev/null
"$rtc" de --config half.yaml >out 2>err || fail "it does not go on after kill -9"
test "$(value out)" = "$(value whole.out)" || fail "it ended elsewhere after kill -9"

refused() { # WORDS NAME OBJECTIVE OPTIMIZATION
    words=$1
    shift
    run "$@" && fail "$1 was taken"
    grep -q "$words" err || fail "$1: no reason"
}
refused 'exactly one of' none '' 'method: lshade'
refused 'no such function' unknown 'function: cube' 'method: lshade'
refused 'is not lshade, async' method 'function: rosen' 'method: annealing'
refused 'updating is immediate or deferred' updating 'function: rosen' \
    'method: differential_evolution, options: {updating: sometimes}'
refused 'strategy is not one of' strategy 'function: rosen' \
    'method: differential_evolution, options: {strategy: best9bin}'
parameters='parameters: [{name: a, low: 3, high: 1}]'
refused 'not a finite interval' bounds 'function: sphere' 'method: lshade'
parameters='parameters: [{name: a, low: 1, high: .inf}]'
refused 'FLOAT value: .inf' infinite 'function: sphere' 'method: lshade'
"$rtc" de --config missing.yaml >out 2>err && fail "a missing file was taken"
grep -q 'missing.yaml cannot be read' err || fail "no reason given"
