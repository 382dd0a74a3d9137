"""The nouns that cross a door between two rooms, and the tables they travel in.

Every stage up to packing works on one shard of rows at a time. Its table is an Arrow file with the columns named here;
`row` and `line` accompany each row through all of them, and so does its `split` once it is known:

    ingest_sources    RECORDS     one JSON object a row, as it was read
    detect_formats    EXAMPLES    what the row is: a `TextExample` or a `Conversation`, as JSON
    gather_images     EXAMPLES    the same, its images checked and kept by content; only where rows have images
    render_chats      RENDERED    one text, and the character spans of it that the loss looks at
    tokenize_chats    TOKENS      token ids, and one mask value a token; beside them an INDEX of what packing needs
    pack_shards       BLOCKS      what the trainer reads: one or several rows a block
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from sft_core.store.ledger import Ledger
from sft_core.store.parts import Part

_ROW = [pa.field("row", pa.int64(), nullable=False), pa.field("line", pa.int64())]
_IDENTITY = [
    # 64 bits of a hash of the example and of its prompt: equal examples are duplicates, equal prompts must not be split
    pa.field("example_id", pa.uint64()),
    pa.field("prompt_id", pa.uint64()),
]
_IMAGES = pa.field("images", pa.large_string())
"""The row's images in order, a JSON list: until `gather_images` a path or `{"bytes": <base64>, "path": …}` each, from
then on as `sft_core.store.image_store` writes references. Null where the row has none."""

RECORDS = pa.schema([*_ROW, pa.field("record", pa.large_string(), nullable=False)])

EXAMPLES = pa.schema(
    [
        *_ROW,
        pa.field("split", pa.string(), nullable=False),
        pa.field("format", pa.string(), nullable=False),
        *_IDENTITY,
        pa.field("example", pa.large_string(), nullable=False),
        _IMAGES,
    ]
)

RENDERED = pa.schema(
    [
        *_ROW,
        pa.field("split", pa.string(), nullable=False),
        *_IDENTITY,
        # empty for rows that came as token ids
        pa.field("text", pa.large_string(), nullable=False),
        # [start, end) pairs, flat: [start_0, end_0, start_1, end_1, …], in characters of `text`, ascending
        pa.field("spans", pa.list_(pa.int32()), nullable=False),
        # one a span; null where every weight is 1
        pa.field("span_weights", pa.list_(pa.float32())),
        # [start, end) pairs, flat: what spells a special token there came from the data, and is plain text
        pa.field("literals", pa.list_(pa.int32())),
        # False where a chat template already wrote the special tokens into the text
        pa.field("wants_special_tokens", pa.bool_(), nullable=False),
        # of rows that came as token ids: these, and 1 where a token is a target
        pa.field("input_ids", pa.list_(pa.int32())),
        pa.field("loss_mask", pa.list_(pa.uint8())),
        # of held-out rows with an answer: the text to generate from, and the answer to compare with
        pa.field("prompt", pa.large_string()),
        pa.field("reference", pa.large_string()),
        _IMAGES,
    ]
)

TOKENS = pa.schema(
    [
        *_ROW,
        pa.field("split", pa.string(), nullable=False),
        *_IDENTITY,
        pa.field("input_ids", pa.list_(pa.int32()), nullable=False),
        # 1 where the token is a target of the loss, in the place of the token itself (the shift happens in the loss)
        pa.field("loss_mask", pa.list_(pa.uint8()), nullable=False),
        # one a token; null where the weight of every target is 1
        pa.field("loss_weights", pa.list_(pa.float32())),
        pa.field("prompt_ids", pa.list_(pa.int32())),
        pa.field("reference", pa.large_string()),
        # those that the row still has after the cut, and those of the prompt, which is not cut
        _IMAGES,
        pa.field("prompt_images", pa.large_string()),
    ]
)

INDEX = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        *_IDENTITY,
        pa.field("tokens", pa.int32(), nullable=False),
        # after the shift by one
        pa.field("targets", pa.int32(), nullable=False),
        pa.field("tokens_truncated", pa.int32()),
        # whether the last target is a token at which generation stops
        pa.field("ends_with_stop", pa.bool_()),
        pa.field("has_doubled_bos", pa.bool_()),
    ]
)
"""Beside each TOKENS table, in its order: all that packing and the gates need to know, without the tokens."""

PROMPTS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("prompt_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("reference", pa.large_string(), nullable=False),
        # the row as it stands in its source, a JSON object
        pa.field("metadata", pa.large_string(), nullable=False),
        # what stands for them in `prompt_ids` has been expanded
        _IMAGES,
    ]
)

SCORED_ITEMS = pa.schema(
    [
        # as in the scorecard: `eval_loss`, `exact_match`, `f1/temperature:0.5`
        pa.field("metric", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("numerator", pa.float64(), nullable=False),
        pa.field("denominator", pa.float64(), nullable=False),
    ]
)
"""What each held-out row adds to a score of one model: the score is Σ numerator / Σ denominator. Of the loss these are
the row's weighted loss and weight, of an answer's metric its value and 1."""

SEGMENTS = pa.schema(
    [
        pa.field("block", pa.int64(), nullable=False),
        # position in the list of shards that the data set was packed from, which names source and file: a shard that
        # small files share is one for each of them there, and `row` is the number in the file
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("example_id", pa.uint64()),
        # where in the row the segment begins; above 0 only where a row was split
        pa.field("start", pa.int32(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
    ]
)
"""Beside the blocks of a split: which part of which row lies where, in order. The way back from a training step to a
source line."""

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


@dataclass(frozen=True, slots=True)
class TokenExample:
    """A row that somebody has tokenized already: ids, and for each 1 if it is a target of the loss."""

    input_ids: tuple[int, ...]
    loss_mask: tuple[int, ...]


Example = TextExample | Conversation | TokenExample


class Selection(BaseModel):
    """Which rows of a source take part: those whose hash, drawn with a seed, lies below a limit.

    So that the choice is spread over the whole source, is the same on every machine, and stays when rows are appended.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    below: int
    """Of 2^64: a row is kept if its draw, a number of 64 bits, is less than this (see `sft_core.data.selection`)."""
    at_limit: int = 0
    """So many of the rows whose draw is `below` are kept as well, the first ones of the shard: equal rows of files that
    share it have equal draws."""


class FunctionRef(BaseModel):
    """A function of the user's, by the content of its module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Dotted path: `package.module.function`."""
    folder: str
    """What is added to the import path to find it."""
    content_digest: str

    def fingerprint(self) -> dict[str, Any]:
        """Name and code; not the folder."""
        return {"name": self.name, "content": self.content_digest}


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """What a room says about the files it wrote, for the manifest."""

    ledger: Ledger | None = None
    facts: dict[str, Any] | None = None
    """JSON values that the next stage or a reader needs: verdicts, capacities, versions, scores."""
    incidental: frozenset[str] = frozenset()
    """Files and facts that record how the work went, such as times and paths. They are not part of the artifact's
    content, so no later stage may let its output depend on them."""


class ShardRef(BaseModel):
    """One shard of a source's records. Its identity is its content: where it lies and how the file was cut around it
    do not matter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    split: Literal["train", "eval"] | None
    """The split that the recipe gives to the whole source; None lets each row's content decide."""
    number: int
    """Among the shards of its file: a file that grows renames no other file's shards."""
    path: str
    """Of its Arrow file, below the store's root."""
    rows: int
    content_digest: str
    file: str = ""
    """The file that its rows were read from, or the first of them: what `row` and `line` count in."""
    parts: tuple[Part, ...] = ()
    """Which rows were read from which file, where small files share the shard."""
    selection: Selection | None = None
    """Which of its rows take part; None: all."""
    transform: FunctionRef | None = None
    repeat: float = 1.0
    """How often the data set gets each row; the fraction after the point is a share of the rows, chosen by hash."""

    @property
    def name(self) -> str:
        """What artifacts made from this shard are called, for example `gsm8k-00003`."""
        return f"{self.source}-{self.number:05d}"

    def fingerprint(self) -> dict[str, Any]:
        """What decides its examples: neither where it lies nor how often they are repeated."""
        return {
            "source": self.source,
            "split": self.split,
            "content": self.content_digest,
            "selection": self.selection.model_dump(exclude_defaults=True) if self.selection else None,
            "transform": self.transform,
        }

    def arrow_file(self, root: Path) -> Path:
        """The Arrow file below a store's root."""
        return root / self.path
