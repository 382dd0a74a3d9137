"""A training is replayed by the code of now, and its first steps have to come out as they did."""

import functools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sft_core.errors import RecipeError
from sft_core.processes.launch import Launch
from sft_core.training import TrainPlan
from tasks.processes.replaying import replay
from tasks.stages.accepting import compare_lines, steps_to_replay
from tasks.stages.codebase import PROJECT
from tests.sft_core.training.tiny_training import TinyTraining, tiny_training

Replay = Callable[[], dict[str, object]]


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> TinyTraining:
    made = tiny_training(tmp_path_factory.mktemp("replayed"), "earlier")
    made.finish()
    return made


@pytest.fixture
def replayed(training: TinyTraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replay:
    """On as many threads as the earlier one had: only then do sums have the same order."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    fields = {name: getattr(training.plan, name) for name in TrainPlan.model_fields if name != "output_folder"}
    plan_for, scratch = functools.partial(TrainPlan, **fields), tmp_path / "scratch"
    scratch.mkdir()
    return lambda: replay(plan_for, tmp_path / "log", Launch(), training.folder, scratch)


@pytest.mark.slow
def test_a_training_that_comes_out_the_same_is_proven(replayed: Replay) -> None:
    proof = replayed()
    assert (proof["steps"], proof["device"]) == (20, "cpu")
    assert proof["how"] == "20 steps replayed, equal to the bit"


@pytest.mark.slow
def test_another_loss_is_told_with_the_first_step_that_differs(
    replayed: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "code"
    shutil.copytree(PROJECT / "sft_core", code / "sft_core", ignore=shutil.ignore_patterns("__pycache__"))
    trainer = code / "sft_core" / "training" / "trainer.py"
    text = trainer.read_text()
    assert "loss = found.loss / denominator" in text
    trainer.write_text(text.replace("loss = found.loss / denominator", "loss = 1.001 * found.loss / denominator"))
    monkeypatch.setattr("tasks.processes.launching.python_path", lambda _: str(code))
    monkeypatch.chdir(code)  # `python -m` looks there first
    with pytest.raises(RecipeError, match=r"--accept-code train_model: step 2: .* was .* with the earlier code"):
        replayed()


def lines(**changed: float) -> list[dict[str, float]]:
    return [{"step": 2, "loss": 3.5, "time": 1.0}, {"step": 4, "loss": 3.25, "grad_norm": 1.0, "time": 2.0, **changed}]


def test_numbers_are_equal_to_the_bit_on_a_cpu_and_nearly_so_on_a_gpu() -> None:
    assert compare_lines(lines(), lines(time=9.0), is_exact=True) == 2
    assert compare_lines(lines(), lines(loss=3.2500001), is_exact=False) == 2
    with pytest.raises(RecipeError, match=r"step 4: loss was 3\.25 .* and is 3\.2500001"):
        compare_lines(lines(), lines(loss=3.2500001), is_exact=True)
    with pytest.raises(RecipeError, match="step 4: loss"):
        compare_lines(lines(), lines(loss=3.26), is_exact=False)
    with pytest.raises(RecipeError, match="step 4: entropy"):
        compare_lines(lines(), lines(entropy=1.0), is_exact=True)


@pytest.mark.parametrize(
    ("steps", "last"),
    [(range(1, 100), 20), (range(50, 200, 50), 50), (range(2, 8, 2), 6), ([10], 10)],
    ids=["every step", "every fifty", "a short one", "one line"],
)
def test_as_many_steps_are_replayed_as_can_be_compared(steps: range, last: int) -> None:
    assert steps_to_replay([{"step": step, "loss": 1.0} for step in steps]) == last


def test_a_training_that_recorded_nothing_cannot_be_proven() -> None:
    with pytest.raises(RecipeError, match="recorded no loss"):
        steps_to_replay([{"step": 0, "eval_loss": 2.0}])
