"""Turn the rendered rows of a shard into token ids and loss masks."""

import functools
from collections.abc import Mapping

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.ledger import Ledger
from sft_core.processor import ProcessorRef, image_tokens_of
from sft_core.tokenizer import TokenizerRef, freeze_tokenizer
from sft_core.tokens import TokensConfig, tokenize
from tasks.caching import sharded_task
from tasks.workers import Work


@sharded_task(rooms=["tokens"], shard="rendered")
def tokenize_chats(
    config: TokensConfig,
    limits: Mapping[str, int | None],
    tokenizer: TokenizerRef,
    rendered: ArtifactRef,
    store: ArtifactStore,
    threads: int,
    image_limits: Mapping[str, int | None] | None = None,
    processor: ProcessorRef | None = None,
) -> Work:
    """Tokenize a shard.

    `limits` are the tokens that a row of each split may have before packing, `image_limits` those of a row with images;
    `processor` is the model's. Where the run has no images, both are None."""
    manifest = store.manifest(rendered)
    source, ledger = manifest.facts["source"], manifest.ledger or Ledger()
    frozen = freeze_tokenizer(tokenizer, store.root / "tokenizers")
    image_tokens = image_tokens_of(processor) if processor else None
    verb = functools.partial(
        tokenize, limits=limits, image_limits=image_limits, image_tokens=image_tokens, threads=threads
    )
    return Work(verb, (config, frozen, source, store.path(rendered), ledger))
