"""Pack the rows of all shards into blocks, and write the data set."""

from collections.abc import Sequence

from sft_core.data.accounts import ShardFiles
from sft_core.data.pack import pack
from sft_core.data.packing import PackingConfig
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from tasks.stages import stage
from tasks.workers import Work


@stage()
def pack_shards(
    config: PackingConfig,
    capacity: int | None,
    tokens: Sequence[ArtifactRef],
    repeats: Sequence[float],
    records: Sequence[str],
    *,
    files: ShardFiles,
    store: ArtifactStore,
) -> Work:
    """Pack token shards into blocks of at most `capacity` tokens; the train rows of a shard come `repeats` times.

    `records` are the digests of the records that the shards began as, which are stored with held-out prompts.
    """
    return Work(pack, (config, capacity, tokens, repeats, files, store))
