#!/usr/bin/env python3
"""Runs `rtc bench` and the same rows of its peers in turn on this machine, and prints a table.

usage: compare.py [--build FOLDER] [--peers ray,dask,hyperqueue,sumo_rl,sumo_rl_traci,otp,caf] [--seconds S]
                  [--json FILE] [ROW…]

Makes a Python environment in the build folder for ray, dask, hyperqueue and sumo-rl (PyPI, about 0.5 GB).
sumo_rl has one environment in one process on libsumo, sumo_rl_traci one over TraCI; they need `sumo` and
the network cologne1 in the folder that RTC_SUMO_DATA names, and are left out without.
Erlang/OTP and CAF are Debian's erlang-base and libcaf-dev, and are left out where they are not
installed. Not part of CI.
A row is run by rtc, then by every peer that has it, so that all meet the same moment of the machine.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import venv

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PEERS = {
    "ray": ["ray==2.60.0", "numpy"],
    "dask": ["distributed==2026.8.0", "numpy"],
    "hyperqueue": ["hyperqueue==0.27.0"],
    "sumo_rl": ["sumo-rl==1.4.5", "gymnasium", "libsumo==1.15.0", "traci==1.15.0", "sumolib==1.15.0"],
}
SHARED = {"sumo_rl_traci": ("sumo_rl", ["traci"])}  # another's environment and program, with arguments
PACKAGES = {"otp": "erlang-base", "caf": "libcaf-dev"}


def environment(build, peer):
    """One environment each: they pin what the others need newer."""
    folder = build / "peers" / peer
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        print(f"installing {peer}: {' '.join(PEERS[peer])}", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PEERS[peer]], check=True)
        (folder / "ready").touch()
    return python


def otp_command(folder):
    if not shutil.which("erlc"):
        return None
    subprocess.run(["erlc", "-o", folder, HERE / "peers" / "otp_peer.erl"], check=True)
    return ["erl", "+S", "2", "-noshell", "-pa", folder, "-s", "otp_peer", "main"]


def caf_command(folder):
    if not pathlib.Path("/usr/include/caf/all.hpp").exists() or not shutil.which("c++"):
        return None
    program = folder / "caf_peer"
    source = HERE / "peers" / "caf_peer.cpp"
    flags = ["-std=c++14", "-O2", "-w", "-lcaf_core", "-lpthread"]
    subprocess.run(["c++", source, "-o", program, *flags], check=True)
    return [program]


def missing(name):
    """What a peer needs that is not here, or None."""
    if name != "sumo_rl":
        return None
    if not shutil.which("sumo"):
        return "SUMO is not installed (deploy/packages-sumo.txt)"
    if not (pathlib.Path(os.environ.get("RTC_SUMO_DATA", "")) / "cologne1" / "cologne1.sumocfg").exists():
        return "RTC_SUMO_DATA names no folder with cologne1/cologne1.sumocfg"
    return None


def command(build, name):
    """The peer's program, made first where it has to be; None: it is not installed."""
    of, arguments = SHARED.get(name, (name, []))
    reason = missing(of)
    if reason:
        print(f"compare.py: {name} is left out: {reason}", file=sys.stderr)
        return None
    if of in PEERS:
        try:
            return [environment(build, of), HERE / "peers" / f"{of}_peer.py", *arguments]
        except subprocess.CalledProcessError:
            print(f"compare.py: {name} is left out: pip could not install it", file=sys.stderr)
            return None
    folder = build / "peers" / name
    folder.mkdir(parents=True, exist_ok=True)
    made = {"otp": otp_command, "caf": caf_command}[name](folder)
    if not made:
        print(f"compare.py: {name} is left out: install {PACKAGES[name]}", file=sys.stderr)
    return made


class Peer:
    """The program of one peer; it lives as long as the comparison."""

    def __init__(self, name, program, seconds):
        self.name = name
        self.process = subprocess.Popen(
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={
                **os.environ,
                "BENCH_SECONDS": str(seconds),
                "BENCH_MILLISECONDS": str(int(seconds * 1000)),
            },
        )

    def run(self, row):
        try:
            self.process.stdin.write(row + "\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        return json.loads(line) if line else {"name": row, "error": "its process is gone"}

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def rtc_rows(rtc):
    lines = subprocess.run([rtc, "bench", "--list"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in lines.stdout.splitlines() if line.strip()]


def run_rtc(rtc, row, seconds):
    done = subprocess.run(
        [rtc, "bench", "--json", "--seconds", str(seconds), row],
        capture_output=True,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        if answer["name"] == row:
            return answer
    return {"name": row, "error": done.stderr.strip()[-300:] or "no answer"}


def cell(answer, ours):
    """The value, and how many times better rtc's is."""
    if "value" not in answer:
        return "failed" if "error" in answer else ""
    text = f"{answer['value']:,.4g}" if answer["value"] < 1000 else f"{answer['value']:,.0f}"
    if ours is None or "value" not in ours or not answer["value"] or not ours["value"]:
        return text
    factor = ours["value"] / answer["value"]
    return f"{text} ({factor if '/' in ours['unit'] else 1 / factor:,.3g}x)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("rows", nargs="*", help="rows of `rtc bench --list`; default: all that a peer has")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release")
    parser.add_argument("--peers", default=",".join([*PEERS, *SHARED, *PACKAGES]))
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--json", type=pathlib.Path, help="writes all answers there, a line each")
    options = parser.parse_args()
    rtc = options.build / "runtime" / "cli" / "rtc"
    if not rtc.exists():
        sys.exit(f"compare.py: {rtc} is not there: build first, or name the folder with --build")
    names = [name for name in options.peers.split(",") if name]
    known = [*PEERS, *SHARED, *PACKAGES]
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"compare.py: no peer {unknown[0]!r}; there are {', '.join(known)}")
    programs = {name: command(options.build, name) for name in names}
    names = [name for name in names if programs[name]]
    peers = [Peer(name, programs[name], options.seconds) for name in names]
    log = open(options.json, "w", encoding="utf-8") if options.json else None
    print("| benchmark | unit | rtc | " + " | ".join(names) + " |")
    print("|---" * (3 + len(names)) + "|")
    for row in options.rows or rtc_rows(rtc):
        theirs = [peer.run(row) for peer in peers]
        if not options.rows and not any("unit" in answer for answer in theirs):
            continue
        ours = run_rtc(rtc, row, options.seconds)
        cells = [row, ours.get("unit", ""), cell(ours, None)] + [cell(a, ours) for a in theirs]
        print("| " + " | ".join(cells) + " |", flush=True)
        for name, answer in zip(["rtc", *names], [ours, *theirs]):
            if "error" in answer:
                print(f"compare.py: {name} {row}: {answer['error']}", file=sys.stderr)
            if log:
                log.write(json.dumps({"by": name, **answer}) + "\n")
    for peer in peers:
        peer.end()


if __name__ == "__main__":
    main()
