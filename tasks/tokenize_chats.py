"""Turn the rendered rows of a shard into token ids and loss masks."""

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.ledger import Ledger
from sft_core.tokenizer import TokenizerRef
from sft_core.tokens import TokensConfig, tokenize
from tasks.caching import sharded_task
from tasks.workers import Work


@sharded_task(rooms=["tokens"], shard="rendered")
def tokenize_chats(config: TokensConfig, tokenizer: TokenizerRef, rendered: ArtifactRef, store: ArtifactStore) -> Work:
    """Tokenize a shard."""
    manifest = store.manifest(rendered)
    source, ledger = manifest.facts["source"], manifest.ledger or Ledger()
    return Work(tokenize, (config, tokenizer, source, store.path(rendered), ledger))
