"""Turn the rendered rows of shards into token ids and loss masks."""

import functools
from collections.abc import Mapping, Sequence

from sft_core.data.tokens import TokensConfig, tokenize
from sft_core.pretrained.processor import ProcessorRef, image_tokens_of
from sft_core.pretrained.tokenizer import TokenizerRef, freeze_tokenizer
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.ledger import Ledger
from tasks.stages import stage
from tasks.workers import ShardWorkers, Work


@stage(per="rendered")
def tokenize_chats(
    config: TokensConfig,
    limits: Mapping[str, int | None],
    tokenizer: TokenizerRef,
    rendered: Sequence[ArtifactRef],
    *,
    image_limits: Mapping[str, int | None] | None = None,
    processor: ProcessorRef | None = None,
    store: ArtifactStore,
    workers: ShardWorkers,
) -> list[Work]:
    """Tokenize shards.

    `limits` are the tokens that a row of each split may have before packing, `image_limits` those of a row with images;
    `processor` is the model's. Where the run has no images, both are None."""
    frozen = freeze_tokenizer(tokenizer, store.root / "tokenizers")
    image_tokens = image_tokens_of(processor) if processor else None
    threads, works = workers.threads_a_shard(len(rendered)), []
    verb = functools.partial(
        tokenize, limits=limits, image_limits=image_limits, image_tokens=image_tokens, threads=threads
    )
    for shard in rendered:
        manifest = store.manifest(shard)
        source, ledger = manifest.facts["source"], manifest.ledger or Ledger()
        works.append(Work(verb, (config, frozen, source, store.path(shard), ledger)))
    return works
