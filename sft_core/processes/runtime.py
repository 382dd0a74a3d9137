"""Where and how fast a run works: nothing here can change what comes out, so nothing here enters a key.

But for one number: how many processes train decides which blocks share a step, so it is an input of the training.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sft_core.section import Section
from sft_core.store.fingerprint import Placement

STAGES = (
    "ingest_sources",
    "detect_formats",
    "gather_images",
    "render_chats",
    "tokenize_chats",
    "pack_shards",
    "report_data",
    "train_model",
    "evaluate_model",
    "measure_model",
    "register_model",
)
"""What a run is made of (`gather_images` only where rows have images); each name is also that of a task, and of a
folder below `artifacts/`."""


WITHOUT_PROOF = ("evaluate_model", "measure_model", "register_model")
"""Stages whose results by earlier code are never taken over."""


class RuntimeConfig(Section, Placement):
    """Place and pace."""

    home: str | None = None
    """Folder of all state: artifacts, Prefect's and MLflow's default databases. By default `$SFT_HOME`, else `.sft`."""
    num_workers: int | None = Field(default=None, ge=1)
    """Workers that prepare shards side by side; by default one per core. The result is the same for any number."""
    task_runner: Literal["threads", "processes", "dask", "ray"] = "processes"
    """Where the shards of a stage are made, with the same result: by `threads` of this process, by `processes` beside
    (up to four shards without any), or by the workers of a Dask or a Ray cluster that share this home (`pip install
    'sft[dask]'`, `'sft[ray]'`)."""
    task_runner_address: str | None = Field(default=None, min_length=1)
    """Of Dask's scheduler (`tcp://10.0.0.1:8786`) or of Ray's head (`10.0.0.1:6379`). Without it a cluster of
    `num_workers` processes is started on this machine for the run."""
    num_processes: int = Field(default=1, ge=1)
    """Training processes on each machine, one per GPU. The simple way; `launch` says the rest."""
    launch: dict[str, Any] = {}
    """Options of `accelerate launch` by their long names, for example `{use_fsdp: true, fsdp_version: 2}`, or
    `config_file`, the YAML that `accelerate config` writes; options lie over the file. What would change the result
    (precision, compilation, clipping) belongs to `training` and is refused here."""

    stage_timeouts: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Seconds that a stage's own work may take, for example `{train_model: 7200}`; by default as long as it takes. What
    was done by then is kept, a checkpoint too, and the same command goes on. Waiting for a GPU does not count."""

    accept_code: tuple[str, ...] = ()
    """Stages whose results by earlier code are kept where only code or library versions changed and a proof holds: data
    stages make a sample of their shards again and compare their content, `train_model` trains its first 20 steps again
    and compares all recorded numbers. Without a proof the run stops. Also `--accept-code STAGE`."""

    @model_validator(mode="after")
    def _only_a_cluster_has_an_address(self) -> Self:
        if self.task_runner_address and self.task_runner not in ("dask", "ray"):
            raise ValueError(
                f"`task_runner_address` is a cluster's, and `task_runner` is `{self.task_runner}`: set that to dask or "
                "ray, or leave the address out"
            )
        return self

    @field_validator("stage_timeouts")
    @classmethod
    def _names_are_stages(cls, value: dict[str, float]) -> dict[str, float]:
        _check_stages(value)
        return value

    @field_validator("accept_code")
    @classmethod
    def _can_be_proven(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        _check_stages(value)
        for name in value:
            if name in WITHOUT_PROOF:
                raise ValueError(f"`{name}` cannot be proven to give the same again; leave it out, and it runs again")
        return value

    def home_folder(self, environment: Mapping[str, str]) -> Path:
        """The absolute folder of all state.

        Args:
            environment: Of the process; `SFT_HOME` counts where the recipe says nothing.
        """
        return Path(self.home or environment.get("SFT_HOME") or ".sft").expanduser().resolve()


def _check_stages(names: Iterable[str]) -> None:
    for name in names:
        if name not in STAGES:
            close = difflib.get_close_matches(name, STAGES, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(STAGES)}"
            raise ValueError(f"expected the name of a stage, found '{name}'; {hint}")
