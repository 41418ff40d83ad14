"""Dask distributed: the rows that it has a counterpart of."""

import time

import peer

OUT = peer.answers()
import dask.distributed as dd  # noqa: E402


def noop(_=None):
    return None


def tasks_sync():
    return peer.median_us(lambda: CLIENT.submit(noop, pure=False).result())


def tasks_async():
    def round_of():
        CLIENT.gather([CLIENT.submit(noop, pure=False) for _ in range(1000)])

    return peer.rate(round_of, 1000)


def tasks_bulk():
    return peer.rate(lambda: CLIENT.gather(CLIENT.map(noop, range(10000), pure=False)), 10000)


def wait_1k():
    left = CLIENT.map(noop, range(1000), pure=False)
    start = time.perf_counter()
    while left:
        left = list(dd.wait(left, return_when="FIRST_COMPLETED").not_done)
    return 1 / (time.perf_counter() - start)


def put_large():
    import numpy

    data = numpy.ones(64 << 20, dtype=numpy.uint8)
    return peer.rate(lambda: CLIENT.scatter(data, hash=False), len(data)) / 1e9


def head_ready():
    def start():
        with dd.LocalCluster(n_workers=1, dashboard_address=None) as cluster:
            with dd.Client(cluster) as client:
                client.scheduler_info()

    return peer.took(start) * 1e3


ROWS = {
    "tasks_sync": ("us", tasks_sync, peer.ROUNDS),
    "tasks_async": ("1/s", tasks_async, peer.ROUNDS),
    "tasks_bulk": ("1/s", tasks_bulk, 1),
    "wait_1k": ("1/s", wait_1k, 1),
    "put_large": ("GB/s", put_large, 3),
    "head_ready": ("ms", head_ready, 3),
}

if __name__ == "__main__":
    CLUSTER = dd.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    CLIENT = dd.Client(CLUSTER)
    peer.serve(ROWS, OUT)
