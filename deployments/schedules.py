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
"""What intervals are counted from, so that deploying again does not shift them."""
AnySchedule = CronSchedule | IntervalSchedule | RRuleSchedule


class OwnDeployment(Section):
    """One deployment, with or without a schedule."""

    name: str = Field(min_length=1, pattern=r"^[^/%&<>]+$")
    """What it is called behind its flow: `run-recipe/NAME`."""
    recipe: str | None = None
    """The recipe file that it runs, relative to the checkout."""
    flow: str = "run-recipe"
    """Which flow of the catalogue: one that runs a `recipe`, or another, for example `prune-home`."""
    parameters: dict[str, Any] = {}
    """Of the flow. Those of `run-recipe` are some fields of the recipe's sections, laid over the file."""
    description: str | None = None
    """By default the flow's."""
    tags: tuple[str, ...] = ()
    """Of the deployment and its runs."""
    job_variables: dict[str, Any] = {}
    """Of its work pool, for example `{env: {CUDA_VISIBLE_DEVICES: "1"}}`."""
    concurrency_limit: int | None = Field(default=None, ge=1)
    """Runs of it at a time."""
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"] = "ENQUEUE"
    """What a run does that finds them all taken: it waits, or is cancelled."""
    cron: str | None = None
    """Minute, hour, day of month, month, day of week: `0 2 * * *` is every night at two."""
    interval: datetime.timedelta | None = None
    """Time from one run to the next: seconds, or ISO 8601 (`PT6H`)."""
    rrule: str | None = None
    """A rule of iCalendar (RFC 5545): `FREQ=WEEKLY;BYDAY=MO;BYHOUR=6`."""
    timezone: str = "UTC"
    """In which `cron` and `rrule` are read, daylight saving included."""
    active: bool = True
    """Whether the schedule makes runs."""

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
        """When it runs by itself; None: when somebody triggers it."""
        if self.cron is not None:
            return CronSchedule(cron=self.cron, timezone=self.timezone)
        if self.interval is not None:
            return IntervalSchedule(interval=self.interval, timezone=self.timezone, anchor_date=ANCHOR)
        return RRuleSchedule(rrule=self.rrule, timezone=self.timezone) if self.rrule is not None else None


class _OwnDeployments(Section):
    deployments: tuple[OwnDeployment, ...] = ()


def read_own(checkout: Path) -> tuple[OwnDeployment, ...]:
    """Read a team's own deployments; none where there is no file.

    Raises:
        RecipeError: naming file and place, with a line per mistake.
    """
    file = checkout / FILE
    if not file.exists():
        return ()
    try:
        return _OwnDeployments.model_validate(read_mapping(file, "a list `deployments`")).deployments
    except ValidationError as error:
        lines = [f"{FILE}: {'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise RecipeError("\n".join(lines)) from error
