"""Which tests one of several processes runs (pytest-xdist): whole files, and files that use one expensive fixture."""

from xdist.scheduler import LoadFileScheduling

TOGETHER = {
    "tests/e2e/test_team.py": "a server with its workers",
    "tests/e2e/test_browser.py": "a server with its workers",
}
"""File → what it shares with the other files that have the same word here, which one process makes once for all."""


class Sharing(LoadFileScheduling):  # type: ignore[misc]
    """Hands out a file's tests to one process, and with them those of the files that share a fixture with it."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return TOGETHER.get(file, file)
