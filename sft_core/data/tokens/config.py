"""How text becomes token ids, and how long a row may be."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sft_core.section import Section


class TokensConfig(Section):
    """Length, truncation and special tokens."""

    max_length: int | None = Field(default=1024, ge=1, lt=2**31)
    """Tokens a row may have, and the capacity of a packed block. None: no limit (packing needs one)."""
    max_length_with_images: int | None = Field(default=None, ge=1, lt=2**31)
    """Tokens that a row with images may have. Where it is left out, that is `max_length` if the recipe sets that, and
    else any number: an image takes hundreds of tokens, and is never cut in two. Rows that are packed fit the block in
    any case."""
    truncation_mode: Literal["keep_start", "keep_end", "drop"] = "keep_start"
    """What a longer row keeps: its first or its last `max_length` tokens, or nothing (`drop` rejects the row). Each cut
    is counted in the ledger."""
    keep_end_token: bool = False
    """Whether a row that loses its end to `keep_start` gets it back: where the last token kept is a target, it is
    replaced by the end token that the row learned to stop with, so that cut rows do not teach the model to go on
    forever. Off, as in TRL: the row is then not the first tokens of what was written."""
    eos_token: str | None = None
    """The end token of plain text, which must be in the vocabulary. None: the tokenizer's own. Conversations end as
    their chat template says."""
    allow_special_tokens_in_content: bool = False
    """Whether text in the data that spells a special token (`<|im_end|>` in a question about templates) becomes that
    token, as in TRL. Off: it is plain text, and only the chat template writes special tokens. Rows of plain text have
    no template and are not concerned."""

    @model_validator(mode="before")
    @classmethod
    def _set_length_is_meant_for_all_rows(cls, fields: Any) -> Any:
        # told here, so that a recipe that was written with all its fields says the same when it is read again
        longest = fields.get("max_length", 0) if isinstance(fields, dict) else 0
        is_meant = longest is None or (isinstance(longest, int) and longest > 0)
        return {"max_length_with_images": longest, **fields} if is_meant else fields

    def fingerprint(self) -> dict[str, Any]:
        """All that decides the tokens of texts; the limit of rows with images is told where there are such rows."""
        names = type(self).model_fields.keys() - {"max_length_with_images"}
        return {name: getattr(self, name) for name in names}

    @model_validator(mode="after")
    def _end_token_needs_a_cut_end(self) -> Self:
        if self.keep_end_token and self.truncation_mode != "keep_start":
            raise ValueError(
                f"keep_end_token gives rows back the end that `truncation_mode: keep_start` cuts off, found "
                f"'{self.truncation_mode}', which cuts none: leave one of the two out"
            )
        return self


@dataclass(frozen=True, slots=True)
class RowLimits:
    """Number of tokens that a row may have before packing, by split; None where longer rows are cut into blocks."""

    text: Mapping[str, int | None]
    """Split → limit of a row without images."""
    with_images: Mapping[str, int | None] | None = None
    """Split → limit of a row with images; None if the run has no images."""

    def fingerprint(self) -> dict[str, object]:
        """Return both limits."""
        return {"text": self.text, "with_images": self.with_images}
