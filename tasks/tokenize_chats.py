"""Turn the rendered rows of a shard into token ids and loss masks."""

import functools
from collections.abc import Mapping

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.ledger import Ledger
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
) -> Work:
    """Tokenize a shard; `limits` are the tokens that a row of each split may have before packing."""
    manifest = store.manifest(rendered)
    source, ledger = manifest.facts["source"], manifest.ledger or Ledger()
    frozen = freeze_tokenizer(tokenizer, store.root / "tokenizers")
    verb = functools.partial(tokenize, limits=limits, threads=threads)
    return Work(verb, (config, frozen, source, store.path(rendered), ledger))
