"""Docstrings, messages and pages keep to the rules for plain English (`tests/language.py`)."""

from pathlib import Path

import pytest

from tests.language import files_in, findings

PROJECT = Path(__file__).parents[2]
PLACES = ("sft_core", "tasks", "flows", "deployments", "sft", "sft_cli", "benchmarks", "recipes", "docs")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md")
MAX_COLUMNS = 120


@pytest.mark.parametrize("place", [*PLACES, *PAGES])
def test_words_are_those_of_the_field(place: str) -> None:
    assert [finding for file in files_in([PROJECT / place]) for finding in findings(file)] == []


@pytest.mark.parametrize("page", PAGES[:3])
def test_lines_of_pages_fit_a_screen(page: str) -> None:
    lines = (PROJECT / page).read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > MAX_COLUMNS and not line.startswith("|")] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"""Of all rows."""\n', ["begins with 'Of'"]),
        ('"""The key hangs on the code."""\n', ["'hangs on': depends on"]),
        ('"""The key depends on the code."""\n', []),
        ('raise ValueError("the file is left out")\n', ["'left out': skipped, omitted"]),
        ('NAME = "left out"  # is told\n', ["'told': reported, recorded, shown"]),
        ('"""Return `told`, which is a name."""\n', []),
    ],
)
def test_a_rule_finds_what_it_is_for(tmp_path: Path, text: str, expected: list[str]) -> None:
    file = tmp_path / "module.py"
    file.write_text(text)
    found = sorted(set(findings(file)))
    assert len(found) == len(expected)
    assert all(part in line for part, line in zip(expected, found, strict=True))
