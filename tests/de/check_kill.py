#!/usr/bin/env python3
"""check_kill.py RTC KILLS EVALUATIONS [SEED]: a calibration on a cluster of its own, in which so many
processes are killed with SIGKILL: executors, models, the daemon, all of the head, the driver. Whoever
does not come back by itself is started again. It must end at the identical point as a run that
nothing happened to. The evaluations themselves say when: each writes a byte into a pipe."""

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

MODEL = """
import os, sys
pipe = os.open(os.environ["CHECK_PIPE"], os.O_RDWR) if "CHECK_PIPE" in os.environ else None
for line in iter(sys.stdin.readline, ""):
    x = [float(word) for word in line.split()]
    print(repr(sum((v - (i + 1) / 3) ** 2 * (i + 1) for i, v in enumerate(x))), flush=True)
    if pipe is not None:
        os.write(pipe, b".")
"""
RUN = """
name: kill
parameters: [{name: a, low: -5, high: 5}, {name: b, low: -5, high: 5}, {name: c, low: -5, high: 5}]
objective: {persistent: "exec python3 %s/model.py"}
optimization: {method: lshade, options: {budget: %d, seed: 5}}
evaluation: {on_failure: retry, retries: 20}
watch: {plots: false, tensorboard: false}
"""
LIMIT = 240  # seconds for all of it


class Check:
    def __init__(self, rtc, kills, evaluations, seed):
        self.rtc, self.random, self.started = rtc, random.Random(seed), time.monotonic()
        self.dir = tempfile.mkdtemp(prefix="rtc-kill-")
        self.kills = sorted(self.random.sample(range(50, evaluations * 9 // 10), kills))
        self.killed = {}
        with open(self.path("model.py"), "w") as file:
            file.write(MODEL)
        with open(self.path("run.yaml"), "w") as file:
            file.write(RUN % (self.dir, evaluations))
        os.mkfifo(self.path("pipe"))
        self.env = dict(os.environ, RTC_ADDRESS="unix:" + self.path("socket"),
                        CHECK_PIPE=self.path("pipe"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def head(self):
        with open(self.path("head.log"), "a") as log:
            if subprocess.run([self.rtc, "head", "--cpus", "2", "--socket", self.path("socket"),
                               "--state-dir", self.path("state"), "--detach"],
                              env=self.env, stdout=log, stderr=log, timeout=60).returncode:
                raise SystemExit("the head does not start: " + self.logs())

    def driver(self, env, folder):
        log = open(self.path(folder + ".log"), "a")
        return subprocess.Popen([self.rtc, "de", "--config", self.path("run.yaml"), "--folder",
                                 self.path(folder)], env=env, stdout=log, stderr=log)

    def processes(self):
        """Those of this check, by what they are."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/environ", "rb") as file:
                    env = file.read().split(b"\0")
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    command = file.read().split(b"\0")
            except OSError:
                continue
            if b"CHECK_PIPE=" + self.path("pipe").encode() not in env:
                continue
            if b"model.py" in b" ".join(command):
                kind = "model"
            elif b"RTC_EXECUTOR=1" in env:
                kind = "executor"
            elif b"daemon" in command:
                kind = "daemon"
            elif b"head" in command:
                kind = "head"
            else:
                kind = "driver"
            found.setdefault(kind, []).append(int(pid))
        return found

    def kill_one(self):
        found = self.processes()
        kind = self.random.choice(["executor", "executor", "model", "daemon", "driver", "head"])
        victims = found.get(kind, [])
        if kind == "head":  # with all that is under it
            victims = victims + found.get("daemon", []) + found.get("executor", [])
        elif victims:
            victims = [self.random.choice(victims)]
        for pid in victims:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if kind == "head":
            self.head()
        self.killed[kind] = self.killed.get(kind, 0) + 1

    def run(self):
        pipe = os.open(self.path("pipe"), os.O_RDWR | os.O_NONBLOCK)
        self.head()
        driver, done = self.driver(self.env, "killed"), 0
        while True:
            if time.monotonic() - self.started > LIMIT:
                raise SystemExit("it takes too long: " + self.logs())
            if select.select([pipe], [], [], 0.1)[0]:
                done += len(os.read(pipe, 4096))
            while self.kills and done >= self.kills[0]:
                self.kills.pop(0)
                self.kill_one()
            status = driver.poll()
            if status == -signal.SIGKILL:
                driver = self.driver(self.env, "killed")
            elif status is not None:
                break
        # On a busy machine the calibration may be through before the last of them.
        if status or not self.killed:
            raise SystemExit(f"status {status}, {len(self.kills)} kills to come: " + self.logs())
        return self.result("killed")

    def result(self, folder):
        with open(self.path(folder + ".log")) as file:
            lines = [line.split() for line in file]
        return [line[1] for line in lines if line and line[0] in ("value", "a", "b", "c")][-4:]

    def logs(self):
        text = ""
        for name in ("killed.log", "head.log"):
            if os.path.exists(self.path(name)):
                with open(self.path(name), errors="replace") as file:
                    text += "\n" + name + "\n" + "".join(file.readlines()[-20:])
        return text

    def end(self):
        for pids in self.processes().values():
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    rtc, kills, evaluations = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else random.randrange(1 << 32)
    print("seed", seed, flush=True)
    check = Check(rtc, kills, evaluations, seed)
    try:
        quiet = dict(os.environ, RTC_ADDRESS="embedded")
        if check.driver(quiet, "quiet").wait(timeout=LIMIT):
            raise SystemExit("the quiet run failed")
        expected, found = check.result("quiet"), check.run()
        print("killed", check.killed, "left", len(check.kills))
        print("quiet ", *expected)
        print("killed", *found)
        return len(expected) != 4 or found != expected
    finally:
        check.end()


sys.exit(main())
