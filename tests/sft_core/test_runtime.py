"""Where a run keeps its state."""

from pathlib import Path

import pytest

from sft_core.runtime import RuntimeConfig


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
