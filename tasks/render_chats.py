"""Render the examples of a shard to text with supervised spans."""

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.chat import ChatConfig, TemplateRef, chat_template_of, render
from sft_core.ledger import Ledger
from sft_core.tokenizer import TokenizerRef
from tasks.caching import sharded_task
from tasks.workers import Work


@sharded_task(rooms=["chat"], shard="examples")
def render_chats(
    config: ChatConfig, template: TemplateRef, tokenizer: TokenizerRef, examples: ArtifactRef, store: ArtifactStore
) -> Work:
    """Apply the chat template to a shard."""
    manifest = store.manifest(examples)
    chat_template = chat_template_of(config, template, tokenizer)
    source, ledger = manifest.facts["source"], manifest.ledger or Ledger()
    return Work(render, (config, chat_template, source, store.path(examples), ledger))
