"""Result of comparing a data set with one limit of the recipe; the gates return it, and the report page shows it."""

from sft_core.section import Section


class GateResult(Section):
    """Limit of one gate, and the value that was measured."""

    name: str
    """Name of the recipe field, for example `max_rejected_fraction`."""
    value: float
    limit: float
    what: str
    """End of the sentence "`value` of …", for example `2,880 rows are rejected`."""
    remedy: str = ""
    worst: tuple[str, ...] = ()
    """Examples of the rows concerned, as `source row N (file line M)`."""

    @property
    def is_passed(self) -> bool:
        """True if `value` does not exceed `limit`."""
        return self.value <= self.limit

    @property
    def message(self) -> str:
        """Sentence with the share, the limit, example rows, and the change that helps."""
        rows = f"; for example {', '.join(self.worst)}" if self.worst else ""
        return (
            f"gates.{self.name}: {self.value:.1%} of {self.what}, at most {self.limit:.1%} are allowed{rows}; "
            f"{self.remedy}, or raise the gate"
        )
