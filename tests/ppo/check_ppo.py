#!/usr/bin/env python3
"""check_ppo.py RTC RTC-PPO: `rtc ppo` as a user runs it: a run to its end, one that is interrupted and goes
on, an evaluation, a file written for RLlib, and what cannot be."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

LIMIT = 200  # seconds, of everything that is waited for


class Check:
    def __init__(self, rtc, ppo):
        self.ppo, self.dir = ppo, tempfile.mkdtemp(prefix="rtc-ppo-")
        self.env = dict(os.environ, RTC_BIN=rtc, RTC_ADDRESS="embedded")

    def path(self, *names):
        return os.path.join(self.dir, *names)

    def command(self, *arguments):
        return subprocess.run([self.ppo, *arguments], cwd=self.dir, env=self.env, text=True,
                              capture_output=True, timeout=LIMIT)

    def fine(self, *arguments):
        done = self.command(*arguments)
        if done.returncode:
            raise SystemExit(f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def refused(self, words, *arguments):
        done = self.command(*arguments)
        if done.returncode != 2 or words not in done.stderr:
            raise SystemExit(f"{arguments}: {done.returncode}, not \"{words}\"\n{done.stderr}")

    def rows(self, folder):
        with open(self.path(folder, "result.json"), encoding="utf-8") as file:
            return [json.loads(line) for line in file]


CARTPOLE = ["--set", "env=CartPole-v1", "--set", "semantics=cleanrl", "--set", "num_iterations=6",
            "--set", "checkpoint_interval=2", "--set", "eval_interval=3", "--set", "plots=false"]


def to_its_end(check):
    text = check.fine(*CARTPOLE, "--folder", "whole")
    assert "Training completed" in text, text
    assert "evaluation after iteration 3" in text, text
    rows = check.rows("whole")
    assert [row["training_iteration"] for row in rows] == [1, 2, 3, 4, 5, 6], rows
    assert rows[5]["timesteps_total"] == 6 * 1024, rows[5]
    for name in ("episode_reward_mean", "total_loss", "kl", "vf_explained_var", "cur_lr"):
        assert name in rows[5], rows[5]
    assert os.listdir(check.path("whole", "tensorboard"))
    text = check.fine("eval", "--folder", "whole", "--episodes", "7")
    assert "7 episodes" in text and "return" in text, text
    # The same once more is the same.
    check.fine(*CARTPOLE, "--folder", "again")
    for a, b in zip(rows, check.rows("again")):
        for name in ("episode_reward_mean", "total_loss", "grad_norm", "episodes_total"):
            assert a[name] == b[name], (name, a, b)


def interrupted(check):
    run = subprocess.Popen([check.ppo, *CARTPOLE, "--set", "num_iterations=100000", "--folder", "cut"],
                           cwd=check.dir, env=check.env, text=True, stdout=subprocess.PIPE)
    for line in run.stdout:
        if line.startswith("iteration 3/"):
            run.send_signal(signal.SIGINT)
            break
    rest = run.stdout.read()
    assert run.wait(LIMIT) == 130, (run.returncode, rest)
    assert "--resume" in rest, rest
    before = len(check.rows("cut"))
    assert before >= 3
    text = check.fine("--folder", "cut", "--resume", "--set", f"num_iterations={before + 2}")
    assert f"it goes on behind iteration {before}, in its open episodes" in text, text
    rows = check.rows("cut")
    assert [row["training_iteration"] for row in rows] == list(range(1, before + 3)), rows
    # A kill -9 leaves the last checkpoint.
    run = subprocess.Popen([check.ppo, *CARTPOLE, "--set", "num_iterations=100000", "--folder", "killed"],
                           cwd=check.dir, env=check.env, text=True, stdout=subprocess.PIPE)
    for line in run.stdout:
        if line.startswith("iteration 5/"):
            run.kill()
            break
    run.wait(LIMIT)
    text = check.fine("--folder", "killed", "--resume", "--set", "num_iterations=8")
    assert "it goes on behind iteration" in text and "Training completed" in text, text
    assert check.rows("killed")[-1]["training_iteration"] == 8


def arrays(path):
    """What a checkpoint holds: bytes by name."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header, data = json.loads(file.read(size)), file.read()
    return {name: data[slice(*entry["data_offsets"])] for name, entry in header.items()
            if name != "__metadata__"}


def goes_on(check, name, iterations, cut, *settings):
    """A run that is killed behind a checkpoint and resumed is, to the bit, one that was not."""
    settings = [*settings, "--set", f"num_iterations={iterations}", "--set", "checkpoint_interval=2",
                "--set", "eval_interval=0", "--set", "plots=false"]
    check.fine(*settings, "--folder", name)
    run = subprocess.Popen([check.ppo, *settings, "--folder", name + "-cut"], cwd=check.dir, env=check.env,
                           text=True, stdout=subprocess.PIPE)
    for line in run.stdout:
        if line.startswith(f"iteration {cut}/"):
            run.kill()
            break
    run.wait(LIMIT)
    text = check.fine("--folder", name + "-cut", "--resume")
    assert "in its open episodes" in text, text
    last = f"checkpoints/iteration-{iterations:08}.safetensors"
    whole, other = arrays(check.path(name, last)), arrays(check.path(name + "-cut", last))
    assert whole.keys() == other.keys() and "rollout.0" in whole, (whole.keys(), other.keys())
    for key, value in whole.items():
        assert value == other[key], f"{name}: {key} differs"
    for a, b in zip(check.rows(name), check.rows(name + "-cut")):
        for key in ("episode_reward_mean", "total_loss", "kl", "episodes_total", "timesteps_total"):
            assert a[key] == b[key], (name, key, a, b)


def unbroken(check):
    four = ["--set", "num_env_runners=2", "--set", "num_envs_per_env_runner=2"]
    goes_on(check, "cartpole", 8, 5, "--set", "env=CartPole-v1", "--set", "train_batch_size=400",
            "--set", "num_learners=2", *four)
    goes_on(check, "rows", 6, 5, "--set", "env=Pendulum-v1", "--set", "train_batch_size=256",
            "--set", "num_learners=2", "--set", "vf_share_layers=true")
    if not shutil.which("sumo"):
        print("no sumo: its episodes are not resumed here")
        return
    goes_on(check, "signals", 6, 5, "--scenario", "cross", "--set", "env_config.num_seconds=300",
            "--set", "train_batch_size=128", "--set", "num_epochs=2", "--set",
            "max_concurrent_envs=4", *four)
    merge = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../configs/ppo_merge.yaml")
    goes_on(check, "vehicles", 6, 5, "--config", merge, "--set", "env_config.num_seconds=120", "--set",
            "train_batch_size=200", "--set", "num_learners=2", "--set", "minibatch_size=128")


def files(check):
    with open(check.path("rllib.yaml"), "w", encoding="utf-8") as file:
        file.write("env: CartPole-v1\nnum_workers: 1\nnum_envs_per_worker: 4\nsgd_minibatch_size: 64\n"
                   "num_sgd_iter: 2\ntrain_batch_size: 256\nlr: 0.0003\nlambda_: 0.95\n"
                   "framework: torch\nnum_iterations: 2\nnum_gpus: 1\n")
    text = check.fine("--config", "rllib.yaml", "--folder", "rllib")
    assert "num_gpus 1: there is none, and it learns on CPUs" in text, text
    assert "framework" in text, text
    assert check.rows("rllib")[-1]["timesteps_total"] == 512
    text = check.fine("--config", "rllib.yaml", "--dry-run")
    assert "1 rollout actor × 4 environments" in text, text
    here = os.path.dirname(os.path.abspath(__file__))
    text = check.fine("--config", os.path.join(here, "../../configs/ppo_signals.yaml"), "--dry-run")
    assert "150 iterations, 108000 samples; 10 episodes of evaluation every 15" in text, text


def bad_input(check):
    check.refused("num_iterations", "--set", "num_iteratons=3")
    check.refused("nothing.yaml", "--config", "nothing.yaml")
    check.refused("not understood", "train")
    check.refused("--resume needs --folder", "--resume")
    check.refused("10000", "eval", "--folder", "x", "--episodes", "none")
    done = check.command("--set", "env=CartPole-v7", "--folder", "bad")
    assert done.returncode == 1 and "CartPole-v1" in done.stdout + done.stderr, done
    done = check.command("eval", "--folder", "bad")
    assert done.returncode == 1, done


def main():
    check = Check(sys.argv[1], sys.argv[2])
    try:
        for part in (to_its_end, interrupted, unbroken, files, bad_input):
            print(part.__name__, flush=True)
            part(check)
    finally:
        shutil.rmtree(check.dir, ignore_errors=True)


main()
