#!/usr/bin/env bash
# Builds rtc and trains a traffic light on a private cluster of this machine's CPUs:
#   deploy/run.sh [ARGUMENT…]     rtc ppo, preset quick, SUMO's crossing; arguments go to rtc ppo
# Some minutes; ends with a table of the learned controller beside others, and a picture of how it
# learned in the run's folder (runs/cross-1, -2 …).
set -euo pipefail
cd "$(dirname "$0")/.."
. deploy/lib.sh

install_packages deploy/packages.txt
what=(--scenario cross)
if ! install_packages deploy/packages-sumo.txt; then
    say "without SUMO: it learns to balance a pole instead"
    what=(--set env=CartPole-v1)
fi
build build/release gcc >/dev/null
exec build/release/runtime/cli/rtc ppo --preset quick "${what[@]}" "$@"
