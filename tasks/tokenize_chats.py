"""Turn the rendered rows of a shard into token ids and loss masks."""

from pathlib import Path

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.ledger import Ledger
from sft_core.records import StageOutcome
from sft_core.tokenizer import TokenizerRef
from sft_core.tokens import TokensConfig, tokenize
from tasks.caching import artifact_task


@artifact_task(rooms=["tokens"], shard="rendered")
def tokenize_chats(
    config: TokensConfig, tokenizer: TokenizerRef, rendered: ArtifactRef, store: ArtifactStore, folder: Path
) -> StageOutcome:
    """Tokenize a shard."""
    manifest = store.manifest(rendered)
    return tokenize(
        config, tokenizer, manifest.facts["source"], store.path(rendered), manifest.ledger or Ledger(), folder
    )
