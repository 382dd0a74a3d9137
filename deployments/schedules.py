"""A team's own deployments and schedules: `deployments/schedules.yaml`.

deployments:
  - name: quickstart-nightly                 run-recipe/quickstart-nightly
    recipe: recipes/quickstart.yaml
    cron: "0 2 * * *"
    timezone: Europe/Berlin
    parameters: {training: {learning_rate: 1e-3}}
"""

import datetime
from pathlib import Path
from typing import Any, Literal, Self

from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule, RRuleSchedule
from pydantic import Field, ValidationError, model_validator

from sft_core.errors import RecipeError
from sft_core.recipe.recipe_file import read_mapping
from sft_core.section import Section

FILE = Path("deployments") / "schedules.yaml"
ANCHOR = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
"""Start from which intervals are counted, so that deploying again does not shift them."""
AnySchedule = CronSchedule | IntervalSchedule | RRuleSchedule


class OwnDeployment(Section):
    """One deployment, with or without a schedule."""

    name: str = Field(min_length=1, pattern=r"^[^/%&<>]+$")
    """Name of the deployment, after the name of its flow: `run-recipe/NAME`."""
    recipe: str | None = None
    """The recipe file that it runs, relative to the checkout."""
    flow: str = "run-recipe"
    """Flow of the catalogue: one that runs a `recipe`, or another, for example `prune-home`."""
    parameters: dict[str, Any] = {}
    """Parameters of the flow. For `run-recipe` they are fields of the recipe's sections that override the file."""
    description: str | None = None
    """Description of the deployment; by default the flow's."""
    tags: tuple[str, ...] = ()
    """Tags of the deployment and its runs."""
    job_variables: dict[str, Any] = {}
    """Job variables for its work pool, for example `{env: {CUDA_VISIBLE_DEVICES: "1"}}`."""
    concurrency_limit: int | None = Field(default=None, ge=1)
    """Maximum number of its runs at a time."""
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"] = "ENQUEUE"
    """Action for a run beyond the concurrency limit: it waits (`ENQUEUE`), or is cancelled (`CANCEL_NEW`)."""
    cron: str | None = None
    """Minute, hour, day of month, month, day of week: `0 2 * * *` is every night at two."""
    interval: datetime.timedelta | None = None
    """Time from one run to the next: seconds, or ISO 8601 (`PT6H`)."""
    rrule: str | None = None
    """A rule of iCalendar (RFC 5545): `FREQ=WEEKLY;BYDAY=MO;BYHOUR=6`."""
    timezone: str = "UTC"
    """Time zone of `cron` and `rrule`, with daylight saving time."""
    active: bool = True
    """Enables the schedule."""

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if len([given for given in (self.cron, self.interval, self.rrule) if given is not None]) > 1:
            raise ValueError("expected one of `cron`, `interval` and `rrule`, found several")
        try:
            _ = self.schedule
        except ValidationError as error:
            raise ValueError("; ".join(str(one["msg"]) for one in error.errors())) from error
        return self

    @property
    def schedule(self) -> AnySchedule | None:
        """Schedule of the deployment; None if it only runs when triggered."""
        if self.cron is not None:
            return CronSchedule(cron=self.cron, timezone=self.timezone)
        if self.interval is not None:
            return IntervalSchedule(interval=self.interval, timezone=self.timezone, anchor_date=ANCHOR)
        return RRuleSchedule(rrule=self.rrule, timezone=self.timezone) if self.rrule is not None else None


class _OwnDeployments(Section):
    deployments: tuple[OwnDeployment, ...] = ()


def read_own(checkout: Path) -> tuple[OwnDeployment, ...]:
    """Read a team's own deployments from `deployments/schedules.yaml`; empty if the file does not exist.

    Raises:
        RecipeError: if the file is not valid, with one line per error that names file and field.
    """
    file = checkout / FILE
    if not file.exists():
        return ()
    try:
        return _OwnDeployments.model_validate(read_mapping(file, "a list `deployments`")).deployments
    except ValidationError as error:
        lines = [f"{FILE}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise RecipeError("\n".join(lines)) from error
