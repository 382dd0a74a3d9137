"""How text becomes token ids, and how long a row may be."""

from typing import Literal

from pydantic import Field

from sft_core.section import Section


class TokensConfig(Section):
    """Length and truncation."""

    max_length: int | None = Field(default=1024, ge=1)
    """Tokens a row may have, and the capacity of a packed block. None: no limit (packing needs one)."""
    truncation_mode: Literal["keep_start"] = "keep_start"
    """What a longer row keeps. Each cut is counted in the ledger."""
