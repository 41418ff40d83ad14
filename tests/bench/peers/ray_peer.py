"""Ray: the rows of `rtc bench`, with the same work in each."""

import os
import subprocess
import sys
import time

import peer

OUT = peer.answers()
os.environ.setdefault("RAY_DEDUP_LOGS", "0")
import ray  # noqa: E402

CLIENTS = 4


@ray.remote
def noop():
    return None


@ray.remote
def nothing_of(*args):
    return None


@ray.remote(max_retries=1)
def die_once(path):
    if not os.path.exists(path):
        with open(path, "w", encoding="ascii"):
            pass
        os._exit(1)
    return 1


@ray.remote(num_cpus=0)
class Client:
    def run(self, n):
        ray.get([noop.remote() for _ in range(n)])


def tasks_sync():
    return peer.median_us(lambda: ray.get(noop.remote()))


def tasks_async():
    return peer.rate(lambda: ray.get([noop.remote() for _ in range(1000)]), 1000)


def tasks_clients():
    clients = [Client.remote() for _ in range(CLIENTS)]
    ray.get([c.run.remote(1) for c in clients])
    seconds = peer.took(lambda: ray.get([c.run.remote(10000) for c in clients]))
    for client in clients:
        ray.kill(client)
    return CLIENTS * 10000 / seconds


def put_small():
    return peer.rate(lambda: [ray.put(7) for _ in range(1000)], 1000)


def get_small():
    ref = ray.put(7)
    return peer.rate(lambda: [ray.get(ref) for _ in range(1000)], 1000)


def put_large():
    import numpy

    data = numpy.ones(64 << 20, dtype=numpy.uint8)
    return peer.rate(lambda: ray.put(data), len(data)) / 1e9


def get_large():
    import numpy

    ref = ray.put(numpy.ones(64 << 20, dtype=numpy.uint8))
    return peer.median_us(lambda: ray.get(ref))


def get_10k_refs():
    ref = ray.put([ray.put(i) for i in range(10000)])
    return peer.rate(lambda: ray.get(ref), 1)


def wait_1k():
    left = [noop.remote() for _ in range(1000)]
    start = time.perf_counter()
    while left:
        _, left = ray.wait(left)
    return 1 / (time.perf_counter() - start)


def args_10k():
    refs = [ray.put(i) for i in range(10000)]
    return peer.took(lambda: ray.get(nothing_of.remote(*refs))) * 1e3


def returns_3k():
    many = ray.remote(num_returns=3000)(lambda: [0] * 3000)
    return peer.took(lambda: ray.get(many.remote())) * 1e3


def get_10k():
    refs = [ray.put(i) for i in range(10000)]
    return peer.took(lambda: ray.get(refs)) * 1e3


def first_task():
    program = "import ray; ray.init(); ray.get(ray.remote(lambda: 1).remote())"
    return peer.took(lambda: subprocess.run([sys.executable, "-c", program], check=True)) * 1e3


def head_ready():
    """A second head on this machine would meet the first: this row stops the peer's cluster."""
    ray.shutdown()
    tool = os.path.join(os.path.dirname(sys.executable), "ray")

    def start():
        subprocess.run([tool, "start", "--head", "--port=6399"], check=True)
        subprocess.run([tool, "status", "--address=127.0.0.1:6399"], check=True)

    seconds = peer.took(start)
    subprocess.run([tool, "stop", "--force"], check=False)
    init()
    return seconds * 1e3


def idle_memory():
    ray.get([noop.remote() for _ in range(100)])
    time.sleep(5)
    session = subprocess.run(["pgrep", "-g", "0"], capture_output=True, text=True, check=False)
    own = {os.getpid()}
    pids = [int(p) for p in session.stdout.split() if int(p) not in own]
    pids += [int(p) for p in subprocess.run(["pgrep", "-f", "raylet|gcs_server|ray::|ray/dashboard"],
                                            capture_output=True, text=True, check=False).stdout.split()]
    return peer.pss_mb(set(pids) - own)


def fault_executor():
    path = f"/tmp/ray-peer-{os.getpid()}-{time.time_ns()}"
    seconds = peer.took(lambda: ray.get(die_once.remote(path)))
    os.unlink(path)
    return seconds * 1e3


def init():
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)


ROWS = {
    "tasks_sync": ("us", tasks_sync, peer.ROUNDS),
    "tasks_async": ("1/s", tasks_async, peer.ROUNDS),
    "tasks_clients": ("1/s", tasks_clients, 1),
    "put_small": ("1/s", put_small, peer.ROUNDS),
    "get_small": ("1/s", get_small, peer.ROUNDS),
    "put_large": ("GB/s", put_large, peer.ROUNDS),
    "get_large": ("us", get_large, peer.ROUNDS),
    "get_10k_refs": ("1/s", get_10k_refs, peer.ROUNDS),
    "wait_1k": ("1/s", wait_1k, 3),
    "args_10k": ("ms", args_10k, 3),
    "returns_3k": ("ms", returns_3k, 3),
    "get_10k": ("ms", get_10k, 3),
    "first_task": ("ms", first_task, 3),
    "idle_memory": ("MB", idle_memory, 1),
    "fault_executor": ("ms", fault_executor, 3),
    "head_ready": ("ms", head_ready, 1),
}

if __name__ == "__main__":
    init()
    peer.serve(ROWS, OUT)
