"""What `sft check` finds before it reads any data."""

from pathlib import Path

import pytest

from flows.queries.forecast_run import check_training
from sft_core.errors import RecipeError
from sft_core.recipe import Recipe


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"runtime": {"launch": {"use_fsdpp": True}}}, r"runtime\.launch\.use_fsdpp: .* did you mean 'use_fsdp'"),
        ({"evaluation": {"metrics": ["no_such_module.score"]}}, "metric 'no_such_module.score': expected a module"),
        ({"training": {"tf32": True}, "runtime": {"launch": {"cpu": True}}}, "training.tf32: true needs a GPU"),
    ],
    ids=["launch", "metric", "gpu"],
)
def test_launcher_and_metrics_are_checked_without_data(
    tmp_path: Path, section: dict[str, dict[str, object]], says: str
) -> None:
    content: dict[str, object] = {
        "name": "checked",
        "model": {"path": str(tmp_path / "none")},
        "sources": [{"path": str(tmp_path / "none.jsonl")}],
        **section,
    }
    with pytest.raises(RecipeError, match=says):
        check_training(Recipe.model_validate(content))
