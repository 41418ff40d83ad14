#!/usr/bin/env bash
# Builds rtc and runs a job on a private cluster of this machine's CPUs:
#   deploy/run.sh [ARGUMENT…]     Monte-Carlo pi, with progress; arguments go to the program
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/lib.sh

install_packages deploy/packages.txt
build build/release gcc >/dev/null
export RTC_BIN=$PWD/build/release/runtime/cli/rtc
exec build/release/examples/pi "$@"
