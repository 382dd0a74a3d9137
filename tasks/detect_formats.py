"""Detect the format of each row of a shard."""

from collections.abc import Sequence

from sft_core.data.formats import FormatsConfig, detect
from sft_core.store.records import ShardRef
from tasks.stages import stage
from tasks.stages.run_context import RunContext
from tasks.workers import Work


@stage(per="records")
def detect_formats(config: FormatsConfig, records: Sequence[ShardRef], context: RunContext) -> list[Work]:
    """Turn the records of shards into examples and rejections."""
    root = context.store.root
    return [Work(detect, (config, shard, shard.arrow_file(root))) for shard in records]
