"""Data types that several packages share, and the schemas of the tables between the stages.

Every stage up to packing works on one shard of rows at a time. Its table is an Arrow file with the columns named here;
`row` and `line` accompany each row through all of them, and so does its `split` once it is known:

    ingest_sources    RECORDS     one JSON object per row, as it was read
    detect_formats    EXAMPLES    one `TextExample` or `Conversation` per row, as JSON
    gather_images     EXAMPLES    the same, with images checked and stored by content; only if rows have images
    render_chats      RENDERED    one text, and the character spans in it that the loss covers
    tokenize_chats    TOKENS      token ids and one mask value per token, with an INDEX for packing next to them
    pack_shards       BLOCKS      input of the trainer: one or several rows per block
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
"""The row's images in order, a JSON list. Until `gather_images` each is a path or `{"bytes": <base64>, "path": …}`, and
after it a reference of `sft_core.store.image_store`. Null if the row has no images."""

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
        # one per span; null if every weight is 1
        pa.field("span_weights", pa.list_(pa.float32())),
        # [start, end) pairs, flat: text of special tokens that came from the data, and is encoded as plain text
        pa.field("literals", pa.list_(pa.int32())),
        # False if a chat template already wrote the special tokens into the text
        pa.field("wants_special_tokens", pa.bool_(), nullable=False),
        # only for rows that came as token ids: the ids, and 1 for each token that is a target
        pa.field("input_ids", pa.list_(pa.int32())),
        pa.field("loss_mask", pa.list_(pa.uint8())),
        # only for held-out rows with an answer: the text to generate from, and the answer to compare with
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
        # 1 if the token is a target of the loss, at the position of the token itself (the shift happens in the loss)
        pa.field("loss_mask", pa.list_(pa.uint8()), nullable=False),
        # one per token; null if the weight of every target is 1
        pa.field("loss_weights", pa.list_(pa.float32())),
        pa.field("prompt_ids", pa.list_(pa.int32())),
        pa.field("reference", pa.large_string()),
        # images that remain after truncation, and images of the prompt, which is not truncated
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
        # number of target tokens after the shift by one
        pa.field("targets", pa.int32(), nullable=False),
        pa.field("tokens_truncated", pa.int32()),
        # True if the last target is a token at which generation stops
        pa.field("ends_with_stop", pa.bool_()),
        pa.field("has_doubled_bos", pa.bool_()),
    ]
)
"""Index next to each TOKENS table, in its order: everything that packing and the gates need, without the tokens."""

PROMPTS = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("prompt_ids", pa.list_(pa.int32()), nullable=False),
        pa.field("reference", pa.large_string(), nullable=False),
        # the row as it is in its source, a JSON object
        pa.field("metadata", pa.large_string(), nullable=False),
        # their placeholders in `prompt_ids` have been expanded
        _IMAGES,
    ]
)

SCORED_ITEMS = pa.schema(
    [
        # name as in the scorecard: `eval_loss`, `exact_match`, `f1/temperature:0.5`
        pa.field("metric", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("numerator", pa.float64(), nullable=False),
        pa.field("denominator", pa.float64(), nullable=False),
    ]
)
"""Contribution of each held-out row to a score of one model: the score is Σ numerator / Σ denominator. For the loss
these are the row's weighted loss and its weight, and for a metric of answers its value and 1."""

SEGMENTS = pa.schema(
    [
        pa.field("block", pa.int64(), nullable=False),
        # position in the list of shards that the data set was packed from, which names source and file: a shard with
        # rows of several small files has one entry for each of them, and `row` is the number in the file
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("row", pa.int64(), nullable=False),
        pa.field("example_id", pa.uint64()),
        # first token of the segment in the row; above 0 only if a row was split
        pa.field("start", pa.int32(), nullable=False),
        pa.field("tokens", pa.int32(), nullable=False),
    ]
)
"""Table next to the blocks of a split: the rows, or parts of rows, in each block, in order. It leads back from a
training step to a source line."""

IGNORED_LABEL = -100
"""Value in `labels` of tokens that are not targets, as in TRL and transformers."""

Role = str
Message = dict[str, Any]
"""`role` and `content`, and whatever else the chat template may read (`tool_calls`, `name`, `thinking`, …)."""


@dataclass(frozen=True, slots=True)
class TextExample:
    """Plain text. The model learns all of it, or, if there is a prompt, by default only the completion."""

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
    """A row that is already tokenized: token ids, and for each of them 1 if it is a target of the loss."""

    input_ids: tuple[int, ...]
    loss_mask: tuple[int, ...]


Example = TextExample | Conversation | TokenExample


class Selection(BaseModel):
    """Choice of rows of a source: those whose draw, a hash with a seed, is below a limit.

    The choice is spread over the whole source and is the same on every machine. Appending rows does not change it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int
    below: int
    """Limit, from 0 to 2^64: a row is kept if its draw, which has 64 bits, is less (see `sft_core.data.selection`)."""
    at_limit: int = 0
    """Number of rows whose draw equals `below` that are kept too, the first ones of the shard. Equal rows of files that
    share a shard have equal draws."""


class FunctionRef(BaseModel):
    """A function of the user, identified by the content of its module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Dotted path: `package.module.function`."""
    folder: str
    """Folder that is added to the import path to find it."""
    content_digest: str

    def fingerprint(self) -> dict[str, Any]:
        """Return the name and the digest of the code; the folder is not part of it."""
        return {"name": self.name, "content": self.content_digest}


@dataclass(frozen=True, slots=True)
class StageOutcome:
    """Result of a stage's work, which is written into the manifest."""

    ledger: Ledger | None = None
    facts: dict[str, Any] | None = None
    """JSON values that the next stage or a reader needs: verdicts, capacities, versions, scores."""
    incidental: frozenset[str] = frozenset()
    """Names of files and facts that record how the work was done, such as times and paths. They are not part of the
    artifact's content, so the output of a later stage must not depend on them."""


class ShardRef(BaseModel):
    """One shard of a source's records. Its identity is its content: neither its path nor the division of the file into
    shards is part of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    split: Literal["train", "eval"] | None
    """Split that the recipe gives to the whole source; with None the content of each row decides."""
    number: int
    """Number of the shard within its file, so that a file that grows does not rename the shards of other files."""
    path: str
    """Path of its Arrow file below the root of the store."""
    rows: int
    content_digest: str
    file: str = ""
    """File that its rows were read from, in which `row` and `line` are counted; the first one if there are several."""
    parts: tuple[Part, ...] = ()
    """Ranges of rows by file, if several small files share the shard."""
    selection: Selection | None = None
    """Rows of the shard that are used; None for all."""
    transform: FunctionRef | None = None
    repeat: float = 1.0
    """Number of times that each row is in the data set. A fractional part is a share of the rows, chosen by hash."""

    @property
    def name(self) -> str:
        """Name of the artifacts that are made from this shard, for example `gsm8k-00003`."""
        return f"{self.source}-{self.number:05d}"

    def fingerprint(self) -> dict[str, Any]:
        """Return everything that decides its examples; neither the path nor `repeat` is part of it."""
        return {
            "source": self.source,
            "split": self.split,
            "content": self.content_digest,
            "selection": self.selection.model_dump(exclude_defaults=True) if self.selection else None,
            "transform": self.transform,
        }

    def arrow_file(self, root: Path) -> Path:
        """Return the path of the Arrow file, given the root of the store."""
        return root / self.path
