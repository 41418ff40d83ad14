#!/bin/sh
# check_bad.sh RTC: what `rtc de` says about files that cannot be, and objectives that do not do what
# they should: a sentence that names it, before any worker starts where that is possible.
rtc=$1
dir=$(mktemp -d)
export RTC_ADDRESS=embedded
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
bad=0

two='parameters: [{name: a, low: -2, high: 2}, {name: b, low: -2, high: 2}]'

says() { # WORDS NAME PARAMETERS OBJECTIVE OPTIMIZATION [MORE]
    printf '%s\nobjective: {%s}\noptimization: {%s}\n%s\n' "$3" "$4" "$5" "$6" >"$2.yaml"
    "$rtc" de --config "$2.yaml" --quick >out 2>err && [ -z "$works" ] && { echo "$2 was taken"; bad=1; }
    grep -q -- "$1" err || { echo "$2: not \"$1\", but: $(cat err)"; bad=1; }
    [ -z "$early" ] || ! [ -d "$2/state" ] || { echo "$2: a cluster was started for it"; bad=1; }
}

early=1 works=
says 'exactly one of function' none "$two" '' 'method: lshade'
says 'there is no function "cube"' unknown "$two" 'function: cube' 'method: lshade'
says 'the library cannot be loaded: .*nowhere.so' library "$two" 'library: nowhere.so' 'method: lshade'
says '"annealing" is not lshade' method "$two" 'function: rosen' 'method: annealing'
says 'updating is immediate or deferred' updating "$two" 'function: rosen' \
    'method: differential_evolution, options: {updating: sometimes}'
says '"popsiz": was popsize meant?' slip "$two" 'function: rosen' \
    'method: differential_evolution, options: {popsiz: 5}'
says 'are options of differential_evolution' foreign "$two" 'function: rosen' 'method: lshade, options: {popsize: 5}'
says 'low 3 and high 1 are not a finite interval' bounds 'parameters: [{name: a, low: 3, high: 1}]' 'function: sphere' 'method: lshade'
says 'FLOAT value: .inf' infinite 'parameters: [{name: a, low: 1, high: .inf}]' 'function: sphere' 'method: lshade'
says 'two parameters of the name a' twins 'parameters: [{name: a, low: 1, high: 2}, {name: a, low: 1, high: 2}]' \
    'function: sphere' 'method: lshade'
says 'x0 5 lies outside' outside 'parameters: [{name: a, low: 1, high: 2, x0: 5}]' 'function: sphere' 'method: lshade'
says 'there are 2 targets and 1 weights' weights "$two" 'function: rosen' 'method: lshade' 'moments: {targets: [1, 2], weights: [1]}'
says '2 parameters and 3 coefficients' linear "$two" 'function: rosen' 'method: de' 'constraints: [{linear: [1, 1, 1], high: [1]}]'
says '"much" is not an amount of memory' memory "$two" 'function: rosen' 'method: de' 'evaluation: {mem: much}'
says '"maybe" is not penalise, retry or fatal' policy "$two" 'function: rosen' 'method: de' 'evaluation: {on_failure: maybe}'
printf '1 1\n2 2 2\n' >points
says 'line 2 of points has 3 numbers, and there are 2 parameters' shape "$two" 'function: rosen' \
    'method: de, options: {init: points}'
printf '1 1\n2 2\n' >few
says 'few has 2 points, and at least 5 are needed' few-points "$two" 'function: rosen' 'method: de, options: {init: few}'
says 'neither latinhypercube, sobol' nowhere "$two" 'function: rosen' 'method: de, options: {init: rubbish}'
"$rtc" de --config missing.yaml >out 2>err && bad=1
grep -q 'missing.yaml cannot be read' err || { echo "missing: $(cat err)"; bad=1; }
"$rtc" de --config slip.yaml --workers many >out 2>err && bad=1
grep -q '"many" is not a number' err || { echo "workers: $(cat err)"; bad=1; }

says 'there is no integer between 0.2 and 0.8' integer 'parameters: [{name: a, low: 0.2, high: 0.8, integer: true}]' \
    'function: sphere' 'method: lshade'
says "not one of SciPy's twelve" strategy "$two" 'function: rosen' 'method: de, options: {strategy: best9bin}'
says 'mutation must be a number in' mutation "$two" 'function: rosen' 'method: de, options: {mutation: [0.5, 3]}'
says 'that is no name of a variable' variable 'parameters: [{name: x-1, low: 0, high: 1}]' "command: 'echo 1', input: environment" 'method: lshade'
says 'your environment has a variable of that name' path 'parameters: [{name: PATH, low: 0, high: 1}]' "command: 'echo 1', input: environment" 'method: lshade'
says 'x0 is not for it' tiktak 'parameters: [{name: a, low: 0, high: 1, x0: 0.5}]' 'function: sphere' 'method: tiktak'
early=
fatal='evaluation: {on_failure: fatal, retries: 1}'
says 'it gave 2 numbers, where a single one is the value' vector "$two" "command: 'echo 1 2'" 'method: lshade' "$fatal"
says 'it printed nothing' silent "$two" "command: 'true'" 'method: lshade' "$fatal"
says 'its last line is not a number: "hello"' words "$two" "command: 'echo hello'" 'method: lshade' "$fatal"
says 'it exited with status 7' status "$two" "command: 'exit 7'" 'method: lshade' "$fatal"
says 'it was killed by signal 9' signal "$two" "command: 'kill -9 \$\$'" 'method: lshade' "$fatal"
says 'did not end within 0.2 s' late "$two" "command: 'read x </dev/zero; while :; do :; done'" 'method: lshade' \
    'evaluation: {on_failure: fatal, retries: 1, deadline: 0.2}'
says 'the process exited with status 3' ends "$two" "persistent: 'exit 3'" 'method: lshade' "$fatal"
says 'did not answer within 0.2 s' mute "$two" "persistent: 'cat >/dev/null'" 'method: lshade' \
    'evaluation: {on_failure: fatal, retries: 1, deadline: 0.2}'
says 'the field "q" is not there' field "$two" "command: 'echo {}', value: q" 'method: lshade' "$fatal"
says 'not a JSON object' json "$two" "command: 'echo 3', value: q" 'method: lshade' "$fatal"
says 'it gave 2 moments, and there are 3 targets' moments "$two" "command: 'echo 1 2'" 'method: lshade' "$fatal
moments: {targets: [1, 2, 3]}"
says 'more than one line for an evaluation' chatty "$two" "persistent: 'while read -r x; do echo 1; echo 2; done'" \
    'method: lshade, options: {workers: 1}' 'evaluation: {on_failure: fatal, retries: 0}'
# The last evaluations count as the first ones do, and a failure that is fatal is not one that is stored.
says 'it exited with status 7' last "$two" "command: 'exit 7'" 'method: lshade, options: {budget: 20, population: 20}' "$fatal"
says 'it exited with status 7' last "$two" "command: 'exit 7'" 'method: lshade, options: {budget: 20, population: 20}' "$fatal"
# Always failing, and nobody said that it is fatal: it ends, and says how it was.
works=1
says 'further failures are counted' always "$two" "command: 'exit 7'" 'method: lshade'
grep -q '[1-9]. failed' out || { echo "always: $(cat out)"; bad=1; }
grep -q '^no evaluation succeeded' out || { echo "always: $(cat out)"; bad=1; }
grep -q '^value inf' out || { echo "always: $(cat out)"; bad=1; }
exit $bad
