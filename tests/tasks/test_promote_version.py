"""Verdicts that move aliases, on a registry in a sqlite file; two processes that promote at once; the way back."""

import json
import math
import multiprocessing
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sft_core.errors import RecipeError, StageFailedError
from sft_core.registry.promotion import GateConfig, Verdict
from sft_core.store.artifact import ArtifactStore
from tasks import promote_version
from tasks.processes.owners import owner_tags
from tasks.promote_version import judge
from tasks.roll_back_version import RollBack, roll_back_version
from tasks.tracking import RegisteredVersion, Tracker, tag_lock
from tasks.tracking.versions import registered_versions
from tests.fresh_mlflow import open_sqlite
from tests.tasks.registered import NAME, register

pytestmark = pytest.mark.slow

EVEN = [1.0, 2.0, 3.0, 4.0] * 5
"""Losses of twenty rows, on average 2.5."""
LOSS = GateConfig()


class Home:
    """A registry and what is done in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, ArtifactStore(root=folder)
        self.tracker: Tracker = open_sqlite(folder)

    @property
    def aliases(self) -> dict[str, str]:
        return self.tracker.registry.aliases(NAME)

    def add(self, *known: Any, **tags: str) -> RegisteredVersion:
        return register(self.tracker, self.folder / "made", *known, **tags)

    def judge(self, version: RegisteredVersion, gate: GateConfig = LOSS, reason: str | None = None) -> Verdict:
        return judge(self.store, self.tracker.registry, gate, version, reason)

    def back(self, reason: str | None = None) -> RollBack:
        return roll_back_version.fn(NAME, reason, registry=self.tracker.registry, store=self.store)

    def tags(self, version: str) -> dict[str, str]:
        return dict(self.tracker.registry.version(NAME, version).tags)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: the first touch of a new file takes MLflow seconds."""
    folder = tmp_path_factory.mktemp("registry")
    open_sqlite(folder)
    return folder


@pytest.fixture
def home(database: Path) -> Home:
    home = Home(database)
    if registered_versions(home.tracker.client, NAME):
        home.tracker.client.delete_registered_model(NAME)
    return home


def test_the_first_is_promoted_the_better_takes_its_place_and_the_worse_challenges(home: Home) -> None:
    assert home.judge(home.add(2.5)).rule == "no champion"
    assert home.aliases == {"champion": "1"}
    assert home.judge(home.add(2.0)).rule == "better"
    assert home.aliases == {"champion": "2", "previous": "1"}
    assert home.tags("2")["sft.promoted_over"] == "1"
    assert home.judge(home.add(3.0)).rule == "worse"
    assert home.aliases == {"champion": "2", "previous": "1", "challenger": "3"}
    assert home.tags("3")["sft.verdict"].startswith("kept back: eval_loss 3 against 2 of the champion, version 2")
    assert home.judge(home.add(2.0)).rule == "equal"
    assert home.aliases["challenger"] == "4", "the newest that lost"


@pytest.mark.parametrize(
    ("score", "tags", "rule"),
    [
        (None, {}, "missing"),
        (math.nan, {}, "not finite"),
        (2.4, {}, "below threshold"),
        (1.0, {"sft.data_digest.eval": "x"}, "other data"),
        (1.0, {"sft.template_digest": "x"}, "other template"),
        (1.0, {"sft.tokenizer_digest": "x"}, "other tokenizer"),
    ],
)
def test_what_cannot_be_measured_against_the_champion_moves_no_alias(
    home: Home, score: float | None, tags: dict[str, str], rule: str
) -> None:
    home.judge(home.add(2.5))
    verdict = home.judge(home.add(score, **tags), GateConfig(threshold=2.3))
    assert (verdict.rule, verdict.is_promoted) == (rule, False)
    assert home.aliases == {"champion": "1"}
    assert home.tags("2")["sft.verdict"] == verdict.in_words


def test_rows_that_lie_beside_the_models_decide_whether_a_gain_is_noise(home: Home) -> None:
    home.judge(home.add(2.5, EVEN))
    swung = [loss + change for loss, change in zip(EVEN, [1.0, -1.1] * 10, strict=True)]
    verdict = home.judge(home.add(2.45, swung))
    assert verdict.rule == "noise"
    assert verdict.gain is not None
    assert verdict.gain.value == pytest.approx(0.05)
    assert verdict.gain.num_rows == 20
    assert home.aliases == {"champion": "1", "challenger": "2"}
    steady = [loss - 0.05 for loss in EVEN]
    assert home.judge(home.add(2.45, steady)).rule == "better", "the same gain, on every row"
    assert home.aliases == {"champion": "3", "previous": "1", "challenger": "2"}


def test_without_rows_of_one_of_them_the_numbers_alone_decide_and_say_so(home: Home) -> None:
    home.judge(home.add(2.5, EVEN))
    verdict = home.judge(home.add(2.45))
    assert verdict.rule == "better"
    assert "no evidence by row: decided by the numbers alone" in home.tags("2")["sft.verdict"]


def test_the_verdict_lies_beside_run_and_model(home: Home) -> None:
    home.judge(home.add(2.5, EVEN))
    version = home.add(2.4, [loss - 0.1 for loss in EVEN])
    verdict = home.judge(version)
    for path in (
        home.tracker.client.download_artifacts(version.run_id, "verdict.json"),
        home.folder / "artifacts" / "sft" / "models" / version.model_id / "artifacts" / "verdict.json",
    ):
        told = json.loads(Path(path).read_text())
        assert told == verdict.as_json()
        assert (told["score"], told["champion_score"], told["gain"]["num_rows"]) == (2.4, 2.5, 20)


def test_force_overrules_the_gate_and_the_record_says_so(home: Home) -> None:
    home.judge(home.add(2.5))
    home.judge(home.add(3.0))
    assert home.aliases["challenger"] == "2"
    version = home.tracker.registry.version(NAME, "2")
    assert home.judge(version, reason="users like it").is_promoted
    assert home.aliases == {"champion": "2", "previous": "1"}
    assert home.tags("2")["sft.forced"] == "users like it"
    assert home.tags("2")["sft.verdict"].startswith("promoted: forced (users like it)")
    before = home.tags("2")
    assert home.judge(version, reason="again").rule == "is champion"
    assert home.tags("2") == before, "what made it champion stays on record"


def test_a_long_verdict_is_cut_to_what_a_tag_holds(home: Home) -> None:
    home.judge(home.add(2.5))
    home.judge(home.add(3.0), reason="x" * 9000)
    assert len(home.tags("2")["sft.verdict"]) == len(home.tags("2")["sft.forced"]) == 5000


def test_rolling_back_goes_the_way_that_promotions_came(home: Home) -> None:
    for score in (2.5, 2.4, 2.3):
        home.judge(home.add(score))
    assert home.back("it swears") == RollBack(NAME, champion="2", taken_back="3", previous="1")
    assert home.aliases == {"champion": "2", "previous": "1"}
    assert ": it swears; version 2 took its place" in home.tags("3")["sft.rolled_back"]
    assert " by " in home.tags("3")["sft.rolled_back"]
    assert home.tags("2")["sft.restored"].endswith("in the place of version 3")
    assert home.back() == RollBack(NAME, champion="1", taken_back="2", previous=None)
    assert home.aliases == {"champion": "1"}
    with pytest.raises(RecipeError, match="version 1 is champion and no version is `previous`"):
        home.back()
    assert home.aliases == {"champion": "1"}


def test_a_version_that_was_taken_back_comes_again_only_by_force(home: Home) -> None:
    home.judge(home.add(2.5))
    home.judge(home.add(2.4))
    home.back()
    version = home.tracker.registry.version(NAME, "2")
    assert home.judge(version).rule == "rolled back"
    assert home.aliases == {"champion": "1"}
    assert home.judge(version, reason="mended").is_promoted
    assert "sft.rolled_back" not in home.tags("2")
    assert home.aliases == {"champion": "2", "previous": "1"}


def test_a_model_without_a_champion_has_nothing_to_take_back(home: Home) -> None:
    with pytest.raises(RecipeError, match="expected a champion"):
        home.back()


@pytest.mark.parametrize("reference", ["sums/1", "models:/sums/1", "sums@champion", "models:/sums@champion", "{run}"])
def test_a_version_is_found_by_any_of_its_names(home: Home, reference: str) -> None:
    home.judge(version := home.add(2.5))
    home.add(2.4)
    found = home.tracker.registry.find_version(reference.format(run=version.run_id))
    assert (found.version, found.model_id) == ("1", version.model_id)
    assert home.tracker.registry.find_version("sums").version == "2"


@pytest.mark.parametrize("reference", ["sums@nobody", "nothing", "sums/9", "0" * 32, "a/b/c"])
def test_what_is_no_version_is_told(home: Home, reference: str) -> None:
    home.judge(home.add(2.5))
    with pytest.raises(RecipeError, match="model '"):
        home.tracker.registry.find_version(reference)


def test_the_aliases_move_only_from_the_champion_that_was_looked_at(home: Home) -> None:
    home.judge(home.add(2.5))
    home.add(2.4)
    assert not home.tracker.registry.move(NAME, None, {"champion": "2"})
    assert not home.tracker.registry.move(NAME, "2", {"champion": "2"})
    assert home.aliases == {"champion": "1"}
    assert home.tracker.registry.move(NAME, "1", {"champion": "2"})


def test_a_champion_that_changed_while_it_was_compared_is_compared_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another machine promotes a better one in between."""
    home.judge(home.add(2.5))
    home.add(2.0)
    version, compare = home.add(2.2), promote_version._compare

    def late(*known: Any) -> Verdict:
        verdict = compare(*known)
        home.tracker.registry.set_alias(NAME, "champion", "2")
        return verdict

    monkeypatch.setattr(promote_version, "_compare", late)
    assert home.judge(version).rule == "worse"
    assert home.aliases == {"champion": "2", "challenger": "3"}


def promote_in_process(folder: str, other_home: str, version: str, start: Any) -> None:
    """A machine of its own: another home, so another file lock, and the same registry."""
    tracker = open_sqlite(Path(folder))
    start.wait(120)
    judge(ArtifactStore(root=Path(other_home)), tracker.registry, LOSS, tracker.registry.version(NAME, version))


@pytest.mark.parametrize("homes", [("one", "one"), ("one", "two")], ids=["one home", "two homes"])
def test_two_processes_that_promote_at_once_lose_none(home: Home, tmp_path: Path, homes: tuple[str, str]) -> None:
    home.judge(home.add(2.5))
    for score in (2.3, 2.1):
        home.add(score)
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    processes = [
        context.Process(target=promote_in_process, args=(str(home.folder), str(tmp_path / name), version, start))
        for name, version in zip(homes, ("2", "3"), strict=True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert home.aliases["champion"] == "3", "the better one, whichever came first"
    over = home.tags("3")["sft.promoted_over"]
    assert home.aliases["previous"] == over
    assert over == "2" if "sft.promoted_over" in home.tags("2") else home.aliases["challenger"] == "2"
    assert not [tag for tag in home.tracker.client.get_registered_model(NAME).tags if tag.startswith(tag_lock.LOCK_TAG)]


def test_only_one_at_a_time_holds_a_lock(home: Home) -> None:
    home.add(2.5)
    inside, most = 0, 0

    def enter() -> None:
        nonlocal inside, most
        with tag_lock.tag_lock(tag_lock.on_model(home.tracker.client, NAME)):
            inside += 1
            most = max(most, inside)
            time.sleep(0.05)
            inside -= 1

    threads = [threading.Thread(target=enter) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert most == 1


def leave_a_lock(home: Home, **owner: str) -> None:
    left = json.dumps({**owner_tags(), **owner})
    home.tracker.client.set_registered_model_tag(NAME, tag_lock.LOCK_TAG + "left", left)


def test_a_lock_of_a_dead_process_keeps_nobody_out(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tag_lock, "LEASE_SECONDS", 2 * tag_lock.PATIENCE_SECONDS)  # it is not waited for
    home.add(2.5)
    leave_a_lock(home, **{"sft.pid": "999999999"})
    with tag_lock.tag_lock(tag_lock.on_model(home.tracker.client, NAME)):
        pass
    assert not home.tracker.client.get_registered_model(NAME).tags


def test_a_lock_from_elsewhere_counts_as_long_as_it_is_seen_to_be_young(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the clock over there says: its heartbeat is of 1970 here."""
    home.add(2.5)
    leave_a_lock(home, **{"sft.host": "elsewhere", "sft.heartbeat": "0"})
    monkeypatch.setattr(tag_lock, "PATIENCE_SECONDS", 0.5)
    with (
        pytest.raises(RuntimeError, match=r"stays locked by others: process \d+ on host elsewhere"),
        tag_lock.tag_lock(tag_lock.on_model(home.tracker.client, NAME)),
    ):
        raise AssertionError
    monkeypatch.setattr(tag_lock, "PATIENCE_SECONDS", 60)
    monkeypatch.setattr(tag_lock, "LEASE_SECONDS", 0.5)
    with tag_lock.tag_lock(tag_lock.on_model(home.tracker.client, NAME)):
        pass


def test_aliases_do_not_move_under_a_lock_that_was_lost(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when the process was stopped for longer than its lock counts: before the move, or in its middle."""
    home.judge(home.add(2.5))
    home.add(2.4)
    registry, client = home.tracker.registry, home.tracker.client

    def lose() -> None:
        for tag in client.get_registered_model(NAME).tags:
            client.delete_registered_model_tag(NAME, tag)

    with monkeypatch.context() as patch:
        patch.setattr(registry, "tag_version", lambda *_: lose())
        assert not registry.move(NAME, "1", {"champion": "2"}, {"2": {}})
    assert home.aliases == {"champion": "1"}
    with monkeypatch.context() as patch:
        patch.setattr(registry, "set_alias", lambda *_: lose())
        with pytest.raises(StageFailedError, match=r"but not alone: .* expected .*'2'.* found .*'1'"):
            registry.move(NAME, "1", {"champion": "2"})


def test_a_record_is_taken_back_if_the_lock_was_lost_after_it_was_written(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a version that lost would have the tags of a champion, or the champion those of a roll-back."""
    home.judge(home.add(2.5))
    home.add(2.4, old="before", taken="before")
    registry, client = home.tracker.registry, home.tracker.client
    before, write = home.tags("2"), registry.tag_version

    def write_and_lose(name: str, version: str, tags: Mapping[str, str | None]) -> None:
        write(name, version, tags)
        for tag in client.get_registered_model(NAME).tags:
            client.delete_registered_model_tag(NAME, tag)
        client.set_model_version_tag(NAME, version, "taken", "by another process")
        monkeypatch.setattr(registry, "tag_version", write)

    monkeypatch.setattr(registry, "tag_version", write_and_lose)
    record = {"2": {"new": "ours", "old": None, "taken": "ours"}}
    assert not registry.move(NAME, "1", {"champion": "2"}, record)
    assert home.tags("2") == {**before, "taken": "by another process"}
    assert home.aliases == {"champion": "1"}
    assert registry.move(NAME, "1", {"champion": "2"}, record)
    assert "old" not in home.tags("2")


def test_a_promotion_that_was_cut_short_is_made_by_the_next_call(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record comes before the aliases, so nobody is champion without one."""
    home.judge(home.add(2.5))
    version = home.add(2.4)

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(home.tracker.registry, "set_alias", die)
        with pytest.raises(KeyboardInterrupt):
            home.judge(version)
    assert home.aliases == {"champion": "1"}
    assert home.judge(version).rule == "better"
    assert home.aliases == {"champion": "2", "previous": "1"}
    assert home.tags("2")["sft.promoted_over"] == "1"
