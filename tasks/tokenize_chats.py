"""Turn the rendered rows of shards into token ids and loss masks."""

import functools
from collections.abc import Sequence

from sft_core.data.tokens import RowLimits, TokensConfig, tokenize
from sft_core.pretrained.reader import Reader
from sft_core.pretrained.tokenizer import freeze_tokenizer
from sft_core.store.artifact import ArtifactRef
from sft_core.store.ledger import Ledger
from tasks.stages import stage
from tasks.stages.run_context import RunContext
from tasks.workers import Work


@stage(per="rendered")
def tokenize_chats(
    config: TokensConfig, limits: RowLimits, reader: Reader, rendered: Sequence[ArtifactRef], context: RunContext
) -> list[Work]:
    """Tokenize the rendered rows of shards, and truncate or reject those that are longer than their limit."""
    store = context.store
    frozen = freeze_tokenizer(reader.tokenizer, store.root / "tokenizers")
    threads, works = context.workers.threads_a_shard(len(rendered)), []
    verb = functools.partial(
        tokenize,
        limits=limits.text,
        image_limits=limits.with_images,
        image_tokens=reader.image_tokens,
        threads=threads,
    )
    for shard in rendered:
        manifest = store.manifest(shard)
        source, ledger = manifest.facts["source"], manifest.ledger or Ledger()
        works.append(Work(verb, (config, frozen, source, store.path(shard), ledger)))
    return works
