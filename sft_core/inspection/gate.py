"""What a limit of the recipe had to say about a data set."""

from sft_core.section import Section


class GateVerdict(Section):
    """One limit and what was found."""

    name: str
    value: float
    limit: float
    passed: bool
    what: str = ""
    """The share in words."""
