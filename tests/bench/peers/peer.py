"""What the peers' programs share: rows by name, timed as `rtc bench` times them, one JSON line each.

A peer's program reads names of rows from its input and answers each with a line, so that compare.py
can run a row of rtc's and the same of every peer one after the other.
"""

import json
import os
import statistics
import sys
import time

SECONDS = float(os.environ.get("BENCH_SECONDS", "1"))
ROUNDS = 5


def rate(do, n):
    """Calls do(), which completes n things, for SECONDS; things per second."""
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        do()
        done += n
    return done / (time.perf_counter() - start)


def took(do):
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def median_us(do):
    """Median microseconds of one do(), over SECONDS."""
    times, end = [], time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        times.append(took(do))
    return statistics.median(times) * 1e6


def pss_mb(pids):
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
                total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
        except OSError:
            pass
    return total / 1024


def run(row):
    """row: (unit, function, rounds). Fewer rounds than ROUNDS for what takes long."""
    unit, do, rounds = row
    if rounds > 1:
        do()
    values = sorted(do() for _ in range(rounds))
    return {
        "value": statistics.median(values),
        "unit": unit,
        "min": values[0],
        "max": values[-1],
        "rounds": rounds,
    }


def serve(rows, out):
    """Answers on `out`: sys.stdout is the peer's to print on."""
    for line in sys.stdin:
        name = line.strip()
        answer = {"name": name}
        if name in rows:
            try:
                answer.update(run(rows[name]))
            except Exception as error:  # a peer that fails at a row is a result as well
                answer["error"] = f"{type(error).__name__}: {error}"[:300]
        out.write(json.dumps(answer) + "\n")
        out.flush()


def answers():
    """The descriptor of the answers; what libraries print goes to stderr from here on."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return out
