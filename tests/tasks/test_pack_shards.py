"""The packing task, on token shards in a store of its own."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import load_from_disk

from sft_core.data.accounts import Origins, ShardFiles
from sft_core.data.packing import PackingConfig
from sft_core.store.artifact import ArtifactRef, ArtifactStore, Manifest, Plan, plan_artifact
from sft_core.store.ledger import Ledger, write_rejections
from sft_core.store.records import INDEX, RECORDS, TOKENS, StageOutcome
from sft_core.store.tables import iterate_rows, write_table
from tasks.pack_shards import pack_shards
from tasks.stages.run_context import RunContext

Row = dict[str, Any]


def row(number: int, ids: list[int], split: str = "train", **fields: Any) -> Row:
    example = {"example_id": hash(tuple(ids)) % 2**64, "prompt_id": ids[0]}
    mask = [0] + [1] * (len(ids) - 1)
    return {"row": number, "line": number + 1, "split": split, **example, "input_ids": ids, "loss_mask": mask, **fields}


FIRST = [row(0, [1, 2, 3]), row(1, [4, 5]), row(2, [1, 2, 3])]
SECOND = [row(0, [4, 6, 7], "eval", prompt_ids=[4], reference="six"), row(1, [4, 5])]


def tokenized(store: ArtifactStore, number: int, rows: list[Row]) -> ArtifactRef:
    def write(folder: Path) -> StageOutcome:
        write_table(folder / "tokens.arrow", TOKENS, rows)
        counted = [{**r, "tokens": len(r["input_ids"]), "targets": len(r["input_ids"]) - 1} for r in rows]
        write_table(folder / "index.arrow", INDEX, counted)
        write_rejections(folder / "rejected.jsonl", [])
        return StageOutcome(ledger=_ledger(counted), facts={"source": f"s{number}"})

    return store.build(plan_artifact("tokenize_chats", f"s-0000{number}", {"shard": number}), write)


def _ledger(rows: list[Row]) -> Ledger:
    sums = {"rows_in": len(rows), "tokens_in": sum(r["tokens"] for r in rows)}
    for split in ("train", "eval"):
        own = [r for r in rows if r["split"] == split]
        sums |= {f"rows_{split}": len(own), f"tokens_{split}": sum(r["tokens"] for r in own)}
        sums |= {f"targets_{split}": sum(r["targets"] for r in own)}
    return Ledger(**sums)


def packed(root: Path, config: PackingConfig, *repeats: float) -> tuple[Path, Manifest]:
    store = ArtifactStore(root=root)
    refs = [tokenized(store, number, rows) for number, rows in enumerate([FIRST, SECOND])]
    for number, rows in enumerate([FIRST, SECOND]):
        records = [{"row": one["row"], "line": None, "record": f'{{"id": "{number}-{one["row"]}"}}'} for one in rows]
        write_table(root / f"records-{number}.arrow", RECORDS, records)
    files = ShardFiles(("a.jsonl", "b.jsonl"), ("records-0.arrow", "records-1.arrow"))
    made = pack_shards(config, 8, refs, Origins(repeats or (1.0, 1.0), ("r0", "r1"), files), RunContext(store))
    return store.path(made), store.manifest(made)


def test_the_facts_tell_what_was_packed(tmp_path: Path) -> None:
    _, manifest = packed(tmp_path, PackingConfig(packing=True))
    digests = [manifest.facts["splits"][split].pop("digest") for split in ("train", "eval")]
    assert all(len(digest) == 32 for digest in digests)
    common = {"targets_lost_to_splitting": 0, "repeats": 0}
    assert manifest.facts == {
        "splits": {
            "train": {"rows": 4, "blocks": 2, "tokens": 10, "targets": 6, "duplicates": 2, **common},
            "eval": {"rows": 1, "blocks": 1, "tokens": 3, "targets": 2, "duplicates": 0, **common},
        },
        "shards": [{"source": "s0", "file": "a.jsonl"}, {"source": "s1", "file": "b.jsonl"}],
    }


def test_dropped_duplicates_move_in_the_ledger_and_are_listed(tmp_path: Path) -> None:
    folder, manifest = packed(tmp_path, PackingConfig(drop_duplicates=True))
    assert manifest.ledger is not None
    assert (manifest.ledger.rows_train, manifest.ledger.rows_eval, manifest.ledger.rows_rejected) == (2, 1, 2)
    assert (manifest.ledger.tokens_train, manifest.ledger.tokens_rejected, manifest.ledger.targets_train) == (5, 5, 3)
    assert manifest.ledger.rejected_by_reason == {"exact duplicate of an earlier row": 2}
    listed = [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]
    assert [(entry["source"], entry["row"], entry["line"], entry["stage"]) for entry in listed] == [
        ("s0", 2, 3, "pack_shards"),
        ("s1", 1, 2, "pack_shards"),
    ]
    assert load_from_disk(str(folder / "train"))["input_ids"] == [[1, 2, 3], [4, 5]]


def test_repeated_shards_are_counted(tmp_path: Path) -> None:
    folder, manifest = packed(tmp_path, PackingConfig(), 1.0, 3.0)
    facts = manifest.facts["splits"]["train"]
    assert (facts["rows"], facts["repeats"], facts["blocks"], facts["tokens"]) == (4, 2, 6, 14)
    assert load_from_disk(str(folder / "train"))["input_ids"][-3:] == [[4, 5]] * 3
    assert manifest.facts["splits"]["eval"]["repeats"] == 0


def test_held_out_prompts_and_segments_lead_back_to_their_source(tmp_path: Path) -> None:
    folder, manifest = packed(tmp_path, PackingConfig())
    assert list(iterate_rows(folder / "prompts.arrow")) == [
        {
            "source": "s1",
            "row": 0,
            "prompt_ids": [4],
            "reference": "six",
            "metadata": '{"id": "1-0"}',
            "images": None,
        }
    ]
    (segment,) = iterate_rows(folder / "eval-segments.arrow")
    assert manifest.facts["shards"][segment["shard"]] == {"source": "s1", "file": "b.jsonl"}
    assert (segment["row"], segment["example_id"]) == (0, SECOND[0]["example_id"])


@pytest.mark.parametrize(
    "changed",
    [
        {"capacity": 9},
        {"repeats": [1.0, 2.0]},
        {"config": PackingConfig(packing=True)},
        {"records": ["r0", "another"]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_capacity_repeats_config_and_records_change_the_key(tmp_path: Path, changed: dict[str, Any]) -> None:
    def plans(
        config: PackingConfig = PackingConfig(),  # noqa: B008
        capacity: int = 8,
        repeats: Sequence[float] = (1.0, 1.0),
        records: Sequence[str] = ("r0", "r1"),
    ) -> list[Plan]:
        origins = Origins(tuple(repeats), tuple(records), ShardFiles((), ()))
        context = RunContext(ArtifactStore(root=tmp_path))
        return pack_shards.plans(pack_shards.bound(config, capacity, [], origins, context))

    assert plans(**changed) != plans()


def test_the_names_of_files_change_no_key(tmp_path: Path) -> None:
    context = RunContext(ArtifactStore(root=tmp_path))
    named, renamed = (
        pack_shards.plans(
            pack_shards.bound(
                PackingConfig(), 8, [], Origins((1.0,), ("r",), ShardFiles((name,), ("records.arrow",))), context
            )
        )
        for name in ("a.jsonl", "b.jsonl")
    )
    assert named == renamed
