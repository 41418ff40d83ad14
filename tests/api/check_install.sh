#!/bin/sh
# check_install.sh BUILD PROGRAM.c PREFIX CC: installs into a fresh folder and uses what lies there.
set -e
build=$1 program=$2 prefix=$3 cc=$4
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
meson install -C "$build" --no-rebuild --destdir "$dir" >"$dir/log" || { cat "$dir/log"; exit 1; }
pc=$(find "$dir" -name rtc.pc)
PKG_CONFIG_PATH=$(dirname "$pc") PKG_CONFIG_SYSROOT_DIR=$dir
export PKG_CONFIG_PATH PKG_CONFIG_SYSROOT_DIR
"$cc" "$program" -o "$dir/program" $(pkg-config --cflags --libs rtc)
LD_LIBRARY_PATH=$(dirname "$(find "$dir" -name 'librtc.so')")
export LD_LIBRARY_PATH
test -x "$dir$prefix/bin/rtc"
# The library finds the program it starts beside itself.
env -u RTC_BIN PATH=/usr/bin:/bin RTC_ADDRESS=embedded "$dir/program" | grep -q '144'
