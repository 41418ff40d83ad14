"""sumo-rl: one environment in one process, on libsumo or, with the argument traci, over TraCI. Whole
episodes of cologne1 (RTC_SUMO_DATA) of 3,600 s with random actions, resets included."""

import os
import random
import sys
import time

import peer

OUT = peer.answers()
os.environ.setdefault("SUMO_HOME", "/usr/share/sumo")
if "traci" in sys.argv[1:]:
    os.environ.pop("LIBSUMO_AS_TRACI", None)
else:
    os.environ["LIBSUMO_AS_TRACI"] = "1"
import sumo_rl  # noqa: E402

FOLDER = os.path.join(os.environ["RTC_SUMO_DATA"], "cologne1")


def episode():
    """Decisions per second of one episode; what opens the environment is not counted."""
    random.seed(1)
    env = sumo_rl.SumoEnvironment(
        net_file=os.path.join(FOLDER, "cologne1.net.xml"),
        route_file=os.path.join(FOLDER, "cologne1.rou.xml"),
        begin_time=25200,
        num_seconds=3600,
        delta_time=5,
        single_agent=True,
        sumo_seed=1,
        sumo_warnings=False,
    )
    start, steps, done = time.perf_counter(), 0, False
    env.reset()
    while not done:
        _, _, terminated, truncated, _ = env.step(random.randrange(env.action_space.n))
        done = terminated or truncated
        steps += 1
    took = time.perf_counter() - start
    env.close()
    return steps / took


ROUNDS = 1 if "traci" in sys.argv[1:] else 3
ROWS = {name: ("1/s", episode, ROUNDS) for name in ("sumo_one_a", "sumo_one_b", "sumo_all")}

peer.serve(ROWS, OUT)
