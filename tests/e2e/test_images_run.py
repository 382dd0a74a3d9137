"""Rows with images, from files to a packed data set, by the command: what is shown of the stage, and what of a row."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import RECIPE, Workspace, write_rows

from tests.vision_families import FAMILIES, picture

pytestmark = pytest.mark.e2e
STAGES = [
    "ingest_sources",
    "detect_formats",
    "gather_images",
    "render_chats",
    "tokenize_chats",
    "pack_shards",
    "report_data",
]


@pytest.fixture(scope="module")
def shown(new_workspace: Callable[..., Workspace], prefect_url: str) -> Workspace:
    """Rows of text, and behind them one shard with images, of which one is missing."""
    workspace = new_workspace("shown", prefect_url=prefect_url)
    FAMILIES["qwen2_5_vl"].save_processor(workspace.folder / "tokenizer")
    (workspace.folder / "photos").mkdir()
    rows: list[dict[str, Any]] = []
    for number in range(8):
        has_image = number >= 4
        question = f"{'<image>' if has_image else ''}Picture {number}?"
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": f"{number}."}]
        rows.append({"messages": messages, **({"images": [f"photos/{number}.png"]} if has_image else {})})
        if number in (4, 5, 6):
            picture(30, 40, seed=number).save(workspace.folder / "photos" / f"{number}.png")
    write_rows(workspace.folder / "rows.jsonl", rows)
    sections = {
        **RECIPE,
        "sources": [{"path": "rows.jsonl", "shard_rows": 4}],
        "formats": {},
        "packing": {},
        "gates": {"max_rejected_fraction": 0.5},
        "training": {},
        "evaluation": {},
    }
    (workspace.folder / "recipe.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    return workspace


@pytest.fixture(scope="module")
def first(shown: Workspace) -> dict[str, Any]:
    return shown.ok("prepare")


def test_the_stage_is_shown_among_the_others(first: dict[str, Any]) -> None:
    assert first["stages"] == dict.fromkeys(STAGES, "executed")
    assert Path(first["artifacts"]["gather_images"]).parent.name == "gather_images"


def test_a_row_whose_image_is_missing_stands_in_the_ledger(first: dict[str, Any]) -> None:
    assert first["ledger"]["rejected_by_reason"] == {"an image's file is missing": 1}
    (rejection,) = map(json.loads, Path(first["rejected"]).read_text().splitlines())
    assert (rejection["stage"], rejection["file"], rejection["line"]) == ("gather_images", "rows.jsonl", 8)
    assert rejection["excerpt"].startswith("image 1 of 1, photos/7.png: ")


def test_rows_are_traced_through_their_images(shown: Workspace, first: dict[str, Any]) -> None:
    def trace(row: int) -> dict[str, Any]:
        outcome = shown.sft("trace", first["artifacts"]["pack_shards"], "--row", f"rows:{row}", "--json")
        assert outcome.code == 0, outcome.stderr
        (found,) = outcome.result["rows"]
        assert isinstance(found, dict)
        return found

    assert (len(trace(0)["images"]), trace(0)["fate"]) == (0, "trained")
    assert (len(trace(4)["images"]), trace(4)["fate"]) == (1, "trained")
    assert (len(trace(7)["images"]), trace(7)["stage"], trace(7)["fate"]) == (0, "gather_images", "rejected")


def test_again_nothing_is_done_and_a_byte_of_an_image_is_seen(shown: Workspace, first: dict[str, Any]) -> None:
    assert set(shown.ok("prepare")["stages"].values()) == {"cached"}
    picture(30, 40, seed=17).save(shown.folder / "photos" / "4.png")
    changed = shown.ok("prepare")["stages"]
    assert [stage for stage in STAGES if changed[stage] == "cached"] == ["ingest_sources", "detect_formats"]


def test_a_text_model_is_refused_with_the_source(shown: Workspace) -> None:
    for name in ("preprocessor_config.json", "processor_config.json"):
        (shown.folder / "tokenizer" / name).unlink(missing_ok=True)
    outcome = shown.sft("prepare", "recipe.yaml")
    assert outcome.code == 2
    assert "source 'rows' has rows with images" in outcome.stderr
