"""The `runtime` section: where and how fast a run works.

Nothing here can change the result, so nothing here enters a cache key. The one exception is the number of training
processes: it decides which blocks share a step, so it is an input of the training.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sft_core.errors import did_you_mean
from sft_core.section import Section
from sft_core.store.fingerprint import Placement
from sft_core.store.stages import EVALUATE_MODEL, REGISTER_MODEL, STAGES

WITHOUT_PROOF = (EVALUATE_MODEL, REGISTER_MODEL)
"""Stages that `accept_code` does not support: their results by earlier code are never reused."""


class RuntimeConfig(Section, Placement):
    """Place and speed of a run's work."""

    home: str | None = None
    """State directory with all artifacts and the default databases of Prefect and MLflow. Default: `$SFT_HOME`, else
    `.sft`."""
    num_workers: int | None = Field(default=None, ge=1)
    """Number of workers that prepare shards in parallel; by default one per core. The result is the same for any
    number."""
    task_runner: Literal["threads", "processes", "dask", "ray"] = "processes"
    """Workers that make the shards of a stage; the result is the same for all. `threads` are threads of the run's own
    process. `processes` are additional processes (none are started for up to four shards). `dask` and `ray` are the
    workers of a Dask or a Ray cluster that share this state directory (`pip install 'sft[dask]'`, `'sft[ray]'`)."""
    task_runner_address: str | None = Field(default=None, min_length=1)
    """Address of Dask's scheduler (`tcp://10.0.0.1:8786`) or of Ray's head node (`10.0.0.1:6379`). Without it, a
    cluster of `num_workers` processes is started on this machine for the run."""
    num_processes: int = Field(default=1, ge=1)
    """Number of training processes on each machine, one per GPU. For anything more, use `launch`."""
    launch: dict[str, Any] = {}
    """Options of `accelerate launch` by their long names, for example `{use_fsdp: true, fsdp_version: 2}`, or
    `config_file`, the YAML that `accelerate config` writes; options override the file. Options that would change the
    result (precision, compilation, clipping) belong to `training` and are refused here."""

    stage_timeouts: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Seconds that the work of a stage may take, for example `{train_model: 7200}`; by default there is no limit. The
    work that was done by then is kept, including a checkpoint, and the same command resumes it. Time spent waiting for
    a GPU does not count."""

    accept_code: tuple[str, ...] = ()
    """Stages whose results by earlier code are reused if only code or library versions changed and a check proves that
    the results are still the same. Data stages make a sample of their shards again and compare the content;
    `train_model` trains its first 20 steps again and compares all recorded numbers. If the check fails, the run stops.
    Also on the command line: `--accept-code STAGE`."""

    @model_validator(mode="after")
    def _only_a_cluster_has_an_address(self) -> Self:
        if self.task_runner_address and self.task_runner not in ("dask", "ray"):
            raise ValueError(
                f"`task_runner_address` is the address of a cluster, but `task_runner` is `{self.task_runner}`: set "
                "`task_runner` to dask or ray, or remove the address"
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
                raise ValueError(
                    f"`{name}` cannot be proven to give the same result again; remove it, and the stage runs again"
                )
        return value

    def home_folder(self, environment: Mapping[str, str]) -> Path:
        """Return the absolute path of the state directory.

        Args:
            environment: Environment variables of the process; `SFT_HOME` is used if the recipe has no `home`.
        """
        return Path(self.home or environment.get("SFT_HOME") or ".sft").expanduser().resolve()


def _check_stages(names: Iterable[str]) -> None:
    for name in names:
        if name not in STAGES:
            raise ValueError(f"expected the name of a stage, found '{name}'{did_you_mean(name, STAGES)}")
