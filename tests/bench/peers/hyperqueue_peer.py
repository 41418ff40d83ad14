"""HyperQueue: commands as tasks."""

import tempfile

import peer

OUT = peer.answers()
from hyperqueue import Job, LocalCluster  # noqa: E402
from hyperqueue.cluster import WorkerConfig  # noqa: E402

TASKS = 1000


def tasks_command():
    with tempfile.TemporaryDirectory() as folder:
        job = Job(default_workdir=folder)
        for _ in range(TASKS):
            job.program(["/bin/true"])
        seconds = peer.took(lambda: CLIENT.wait_for_jobs([CLIENT.submit(job)]))
    return TASKS / seconds


ROWS = {"tasks_command": ("1/s", tasks_command, 3)}

if __name__ == "__main__":
    with LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=2))
        CLIENT = cluster.client()
        peer.serve(ROWS, OUT)
