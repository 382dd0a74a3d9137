"""Which tasks of lm-eval are measured, and how; fields have the names that lm-eval's command line gives them."""

from typing import Any

from pydantic import Field, field_validator

from sft_core.section import Section


class LmEvalConfig(Section):
    """Tasks of the lm-evaluation-harness (extra `lm-eval`)."""

    tasks: tuple[str, ...] = ()
    """Names of tasks, groups and tags, as `lm-eval ls tasks` lists them, and of your own below `include_path`. Their
    scores are `lm_eval/<task>/<metric>`."""
    include_path: str | None = None
    """A folder with YAML tasks of your own. Where a name is lm-eval's too, yours is taken."""
    num_fewshot: int | None = Field(default=None, ge=0)
    """Examples in front of each question; by default as each task says. A task that says 0 keeps it, as in lm-eval."""
    limit: float | None = Field(default=None, gt=0)
    """Only the first documents of each task: a number, or below 1 a share. By default all."""
    apply_chat_template: bool | None = None
    """Ask in the model's own chat template. By default where it has one."""
    fewshot_as_multiturn: bool = True
    """With a chat template: each example is a turn of its own, not a part of the question's text."""
    system_instruction: str | None = None
    """Stands before a task's own description, with a chat template as the system message."""
    gen_kwargs: dict[str, Any] = {}
    """Laid over the `generation_kwargs` of tasks that generate, for example `max_gen_toks: 512`."""
    num_logged_samples: int = Field(default=100, ge=0)
    """Documents of each task whose prompts and answers are kept, spread evenly over all of them; 0: none."""
    confirm_run_unsafe_code: bool = False
    """Allow tasks that run code which the model has written (`unsafe_code`), on this machine and with your rights."""

    def fingerprint(self) -> dict[str, Any]:
        """All but where tasks of one's own lie: they are known by content."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "include_path"}

    @field_validator("tasks")
    @classmethod
    def _are_different(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        doubled = next((name for index, name in enumerate(tasks) if name in tasks[:index]), None)
        if doubled is not None:
            raise ValueError(f"'{doubled}' stands twice")
        return tasks

    @field_validator("limit")
    @classmethod
    def _is_whole_or_share(cls, limit: float | None) -> float | None:
        if limit is not None and limit > 1 and not limit.is_integer():
            raise ValueError(f"a number of documents, or a share below 1; found {limit}")
        return limit
