#!/bin/sh
# check_de.sh RTC: `rtc de` as its users run it: every kind of objective, stopped with kill -9 in the
# middle and started again, with other settings over the same evaluations, and replayed.
rtc=$1
dir=$(mktemp -d)
export RTC_ADDRESS=embedded
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
fail() { echo "$1"; cat out err; exit 1; }
value() { sed -n 's/^value //p' "$1"; }
count() { sed -n 's/^\([0-9]*\) evaluations (\([0-9]*\) of.*/\1 \2/p' "$1"; }
solved() { awk -v x="$(value out)" 'BEGIN { exit !(x <= 1e-6) }' || fail "$1 was not solved"; }

parameters='parameters:
  - {name: a, low: -2, high: 2}
  - {name: b, low: -2, high: 2}'

run() { # NAME OBJECTIVE OPTIMIZATION [MORE]
    printf '%s\nobjective: {%s}\noptimization: {%s}\n%s\n' "$parameters" "$2" "$3" "$4" >"$1.yaml"
    "$rtc" de --config "$1.yaml" >out 2>err
}

run rosen 'function: rosen' 'method: lshade, options: {budget: 3000, seed: 1}' || fail "rosen failed"
solved rosen
grep -q '^method lshade, 2 parameters, 20 evaluations a generation at first$' out || fail "no plan"
grep -q '^workers .* budget 3000 evaluations' out || fail "no budget told"
test -s rosen/result.json || fail "no result.json"
ls rosen/tensorboard/events.out.tfevents.* >/dev/null || fail "no events for TensorBoard"
cp out first
"$rtc" de --config rosen.yaml >out 2>err || fail "the second run failed"
test "$(count out)" = '3000 3000' || fail "stored evaluations were not used"
test "$(value out)" = "$(value first)" || fail "the second run ended elsewhere"
"$rtc" de export --config rosen.yaml --out all.csv >out 2>err || fail "no export"
test "$(head -1 all.csv)" = 'number,time,value,seconds,failed,node,objective,a,b' || fail "no head"
LC_ALL=zh_CN.UTF-8 "$rtc" de --config rosen.yaml >out 2>err || fail "the third run failed"
grep -q '^使用并行差分进化算法' out || fail "not said in Chinese"

# Begun with many workers, a run is the same one with few.
run many 'function: rosen' 'method: lshade, options: {budget: 1000, seed: 1, workers: 64}' || fail "many workers failed"
grep -q ' 64 evaluations a generation' out || fail "the population is smaller than the workers"
cp out first
"$rtc" de --config many.yaml --workers 2 >out 2>err || fail "few workers failed"
test "$(count out)" = '1000 1000' || fail "few workers make another run"

# Other settings: what is stored begins the new run, and points that are asked again are known.
sed -i 's/seed: 1/seed: 9/' rosen.yaml
"$rtc" de --config rosen.yaml --quick >out 2>err || fail "another seed failed"
awk -v x="$(value out)" 'BEGIN { exit !(x <= 1e-9) }' || fail "stored evaluations did not help"
sed -i 's/rosen/sphere/; s/seed: 9/seed: 1, reuse: false/' rosen.yaml
"$rtc" de --config rosen.yaml --quick >out 2>err || fail "another objective failed"
count out | awk '{ exit !($1 >= 40 && $2 < 5) }' || fail "another objective's values were used"
grep -q ' 2 generations' out || fail "quick is not two generations"
sed -i 's/- {name: b.*//' rosen.yaml
"$rtc" de --config rosen.yaml >out 2>err && fail "another number of parameters was taken"
grep -q 'not of 1 parameters: give the run another name' err || fail "no reason"

# SciPy 1.10, default_rng(1), rosen on [0, 2]: 139 generations, 4,200 evaluations, value 0.
parameters='parameters: [{name: x, low: 0, high: 2}, {name: y, low: 0, high: 2}]'
scipy='method: differential_evolution, options: {compat: scipy-1.10, generator: 1, workers: 1, polish: false}'
run scipy 'function: rosen' "$scipy" || fail "the SciPy run failed"
grep -q '^4200 evaluations .* 139 generations' out || fail "not SciPy's trajectory"
test "$(value out)" = 0 || fail "not SciPy's value"
run users 'function: rosen' 'method: differential_evolution, options: {popsize: 4, workers: 2, maxiter: 30, mutation: 0.7}' \
    'model: {grid: 100}' || fail "a user's file failed"
grep -q ' 8 evaluations a generation' out || fail "popsize is not SciPy's"
grep -q '"model" is not known, and ignored' err || fail "an unknown key was not told"
run constrained 'function: rosen' 'method: differential_evolution, options: {seed: 1}' \
    'constraints: [{linear: [1, 1], high: [1.9]}]' || fail "constraints failed"
awk -v x="$(value out)" 'BEGIN { exit !(x > 0.001135 && x < 0.001137) }' || fail "not the constrained minimum"
run commanded 'function: rosen' 'method: lshade, options: {budget: 200}' \
    'constraints: [{command: "echo \"$1\"", low: [0.5], high: [0.7]}]' || fail "a command as constraint failed"
awk '/^  x / { exit !($2 >= 0.5 && $2 <= 0.7) }' out || fail "the constraint was not kept"

parameters='parameters:
  - {name: a, low: -2, high: 2}
  - {name: b, low: -2, high: 2}'
cat >model.sh <<'M'
awk -v a="$1" -v b="$2" 'BEGIN { if (a > 1.9) exit 3; print "thinking"; print (a-1)^2+(b+0.5)^2 }'
M
cat >loop.sh <<'M'
while read -r a b; do awk -v a="$a" -v b="$b" 'BEGIN { print (a-1)^2+(b+0.5)^2 }'; done
M
cat >moments.py <<'M'
import json, sys
for line in sys.stdin:
    p = json.loads(line)
    print(json.dumps({"fit": {"q": 7}, "moments": {"m1": p["a"] + p["b"], "m2": p["a"] - p["b"]}}), flush=True)
M
run loop "persistent: sh $dir/loop.sh" 'method: async, options: {budget: 600, seed: 2}' || fail "persistent failed"
solved persistent
"$rtc" de --config loop.yaml --replay >out2 2>err || fail "the replay failed"
test "$(value out2)" = "$(value out)" || fail "the replay ended elsewhere"
run environment "command: 'echo \"\$a\"; echo \"\$b\"', input: environment" \
    'method: lshade, options: {budget: 40}' || fail "parameters by environment failed"
run file "command: 'grep -o \"[-0-9.]*}\" \"\$1\" | tr -d }', input: file" \
    'method: lshade, options: {budget: 40}' || fail "parameters by file failed"
run field "command: 'cat', input: json, value: b" 'method: lshade, options: {budget: 40}' || fail "JSON failed"

# Moments: the value is their distance from the targets; other weights evaluate nothing again.
smm='moments: {targets: [1.5, 0.5], weights: [1, 1], field: moments}'
run smm "persistent: python3 $dir/moments.py, input: json" \
    'method: lshade, options: {budget: 1000, seed: 1}' "$smm" || fail "moments failed"
solved moments
grep -q '^  moment 1 ' out || fail "no moments told"
sed -i 's/weights: \[1, 1\]/weights: [9, 1]/' smm.yaml
"$rtc" de --config smm.yaml >out 2>err || fail "other weights failed"
count out | awk '{ exit !($2 >= 10) }' || fail "other weights evaluated everything again"

command="command: 'sh $dir/model.sh \"\$1\" \"\$2\"'"
run whole "$command" 'method: lshade, options: {budget: 400, seed: 3}' || fail "command failed"
grep -q 'an evaluation failed' err || fail "failures were not told"
grep -q 'it exited with status 3' err || fail "no reason told"
cp out whole.out
run fatal "$command" 'method: lshade, options: {budget: 400, seed: 3}' 'evaluation: {on_failure: fatal, retries: 1}' &&
    fail "a fatal failure was none"
grep -q 'an evaluation failed: it exited with status 3' err || fail "no reason for the fatal failure"

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

# In the background, followed to its end.
sed -i 's/seed: 3/seed: 4/; s/^objective/name: behind\nobjective/' half.yaml
"$rtc" de --config half.yaml --detach >out 2>err || fail "it was not detached"
"$rtc" attach half.yaml >out 2>err || fail "attach failed"
grep -q '^value ' out || fail "attach did not show the end"
for method in neldermead tiktak de-async; do
    run $method 'function: rosen' "method: $method, options: {budget: 4000, seed: 1}" || fail "$method failed"
    solved $method
done

# An asynchronous run, killed and started again, is replayed to the digit.
for method in async de-async; do
    run $method-killed "command: 'sh $dir/model.sh \"\$1\" \"\$2\"'" "method: $method, options: {budget: 300, seed: 7, max_time: 0.3}"
    sed -i 's/, max_time: 0.3//' $method-killed.yaml
    "$rtc" de --config $method-killed.yaml >first 2>err || fail "$method did not go on"
    "$rtc" de --config $method-killed.yaml --replay >out 2>err || fail "the replay of $method failed"
    test "$(value out)" = "$(value first)" || fail "the replay of $method ended elsewhere"
    "$rtc" de --config $method-killed.yaml >out 2>err || fail "$method failed once more"
    test "$(value out)" = "$(value first)" || fail "$method ended elsewhere"
done

# Begun with many workers and stopped, gone on with few: the same run, for methods that depend on them.
for method in async neldermead tiktak; do
    run workers-$method 'function: rosen' "method: $method, options: {budget: 3000, seed: 3, workers: 40, max_time: 0.02}"
    sed -i 's/workers: 40, max_time: 0.02/workers: 1/' workers-$method.yaml
    "$rtc" de --config workers-$method.yaml >out 2>err || fail "$method with few workers failed"
    count out | awk '{ exit !($1 >= 1000) }' || fail "$method ended early with few workers"
    cp out first
    "$rtc" de --config workers-$method.yaml >out 2>err || fail "$method failed once more"
    test "$(value out)" = "$(value first)" || fail "$method ended elsewhere"
done

# An asynchronous run that began from what was stored, stopped and gone on: it begins from the same.
run seeded 'function: rosen' 'method: async, options: {budget: 300, seed: 1}' || fail "seeding failed"
sed -i 's/seed: 1/seed: 2, max_time: 0.02/' seeded.yaml
"$rtc" de --config seeded.yaml >out 2>err
sed -i 's/, max_time: 0.02//' seeded.yaml
"$rtc" de --config seeded.yaml >first 2>err || fail "the seeded run did not go on"
"$rtc" de --config seeded.yaml --replay >out 2>err || fail "the seeded run is not replayed"
test "$(value out)" = "$(value first)" || fail "the seeded run ended elsewhere"
"$rtc" de --config rosen.yaml --replay >out 2>err && fail "another number of parameters was replayed"
"$rtc" de --config loop.yaml --replay >out 2>err || fail "no second replay"

# A slash in a name is part of it.
for name in slash slash/below slash; do
    run slash 'function: sphere' 'method: lshade, options: {budget: 200, seed: 1}' "name: $name" || fail "$name failed"
    cp out "out.$(echo $name | tr / -)"
done
test "$(count out)" = '200 200' || fail "one run's evaluations are among another's"
run huge "command: 'exit 1'" 'method: lshade, options: {budget: 60}' 'evaluation: {penalty: 1e308}' || fail "a huge penalty failed"
grep -q nan out && fail "a huge penalty makes points that are no numbers"
run strict 'function: rosen' 'method: neldermead, options: {budget: 3000, tol: 0}' || fail "tol: 0 failed"
