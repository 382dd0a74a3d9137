"""Runner that executes units one after the other in this process; for few units, as starting workers takes a second."""

from collections.abc import Generator, Sequence

from tasks.workers.work import Unit

PLACEMENT = "It decides where work is done."


class Inline:
    """`Runner` without workers."""

    def run(self, units: Sequence[Unit]) -> Generator[None]:
        """Execute units of work as `Runner.run` describes."""
        for unit in units:
            unit()
            yield

    def close(self) -> None:
        """Do nothing, since nothing was started."""
