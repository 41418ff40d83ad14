#!/usr/bin/env bash
# Builds and tests rtc:  deploy/test.sh [LANE…]
#   release  optimised build as it is installed, all tests
#   asan     AddressSanitizer and UndefinedBehaviorSanitizer, all tests
#   tsan     ThreadSanitizer, the tests that have threads
#   clang    the other compiler, unit tests
# Without a lane: all of them. Warnings are errors. The last line counts the tests of all lanes; the
# exit status is 0 only when everything was built and no test failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
. deploy/lib.sh

lanes=("$@")
[ ${#lanes[@]} -eq 0 ] && lanes=(release asan tsan clang)
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1:abort_on_error=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1:second_deadlock_stack=1}
broken=0
logs=()

# Some kernels randomise more address bits than ThreadSanitizer knows what to do with.
no_aslr() {
    if setarch -R true 2>/dev/null; then
        setarch -R "$@"
    else
        "$@"
    fi
}

run_tests() { # FOLDER ARGUMENT…
    local folder=$1
    shift
    rm -f "$folder/meson-logs/testlog.json"
    no_aslr meson test -C "$folder" --no-rebuild --print-errorlogs "$@" || broken=1
    logs+=("$folder/meson-logs/testlog.json")
}

lane() { # NAME
    local folder=build/$1
    local sanitize=(-Dbuildtype=debugoptimized -Db_lundef=false -Dbaselines=false)
    say "$1"
    case $1 in
    release)
        build "$folder" gcc -Dwerror=true || return 1
        run_tests "$folder"
        deploy/run.sh --set num_iterations=1 --set plots=false --folder build/run >/dev/null || { say "deploy/run.sh failed" && broken=1; }
        ;;
    asan)
        build "$folder" gcc -Dwerror=true -Db_sanitize=address,undefined "${sanitize[@]}" || return 1
        run_tests "$folder" --no-suite lint --timeout-multiplier 5
        ;;
    tsan)
        build "$folder" gcc -Dwerror=true -Db_sanitize=thread "${sanitize[@]}" || return 1
        run_tests "$folder" --suite threads --suite api --timeout-multiplier 5
        ;;
    clang)
        build "$folder" clang -Dwerror=true || return 1
        run_tests "$folder" --suite unit --suite fuzz
        ;;
    *)
        say "no lane of that name: $1"
        return 1
        ;;
    esac
}

install_packages deploy/packages.txt || exit 1
install_packages deploy/packages-sumo.txt || say "without SUMO: what needs it is skipped"
for name in "${lanes[@]}"; do
    lane "$name" || { say "lane $name could not be built" && broken=1; }
done
python3 deploy/count.py "${logs[@]}" || broken=1
exit "$broken"
