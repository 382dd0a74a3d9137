"""Workers that make the artifacts of shards: this process, its threads, other processes, Dask or Ray.

The work for a shard is a `Work`: a function of `sft_core` with its arguments, which fills a folder. So a worker imports
`sft_core` but neither Prefect nor MLflow, and an artifact that it makes appears complete, by one rename. A worker that
dies leaves no incomplete artifact, and finished shards are kept.

    ShardWorkers.build(works)  →  Runner.run(units)  →  inline.py, pools.py (threads, processes), on_dask.py, on_ray.py

A runner executes units in any order and reports when each is done; everything else is common to all runners. The
workers of a cluster may be on other machines and may have been started earlier: `proof.py` checks that each of them has
the same state directory and the same code.
"""

from tasks.workers.shards import ShardWorkers, shard_workers
from tasks.workers.work import Runner, Work

__all__ = ["Runner", "ShardWorkers", "Work", "shard_workers"]
