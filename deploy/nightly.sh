#!/usr/bin/env bash
# What takes too long for every change: all lanes, then valgrind, 10,000 seeds of the simulator,
# an hour of fuzzing (RTC_FUZZ_SECONDS for each target), and a cross build for arm64 where its
# compiler is installed (crossbuild-essential-arm64 and the :arm64 libraries).
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. deploy/lib.sh

rc=0
seeds=${RTC_SIM_SEEDS:-10000}
fuzz_seconds=${RTC_FUZZ_SECONDS:-600}

deploy/test.sh || rc=1

if command -v valgrind >/dev/null; then
    say valgrind
    build build/valgrind gcc -Dbuildtype=debug -Dbaselines=false &&
        meson test -C build/valgrind --no-rebuild --setup valgrind || rc=1
fi

say "calibration: 8 seeds of the mean field game, 10 x 20 kills, SciPy's trajectories anew"
tests/de/check_smm.sh build/release/runtime/cli/rtc configs/de_mfg.yaml 8 7 || rc=1
for ((seed = 1; seed <= 10; seed++)); do
    tests/de/check_kill.py build/release/runtime/cli/rtc 20 3000 "$seed" || rc=1
done
if /usr/bin/python3 -c 'import scipy, sys; sys.exit(not scipy.__version__.startswith("1.10."))' 2>/dev/null; then
    for name in scipy:scipy-1.10 scipy_more:scipy-1.10-more sampling:sampling; do
        /usr/bin/python3 "tests/de/${name%%:*}_golden.py" | cmp - "tests/de/golden/${name##*:}.txt" || rc=1
    done
fi

say "controllers of traffic signals against RESCO's delays (RTC_SUMO_DATA)"
tests/sumo/check_eval.py build/release/runtime/cli/rtc nightly
delays=$?
[ "$delays" -eq 0 ] || [ "$delays" -eq 77 ] || rc=1
say "vehicles of a figure eight: do they learn to drive?"
tests/sumo/check_vehicles.py build/release/runtime/cli/rtc build/release/actors/ppo/rtc-ppo nightly
drives=$?
[ "$drives" -eq 0 ] || [ "$drives" -eq 77 ] || rc=1
say "PPO on RESCO's networks: three trainings of each (RTC_SUMO_DATA)"
tests/sumo/check_learn.py build/release/runtime/cli/rtc
learnt=$?
[ "$learnt" -eq 0 ] || [ "$learnt" -eq 77 ] || rc=1
if [ -x build/release/tests/nn/learn ]; then
    say "learning curves: 20 seeds of CartPole and of Acrobot with CleanRL's settings"
    build/release/tests/nn/learn CartPole-v1 20 500000 480 || rc=1
    build/release/tests/nn/learn Acrobot-v1 20 500000 -88 || rc=1
fi

say "rtc ppo under faults, also of a host with simulations; what 1,000 episodes of SUMO leave behind"
tests/ppo/check_faults.py build/release nightly || rc=1
for backend in libsumo traci; do
    RTC_SUMO_WORKER=$PWD/build/release/actors/sumo/rtc-sumo-worker build/release/tests/sumo/test_lives $backend 1000
    lives=$?
    [ "$lives" -eq 0 ] || [ "$lives" -eq 77 ] || rc=1
done

say "hosts in network namespaces: what takes longer than a lease, a slow link, many seeds of strikes"
tests/cluster/check_hosts.py build/release nightly
hosts=$?
[ "$hosts" -eq 0 ] || [ "$hosts" -eq 77 ] || rc=1

say "1,000 kills of actors, hosts and nodes amid a million calls: is every outcome true?"
tests/cluster/check_kills.py build/release 1000
kills=$?
[ "$kills" -eq 0 ] || [ "$kills" -eq 77 ] || rc=1

say "simulator, $seeds seeds"
for ((seed = 1; seed <= seeds; seed++)); do
    build/release/tests/sim/rtc-sim --seed "$seed" >build/sim.log 2>&1 || {
        tail -n 20 build/sim.log
        say "SEED=$seed failed"
        rc=1
        break
    }
done

if command -v clang >/dev/null; then
    say "fuzzing, $fuzz_seconds s each"
    build build/fuzz clang -Dfuzzing=libfuzzer -Db_sanitize=address,undefined -Db_lundef=false \
        -Dbuildtype=debugoptimized -Dbaselines=false || rc=1
    for target in build/fuzz/tests/fuzz/fuzz_*; do
        [ -f "$target" ] && [ -x "$target" ] || continue
        name=$(basename "$target")
        corpus=build/corpus/$name
        mkdir -p "$corpus"
        "build/release/tests/fuzz/$name" --write "$corpus" 200
        "$target" -max_total_time="$fuzz_seconds" -max_len=65536 -print_final_stats=1 \
            -artifact_prefix="$corpus-crash-" "$corpus" || rc=1
    done
fi

if command -v aarch64-linux-gnu-gcc >/dev/null; then
    say "arm64 cross build"
    [ -e build/arm64/build.ninja ] ||
        meson setup build/arm64 --cross-file deploy/arm64.ini -Dbaselines=false
    ninja -C build/arm64 || rc=1
fi
exit "$rc"
