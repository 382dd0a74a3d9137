"""Where the artifacts of shards are made: in this process, by its threads, by processes beside it, on Dask or on Ray.

What is to be done for a shard is `Work`: a function of `sft_core` with its arguments, which fills a folder. So a worker
loads `sft_core` and nothing of Prefect or MLflow, and what it makes exists like everything else: whole, by one rename.
A worker that dies leaves no half artifact, and the shards that were finished stay finished.

    ShardWorkers.build(works)  →  Runner.run(units)  →  inline.py, pools.py (threads, processes), on_dask.py, on_ray.py

A runner does units in any order and says when each is done; all else is the same for all of them. A cluster's workers
are other machines with another memory: `proof.py` has each of them show that it sees the same home and runs this code.
"""

from tasks.workers.shards import ShardWorkers, shard_workers
from tasks.workers.work import Runner, Work

__all__ = ["Runner", "ShardWorkers", "Work", "shard_workers"]
