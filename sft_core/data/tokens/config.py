"""The `tokens` section of the recipe: tokenization and the maximum length of rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sft_core.section import Section


class TokensConfig(Section):
    """Maximum length, truncation, and special tokens."""

    max_length: int | None = Field(default=1024, ge=1, lt=2**31)
    """Maximum number of tokens of a row, and the capacity of a packed block. None: no limit (packing needs one)."""
    max_length_with_images: int | None = Field(default=None, ge=1, lt=2**31)
    """Maximum number of tokens of a row with images. If the recipe does not set it, the limit is `max_length` if the
    recipe sets that, and otherwise there is no limit: an image takes hundreds of tokens and is never cut in two. Packed
    rows have to fit into a block in any case."""
    truncation_mode: Literal["keep_start", "keep_end", "drop"] = "keep_start"
    """Part of a row longer than `max_length` that is kept: its first or its last `max_length` tokens, or none (`drop`
    rejects the row). Each truncation is counted in the ledger."""
    keep_end_token: bool = False
    """Restore the end token of rows that `keep_start` truncates: if the last kept token is a target, the row's end
    token replaces it, so that truncated rows do not teach the model never to stop. Off by default, as in TRL, because
    such a row is no longer a prefix of the original."""
    eos_token: str | None = None
    """End token of plain text, which must be in the vocabulary. None: the tokenizer's own. The end of a conversation is
    up to its chat template."""
    allow_special_tokens_in_content: bool = False
    """Encode a special token spelled out in the data (`<|im_end|>` in a question about templates) as that token, as TRL
    does. Off by default: it is encoded as plain text, and only the chat template writes special tokens. Rows of plain
    text have no template and are not affected."""

    @model_validator(mode="before")
    @classmethod
    def _set_length_is_meant_for_all_rows(cls, fields: Any) -> Any:
        # set before validation, so that a recipe written out with all its fields means the same when it is read again
        longest = fields.get("max_length", 0) if isinstance(fields, dict) else 0
        is_meant = longest is None or (isinstance(longest, int) and longest > 0)
        return {"max_length_with_images": longest, **fields} if is_meant else fields

    def fingerprint(self) -> dict[str, Any]:
        """Return the fields that determine the tokens of texts.

        The limit of rows with images is not among them; `RowLimits` has it if there are such rows.
        """
        names = type(self).model_fields.keys() - {"max_length_with_images"}
        return {name: getattr(self, name) for name in names}

    @model_validator(mode="after")
    def _end_token_needs_a_cut_end(self) -> Self:
        if self.keep_end_token and self.truncation_mode != "keep_start":
            raise ValueError(
                f"keep_end_token restores the end token that `truncation_mode: keep_start` cuts off, found "
                f"'{self.truncation_mode}', which never cuts it off: remove one of the two"
            )
        return self


@dataclass(frozen=True, slots=True)
class RowLimits:
    """Number of tokens that a row may have before packing, by split; None where longer rows are cut into blocks."""

    text: Mapping[str, int | None]
    """Split → limit of a row without images."""
    with_images: Mapping[str, int | None] | None = None
    """Split → limit of a row with images; None if the run has no images."""
