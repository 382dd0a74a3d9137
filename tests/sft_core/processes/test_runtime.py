"""Where a run keeps its state."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from sft_core.processes.runtime import RuntimeConfig


@pytest.mark.parametrize(
    ("home", "environment", "expected"),
    [
        ("/a", {"SFT_HOME": "/b"}, "/a"),
        (None, {"SFT_HOME": "/b"}, "/b"),
        (None, {"SFT_HOME": ""}, ".sft"),
        (None, {}, ".sft"),
    ],
)
def test_the_recipe_comes_before_the_environment_before_the_default(
    home: str | None, environment: dict[str, str], expected: str
) -> None:
    assert RuntimeConfig(home=home).home_folder(environment) == Path(expected).resolve()


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        ({"train_modle": 60}, "found 'train_modle'; did you mean 'train_model'?"),
        ({"deploy": 60}, "found 'deploy'; known: ingest_sources, "),
        ({"train_model": 0}, "greater than 0"),
    ],
)
def test_limits_are_of_stages_and_positive(limits: dict[str, float], complaint: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(complaint)):
        RuntimeConfig(stage_timeouts=limits)
