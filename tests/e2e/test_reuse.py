"""What is done again after a change, and what is not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, Workspace, make_workspace, sums, write_rows

pytestmark = pytest.mark.e2e
DATA_STAGES = ["ingest_sources", "detect_formats", "render_chats", "tokenize_chats", "pack_shards", "report_data"]

SHARD_STAGES = DATA_STAGES[1:4]


def executed(result: dict[str, Any]) -> list[str]:
    return [stage for stage, state in result["stages"].items() if state == "executed"]


def shard_folders(result: dict[str, Any], stage: str) -> set[str]:
    return {path.parent.name for path in Path(result["artifacts"][stage]).glob("*/manifest.json")}


def new_shards(result: dict[str, Any], stage: str, before: dict[str, set[str]]) -> list[str]:
    """Names of the shards whose artifacts were not there before."""
    return sorted(name.rsplit("-", 1)[0] for name in shard_folders(result, stage) - before[stage])


def test_changes_to_recipe_data_code_and_store_cost_what_they_must(workspace: Workspace) -> None:
    first = workspace.ok("prepare")
    assert executed(first) == DATA_STAGES
    assert executed(workspace.ok("prepare")) == []

    shorter = workspace.ok("prepare", "tokens.max_length=64")
    assert executed(shorter) == ["tokenize_chats", "pack_shards", "report_data"]

    before = {stage: shard_folders(first, stage) for stage in SHARD_STAGES}
    write_rows(workspace.data, sums(301))
    longer = workspace.ok("prepare")
    for stage in SHARD_STAGES:
        assert len(before[stage]) == 3
        assert new_shards(longer, stage, before) == ["sums-00003"], (
            f"{stage}: three full shards are kept, the fourth is new"
        )
    assert longer["ledger"]["rows_in"] == 301

    shutil.rmtree(longer["artifacts"]["tokenize_chats"])
    rebuilt = workspace.ok("prepare")
    assert executed(rebuilt) == ["tokenize_chats"]
    shutil.rmtree(longer["artifacts"]["pack_shards"])
    assert executed(workspace.ok("prepare")) == ["pack_shards"]
    assert rebuilt["dataset_digest"] == longer["dataset_digest"]


def test_appending_to_a_shard_that_is_not_full_redoes_only_that_shard(workspace: Workspace) -> None:
    write_rows(workspace.data, sums(250))
    first = workspace.ok("prepare")
    before = {stage: shard_folders(first, stage) for stage in SHARD_STAGES}
    write_rows(workspace.data, sums(251))
    after = workspace.ok("prepare")
    for stage in SHARD_STAGES:
        assert new_shards(after, stage, before) == ["sums-00002"]


def with_own_code(folder: Path, prefect_url: str) -> Workspace:
    """A workspace whose commands run a copy of the project, to be edited."""
    code = folder / "code"
    for package in ("sft_core", "tasks", "flows", "deployments", "sft", "sft_cli"):
        shutil.copytree(PROJECT / package, code / package, ignore=shutil.ignore_patterns("__pycache__"))
    return make_workspace(folder, prefect_url, code=code)


def edit(workspace: Workspace, file: str, old: str, new: str) -> None:
    path = workspace.code / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_an_edit_of_code_costs_the_stages_that_run_it_and_those_that_read_something_else(
    tmp_path: Path, prefect_url: str
) -> None:
    workspace = with_own_code(tmp_path, prefect_url)
    first = workspace.ok("prepare")

    tokenize = "sft_core/data/tokens/tokenize.py"
    edit(workspace, tokenize, '"""Tokenize every row of a shard."""', '"""Turn rows into tokens."""\n\n# a comment')
    assert executed(workspace.ok("prepare")) == [], "words about the code are no code"
    edit(workspace, tokenize, "EXCERPT_IDS = 50", "EXCERPT_IDS = 40")
    assert executed(workspace.ok("prepare")) == ["tokenize_chats"], "the same tokens come out, so nothing follows"

    edit(workspace, "sft_core/data/pack.py", '"tokens": written.tokens,', '"tokens": 2 * written.tokens,')
    doubled = workspace.ok("prepare")
    assert executed(doubled) == ["pack_shards", "report_data"], "another count comes out"
    assert doubled["scorecard"]["train_tokens"] == 2 * first["scorecard"]["train_tokens"]


def test_an_edit_that_changes_no_row_trains_no_model_again(tmp_path: Path, prefect_url: str) -> None:
    workspace = with_own_code(tmp_path, prefect_url)
    first = workspace.ok("run")
    edit(workspace, "sft_core/data/sources/ingest.py", "BATCH_ROWS = 1024", "BATCH_ROWS = 1000")
    plan = workspace.ok("plan")["stages"]
    assert [(one["stage"], one["changes"]) for one in plan if one["state"] == "run"] == [
        ("ingest_sources", ["code: sft_core.data.sources.ingest:BATCH_ROWS changed"])
    ]
    again = workspace.ok("run")
    assert executed(again) == ["ingest_sources"]
    assert again["model_uri"] == first["model_uri"]
    assert {one["state"] for one in workspace.ok("plan")["stages"]} == {"reused", "depends"}

    pretend_version(workspace, "pyarrow", "99.0")
    with_other_arrow = workspace.ok("run")
    writers = [*DATA_STAGES, "evaluate_model"]
    assert sorted(executed(with_other_arrow)) == sorted(writers), "what writes Arrow runs again, and the same comes out"
    assert with_other_arrow["model_uri"] == first["model_uri"]

    trainer = "sft_core/training/trainer.py"
    edit(workspace, trainer, "loss = found.loss / denominator", "loss = 1.001 * found.loss / denominator")
    refused = workspace.sft("run", "recipe.yaml", "--accept-code", "train_model")
    assert refused.code == 2
    assert "--accept-code train_model: step 2: " in refused.stderr
    edit(workspace, trainer, "loss = 1.001 * found.loss / denominator", "loss = 1.0 * found.loss / denominator")
    (changed,) = [one for one in workspace.ok("plan")["stages"] if one["stage"] == "train_model"]
    assert changed["state"] == "run"
    accepted = workspace.ok("run", flags=("--accept-code", "train_model"))
    assert executed(accepted) == []
    (kept,) = [one for one in workspace.ok("plan")["stages"] if one["stage"] == "train_model"]
    assert (kept["state"], kept["accepted"]) == ("reused", "6 steps replayed, equal to the bit")


def pretend_version(workspace: Workspace, library: str, version: str) -> None:
    """Have the workspace's commands find another version of a library; its code stays as it is."""
    folder = workspace.code / f"{library}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {library}\nVersion: {version}\n")


def test_the_same_rows_in_another_folder_are_the_same_data(workspace: Workspace) -> None:
    first = workspace.ok("prepare")
    elsewhere = workspace.folder / "elsewhere" / "sums.jsonl"
    elsewhere.parent.mkdir()
    shutil.move(workspace.data, elsewhere)
    moved = workspace.ok("prepare", f"sources.0.path={elsewhere}")
    assert executed(moved) == []
    assert moved["dataset_digest"] == first["dataset_digest"]


def test_two_runs_at_once_do_the_work_once(workspace: Workspace) -> None:
    processes = [workspace.start("prepare", "recipe.yaml", "--json") for _ in range(2)]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    results = [json.loads(stdout) for stdout, _ in outputs]
    assert results[0]["dataset_digest"] == results[1]["dataset_digest"]
    for stage in DATA_STAGES:
        assert [result["stages"][stage] for result in results].count("executed") >= 1
    assert len(shard_folders(results[0], "tokenize_chats")) == 3
