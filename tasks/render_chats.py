"""Render the examples of a shard to text with supervised spans."""

import functools

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.chat import ChatConfig, TemplateRef, chat_template_of, render
from sft_core.ledger import Ledger
from sft_core.processor import ProcessorRef, image_tokens_of
from sft_core.tokenizer import TokenizerRef
from tasks.caching import sharded_task
from tasks.workers import Work


@sharded_task(rooms=["chat"], shard="examples")
def render_chats(
    config: ChatConfig,
    template: TemplateRef,
    tokenizer: TokenizerRef,
    examples: ArtifactRef,
    store: ArtifactStore,
    processor: ProcessorRef | None = None,
) -> Work:
    """Apply the chat template to a shard; `processor` is the model's where the run has images, else None."""
    manifest = store.manifest(examples)
    image_tokens = image_tokens_of(processor) if processor else None
    chat_template = chat_template_of(config, template, tokenizer, image_tokens)
    source, ledger = manifest.facts["source"], manifest.ledger or Ledger()
    verb = functools.partial(render, image_tokens=image_tokens)
    return Work(verb, (config, chat_template, source, store.path(examples), ledger))
