"""Pack the rows of all shards into blocks, and write the data set."""

from collections.abc import Sequence

from sft_core.data.accounts import Origins
from sft_core.data.pack import pack
from sft_core.data.packing import PackingConfig
from sft_core.store.artifact import ArtifactRef
from tasks.stages import stage
from tasks.stages.run_context import RunContext
from tasks.workers import Work


@stage()
def pack_shards(
    config: PackingConfig, capacity: int | None, tokens: Sequence[ArtifactRef], origins: Origins, context: RunContext
) -> Work:
    """Pack token shards into blocks of at most `capacity` tokens."""
    return Work(pack, (config, capacity, tokens, origins, context.store))
