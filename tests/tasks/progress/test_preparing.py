"""How far a preparation is, over all its stages."""

from pathlib import Path

import pytest

from sft_core.store.artifact import ArtifactStore, Plan, plan_artifact
from sft_core.store.ledger import Ledger
from sft_core.store.records import StageOutcome
from tasks.progress import StageProgress, preparing
from tasks.progress.preparing import Preparation, ShardProgress, preparation, rows_of


def plans(number: int) -> list[Plan]:
    return [plan_artifact("tokenize_chats", f"sums-{shard:05d}", {"shard": shard}) for shard in range(number)]


def write(folder: Path) -> StageOutcome:
    (folder / "tokens").write_text("")
    return StageOutcome(ledger=Ledger(rows_in=50, rows_train=50))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(root=tmp_path)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> StageProgress:
    """The progress of two stages, of which the second is at work."""
    progress = StageProgress("preparation", "shard")
    monkeypatch.setattr(preparing, "_CURRENT", preparing.ContextVar("current", default=None))
    preparing._CURRENT.set(Preparation(["render_chats", "tokenize_chats"], progress))
    return progress


def test_shards_rows_and_time_are_told(store: ArtifactStore, told: StageProgress) -> None:
    planned = plans(3)
    progress = ShardProgress("tokenize_chats", store, planned, num_planned=4)
    for plan in planned:
        store.build(plan, write)
        progress.update()
        if plan == planned[0]:
            assert told.words.startswith("tokenize_chats: 2 of 4 shards, ")
            assert told.percent == 75.0, "one of two stages, and half of the other"
            assert " rows/s, about " in told.words
    assert told.percent == 100.0
    assert progress._rows == 150


def test_a_stage_that_is_none_of_the_preparation_is_not_in_the_way(store: ArtifactStore) -> None:
    progress = ShardProgress("tokenize_chats", store, plans(1), num_planned=1)
    progress.update()


def test_a_preparation_is_a_context(store: ArtifactStore) -> None:
    with preparation(["tokenize_chats"]):
        assert preparing._CURRENT.get() is not None
        ShardProgress("tokenize_chats", store, plans(1), num_planned=1).update()
    assert preparing._CURRENT.get() is None


def test_rows_are_those_that_went_in(store: ArtifactStore) -> None:
    (plan,) = plans(1)
    assert rows_of(store.manifest(store.build(plan, write))) == 50
    other = plan_artifact("ingest_sources", "sums", {"piece": 0})
    ingested = store.build(other, lambda folder: StageOutcome(ledger=Ledger(), facts={"rows": 70}))
    assert rows_of(store.manifest(ingested)) == 70
