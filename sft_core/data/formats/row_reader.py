"""Reading of one row at a time: the text of a record becomes an example with identity and split."""

from collections import Counter
from typing import Any, NamedTuple

import orjson

from sft_core.data.formats.config import FormatsConfig
from sft_core.data.formats.dialects import Fields
from sft_core.data.formats.example_json import encode_example, encode_images
from sft_core.data.formats.identity import example_id_of, prompt_id_of
from sft_core.data.formats.images import place_images
from sft_core.data.formats.json_text import TOO_DEEP, decode
from sft_core.data.formats.matching import DialectMatch, match_dialect, why_unmatched
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.data.formats.split import split_of
from sft_core.data.transform import Transform, TransformFailedError
from sft_core.store.ledger import Split
from sft_core.store.records import Conversation


class ReadRow(NamedTuple):
    """Columns of EXAMPLES that follow from a row's content, in their order."""

    split: str
    format: str
    example_id: int
    prompt_id: int
    example: bytes
    images: bytes | None


class RowReader:
    """Reads the rows of one shard. Counts by which columns their dialects were recognized, how many rows have images,
    and how many name image files."""

    def __init__(self, config: FormatsConfig, split: Split | None, transform: Transform | None = None) -> None:
        self.config = config
        self.split = split
        self.transform = transform
        self.matches: Counter[DialectMatch] = Counter()
        self.num_with_images = 0
        self.num_with_image_files = 0

    def read(self, record: str) -> ReadRow | None:
        """Read a record; return None if the user's transform skips it.

        Raises:
            RowRejectedError: with a reason that many rows can share.
        """
        try:
            fields = fields_of(decode(record), self.config.dataset_text_field)
            if self.transform is not None:
                changed = _transformed(self.transform, fields)
                if changed is None:
                    return None
                fields = fields_of(changed, self.config.dataset_text_field)
            return self._read(fields)
        except RecursionError as error:
            raise RowRejectedError(TOO_DEEP) from error

    def _read(self, fields: Fields) -> ReadRow:
        match, present = match_row(fields, self.config)
        self.matches[match] += 1
        example, shown = place_images(match.dialect.convert(present), fields)
        images = encode_images(shown)
        self.num_with_images += bool(shown)
        self.num_with_image_files += any(isinstance(image, str) for image in shown)
        written = encode_example(example)
        # only objects inside messages and tools can have their keys in another order
        canonical = encode_example(example, sort_keys=True) if isinstance(example, Conversation) else written
        prompt_id = prompt_id_of(example, images)
        split = self.split or split_of(prompt_id, self.config.eval_fraction, self.config.split_seed)
        return ReadRow(split, match.dialect.name, example_id_of(canonical, images), prompt_id, written, images)


def fields_of(value: Any, text_field: str) -> Fields:
    """Return a row's columns. A bare string is text; a bare list is a conversation or a dialogue of strings."""
    if isinstance(value, dict):
        return value
    if isinstance(value, str):
        return {text_field: value}
    if isinstance(value, list):
        return {"messages" if value and isinstance(value[0], dict) else "samples": value}
    raise RowRejectedError("the row is neither an object of columns, nor text, nor a list")


def match_row(fields: Fields, config: FormatsConfig) -> tuple[DialectMatch, Fields]:
    """Recognize one row's dialect, and return it with the row's columns that are not null.

    Raises:
        RowRejectedError: if no dialect fits.
    """
    present = {name: value for name, value in fields.items() if value is not None}
    if config.dataset_text_field != "text" and config.dataset_text_field in present:
        present["text"] = present.pop(config.dataset_text_field)
    match = match_dialect(tuple(present), config.dataset_format)
    if match is None:
        raise RowRejectedError(why_unmatched(fields, present, config.dataset_format))
    return match, present


def _transformed(transform: Transform, fields: Fields) -> Any:
    """Apply the user's function; its result is read as if it came from the file."""
    try:
        changed = transform(fields)
    except TransformFailedError as error:
        raise RowRejectedError(str(error)) from error
    try:
        return orjson.loads(orjson.dumps(changed, option=orjson.OPT_SERIALIZE_NUMPY))
    except TypeError as error:
        raise RowRejectedError(f"the transform returned what cannot be kept as JSON: {error}") from error
