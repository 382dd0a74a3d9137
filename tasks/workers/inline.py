"""One unit after the other, in this process: for few of them, since starting workers takes about a second."""

from collections.abc import Generator, Sequence

from tasks.workers.work import Unit

PLACEMENT = "It decides where work is done."


class Inline:
    """A `Runner` without workers."""

    def run(self, units: Sequence[Unit]) -> Generator[None]:
        """As `Runner.run` says."""
        for unit in units:
            unit()
            yield

    def close(self) -> None:
        """Nothing was started."""
