"""Render the examples of shards to text with supervised spans."""

import functools
from collections.abc import Sequence

from sft_core.data.chat import ChatConfig, TemplateRef, chat_template_of, render
from sft_core.pretrained.reader import Reader
from sft_core.store.artifact import ArtifactRef
from sft_core.store.ledger import Ledger
from tasks.stages import stage
from tasks.stages.run_context import RunContext
from tasks.workers import Work


@stage(per="examples")
def render_chats(
    config: ChatConfig, template: TemplateRef, reader: Reader, examples: Sequence[ArtifactRef], context: RunContext
) -> list[Work]:
    """Apply the chat template to the examples of shards."""
    store, image_tokens = context.store, reader.image_tokens
    chat_template = chat_template_of(config, template, reader.tokenizer, image_tokens)
    verb, works = functools.partial(render, image_tokens=image_tokens), []
    for shard in examples:
        manifest = store.manifest(shard)
        source, ledger = manifest.facts["source"], manifest.ledger or Ledger()
        works.append(Work(verb, (config, chat_template, source, store.path(shard), ledger)))
    return works
