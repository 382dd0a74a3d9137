"""Render the examples of a shard to text with supervised spans."""

from pathlib import Path

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.chat import ChatConfig, TemplateRef, chat_template_of, render
from sft_core.ledger import Ledger
from sft_core.records import StageOutcome
from sft_core.tokenizer import TokenizerRef
from tasks.caching import artifact_task


@artifact_task(rooms=["chat"], shard="examples")
def render_chats(
    config: ChatConfig,
    template: TemplateRef,
    tokenizer: TokenizerRef,
    examples: ArtifactRef,
    store: ArtifactStore,
    folder: Path,
) -> StageOutcome:
    """Apply the chat template to a shard."""
    manifest = store.manifest(examples)
    chat_template = chat_template_of(config, template, tokenizer)
    return render(
        config, chat_template, manifest.facts["source"], store.path(examples), manifest.ledger or Ledger(), folder
    )
