#!/bin/sh
# check_smm.sh RTC CONFIG RUNS NEEDED: calibrates the mean field game with as many seeds; so many of
# them must come within 1e-6, with every parameter within 0.5 % of the width of its bounds.
rtc=$1 config=$2 runs=$3 needed=$4
dir=$(mktemp -d)
export RTC_ADDRESS=embedded
trap 'rm -rf "$dir"' EXIT
good=0
for seed in $(seq 1 "$runs"); do
    "$rtc" de --config "$config" --folder "$dir/$seed" --seed "$seed" >"$dir/out" 2>"$dir/err" ||
        { cat "$dir/out" "$dir/err"; exit 1; }
    awk '
        $1 == "value" { q = $2 }
        $1 == "rho" { off($2, .05, .05) }
        $1 == "gamma" { off($2, 2, 3) }
        $1 == "lambda" { off($2, .5, 1.4) }
        $1 == "e" { off($2, .4, .7) }
        $1 == "phi" { off($2, .2, 1) }
        function off(x, truth, width) { n++; if ((x - truth) ^ 2 > (.005 * width) ^ 2) wrong++ }
        END { print "distance " q ", " n - wrong " of 5 parameters"; exit !(q <= 1e-6 && n == 5 && !wrong) }
    ' "$dir/out" && good=$((good + 1))
done
echo "$good of $runs"
test "$good" -ge "$needed"
