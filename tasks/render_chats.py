"""Render the examples of shards to text with supervised spans."""

import functools
from collections.abc import Sequence

from sft_core.data.chat import ChatConfig, TemplateRef, chat_template_of, render
from sft_core.pretrained.processor import ProcessorRef, image_tokens_of
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.ledger import Ledger
from tasks.stages import stage
from tasks.workers import ShardWorkers, Work


@stage(per="examples")
def render_chats(
    config: ChatConfig,
    template: TemplateRef,
    tokenizer: TokenizerRef,
    examples: Sequence[ArtifactRef],
    *,
    processor: ProcessorRef | None = None,
    store: ArtifactStore,
    workers: ShardWorkers,
) -> list[Work]:
    """Apply the chat template to shards; `processor` is the model's where the run has images, else None."""
    image_tokens = image_tokens_of(processor) if processor else None
    chat_template = chat_template_of(config, template, tokenizer, image_tokens)
    verb, works = functools.partial(render, image_tokens=image_tokens), []
    for shard in examples:
        manifest = store.manifest(shard)
        source, ledger = manifest.facts["source"], manifest.ledger or Ledger()
        works.append(Work(verb, (config, chat_template, source, store.path(shard), ledger)))
    return works
