"""Recipe section for tasks of lm-eval; most fields have the names of the options of lm-eval's command line."""

from typing import Any

from pydantic import Field, field_validator

from sft_core.section import Section


class LmEvalConfig(Section):
    """Tasks of the lm-evaluation-harness (extra `lm-eval`)."""

    tasks: tuple[str, ...] = ()
    """Names of tasks, groups and tags, as `lm-eval ls tasks` lists them, and of your own tasks below `include_path`.
    Scores are named `lm_eval/<task>/<metric>`."""
    include_path: str | None = None
    """Folder with your own YAML tasks. They override tasks of lm-eval with the same name."""
    num_fewshot: int | None = Field(default=None, ge=0)
    """Number of few-shot examples before each question; by default the number in each task. A task that sets 0 keeps
    it, as in lm-eval."""
    limit: float | None = Field(default=None, gt=0)
    """Use only the first documents of each task: a number of documents, or a share if below 1. By default all."""
    apply_chat_template: bool | None = None
    """Format prompts with the model's chat template. By default it is used if the model has one."""
    fewshot_as_multiturn: bool = True
    """With a chat template: each few-shot example is a separate turn, and not a part of the question's text."""
    system_instruction: str | None = None
    """Text before a task's own description; with a chat template it is the system message."""
    gen_kwargs: dict[str, Any] = {}
    """Overrides for the `generation_kwargs` of tasks that generate text, for example `max_gen_toks: 512`."""
    num_logged_samples: int = Field(default=100, ge=0)
    """Number of documents of each task whose prompts and answers are stored, spread evenly over all; 0 for none."""
    confirm_run_unsafe_code: bool = False
    """Allow tasks that run code written by the model (`unsafe_code`) on this machine, with your permissions."""

    def fingerprint(self) -> dict[str, Any]:
        """Return all fields except `include_path`: the user's own tasks are identified by content."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "include_path"}

    @field_validator("tasks")
    @classmethod
    def _are_different(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        doubled = next((name for index, name in enumerate(tasks) if name in tasks[:index]), None)
        if doubled is not None:
            raise ValueError(f"'{doubled}' is listed twice")
        return tasks

    @field_validator("limit")
    @classmethod
    def _is_whole_or_share(cls, limit: float | None) -> float | None:
        if limit is not None and limit > 1 and not limit.is_integer():
            raise ValueError(f"expected a number of documents, or a share below 1; found {limit}")
        return limit
