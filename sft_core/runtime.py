"""Where and how fast a run works: nothing here can change what comes out, so nothing here enters a key."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from sft_core.fingerprint import Placement
from sft_core.section import Section


class RuntimeConfig(Section, Placement):
    """Place and pace."""

    home: str | None = None
    """Folder of all state: artifacts, Prefect's and MLflow's default databases. By default `$SFT_HOME`, else `.sft`."""
    num_workers: int | None = Field(default=None, ge=1)
    """Processes that prepare shards side by side; by default one per core. The result is the same for any number."""
    num_processes: int = Field(default=1, ge=1)
    """Training processes on this machine, one per GPU."""

    def home_folder(self, environment: Mapping[str, str]) -> Path:
        """The absolute folder of all state.

        Args:
            environment: Of the process; `SFT_HOME` counts where the recipe says nothing.
        """
        return Path(self.home or environment.get("SFT_HOME") or ".sft").expanduser().resolve()
