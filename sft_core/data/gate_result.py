"""What one limit of the recipe had to say about a data set: the noun that goes from the gates to the report page."""

from sft_core.section import Section


class GateResult(Section):
    """One limit, and what was measured."""

    name: str
    """The recipe's field, for example `max_rejected_fraction`."""
    value: float
    limit: float
    what: str
    """Of what it is a share, in words: `2,880 rows are rejected`."""
    remedy: str = ""
    worst: tuple[str, ...] = ()
    """Rows concerned, as `source row N (file line M)`."""

    @property
    def is_passed(self) -> bool:
        """Whether the limit is kept."""
        return self.value <= self.limit

    @property
    def message(self) -> str:
        """Share, limit, rows, and what to change."""
        rows = f"; for example {', '.join(self.worst)}" if self.worst else ""
        return (
            f"gates.{self.name}: {self.value:.1%} of {self.what}, at most {self.limit:.1%} are allowed{rows}; "
            f"{self.remedy}, or raise the gate"
        )
