"""The nouns that cross a door between two rooms, and the tables they travel in.

Every stage up to packing works on one shard of rows at a time. Its table is an Arrow file with the columns named here;
`row` and `line` accompany each row through all of them, and so does its `split` once it is known:

    ingest_sources    RECORDS     one JSON object a row, as it was read
    detect_formats    EXAMPLES    what the row is: a `TextExample` or a `Conversation`, as JSON
    render_chats      RENDERED    one text, and the character spans of it that the loss looks at
    tokenize_chats    TOKENS      token ids, and one mask value a token
    pack_shards       BLOCKS      what the trainer reads: one or several rows a block
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from sft_core.ledger import Ledger

_ROW = [pa.field("row", pa.int64(), nullable=False), pa.field("line", pa.int64())]

RECORDS = pa.schema([*_ROW, pa.field("record", pa.large_string(), nullable=False)])

EXAMPLES = pa.schema(
    [
        *_ROW,
        pa.field("split", pa.string(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        pa.field("example", pa.large_string(), nullable=False),
    ]
)

RENDERED = pa.schema(
    [
        *_ROW,
        pa.field("split", pa.string(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
        # [start, end) pairs, flat: [start_0, end_0, start_1, end_1, …], in characters of `text`
        pa.field("spans", pa.list_(pa.int32()), nullable=False),
        # False where a chat template already wrote the special tokens into the text
        pa.field("wants_special_tokens", pa.bool_(), nullable=False),
        # of held-out rows with an answer: the text to generate from, and the answer to compare with
        pa.field("prompt", pa.large_string()),
        pa.field("reference", pa.large_string()),
    ]
)

TOKENS = pa.schema(
    [
        *_ROW,
        pa.field("split", pa.string(), nullable=False),
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
        # 1 where the token is a target of the loss, in the place of the token itself (the shift happens in the loss)
        pa.field("loss_mask", pa.list_(pa.uint8()), nullable=False),
        pa.field("prompt_ids", pa.list_(pa.int32())),
        pa.field("reference", pa.large_string()),
    ]
)

LENGTHS = pa.schema([pa.field("split", pa.string(), nullable=False), pa.field("tokens", pa.int32(), nullable=False)])
"""Beside each TOKENS table, in its order: all that packing needs to know."""

PROMPTS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("prompt_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("reference", pa.large_string(), nullable=False),
    ]
)

SEGMENTS = pa.schema(
    [
        pa.field("block", pa.int64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
    ]
)
"""Beside the blocks of a split: which row lies where, in order. The way back from a training step to a source line."""

IGNORED_LABEL = -100
"""What stands in `labels` where there is no target, as in TRL and transformers."""

Role = str
Message = dict[str, Any]
"""`role` and `content`, and whatever else the chat template may read (`tool_calls`, `name`, `thinking`, …)."""


@dataclass(frozen=True, slots=True)
class TextExample:
    """Plain text: all of it is learned, or, where there is a prompt, by default only what follows the prompt."""

    prompt: str
    """Empty for language modelling."""
    completion: str
    has_prompt: bool


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages in order. In prompt-completion data `completion_index` is the position of the first completion
    message."""

    messages: tuple[Message, ...]
    completion_index: int | None = None
    tools: tuple[dict[str, Any], ...] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


Example = TextExample | Conversation


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What a room says about the files it wrote, for the manifest."""

    ledger: Ledger | None = None
    facts: dict[str, Any] | None = None
    """JSON values that the next stage or a reader needs: verdicts, capacities, versions, scores."""


class ShardRef(BaseModel):
    """One shard of a source's records. Its identity is its content: where it lies and how the file was cut around it
    do not matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    split: Literal["train", "eval"] | None
    """The split that the recipe gives to the whole source; None lets each row's content decide."""
    number: int
    path: str
    """Of its Arrow file, below the store's root."""
    rows: int
    content_digest: str

    @property
    def name(self) -> str:
        """What artifacts made from this shard are called, for example `gsm8k-00003`."""
        return f"{self.source}-{self.number:05d}"

    def fingerprint(self) -> dict[str, Any]:
        """Source, split and content; neither path nor number."""
        return {"source": self.source, "split": self.split, "content": self.content_digest}

    def file(self, root: Path) -> Path:
        """The Arrow file below a store's root."""
        return root / self.path
