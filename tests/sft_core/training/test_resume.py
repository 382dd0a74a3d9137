"""However often and whenever a training is interrupted, it ends with the same bits as one that was not."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from sft_core.processes.subprocesses import INTERRUPTED_FILE
from sft_core.registry.serving import ChatModel
from sft_core.training.checkpoints import newest_checkpoint
from tests.full_size import IS_FULL
from tests.sft_core.training.tiny_training import STEPS, TinyTraining, tiny_training

pytestmark = pytest.mark.slow

NUM_KILLS = 20 if IS_FULL else 4
LAST_LINES = 3
"""At most so many new lines are waited for before a kill, so that kills are spread over the whole training."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trainings")


@pytest.fixture(scope="module")
def uninterrupted(root: Path) -> TinyTraining:
    training = tiny_training(root, "uninterrupted")
    training.finish()
    assert training.result()["resumed_from"] is None
    return training


def newest_step(training: TinyTraining) -> int:
    checkpoint = newest_checkpoint(training.folder)
    return checkpoint.manifest.step if checkpoint else 0


def kill_once(training: TinyTraining, chance: random.Random) -> None:
    """Let it report a few lines more than its checkpoint has, and kill it somewhere in what follows."""
    known = training.lines()
    wanted = sum(line["step"] <= newest_step(training) for line in known) + chance.randint(1, LAST_LINES)
    began = (training.folder / "log").stat().st_size if known else 0

    def has_got_there() -> bool:
        # the lines of the killed process lie there until the next one has read its checkpoint
        has_begun = not known or b"resumed from" in (training.folder / "log").read_bytes()[began:]
        return has_begun and len(training.lines()) >= wanted

    process = training.run_until(has_got_there)
    time.sleep(chance.random() * 0.15)
    training.kill(process)


def test_killed_at_random_moments_it_ends_as_if_nothing_had_happened(root: Path, uninterrupted: TinyTraining) -> None:
    training = tiny_training(root, "killed")
    chance = random.Random(5)
    resumed = []
    for _ in range(NUM_KILLS):
        kill_once(training, chance)
        resumed.append(newest_step(training))
        if (training.folder / "result.json").exists():
            break
    training.finish()
    assert training.outcome() == uninterrupted.outcome()
    assert training.result()["resumed_from"] == resumed[-1]
    assert resumed == sorted(resumed)
    assert resumed[-1] > 0


def test_metrics_of_the_reference_are_what_an_interruption_could_spoil(uninterrupted: TinyTraining) -> None:
    """Windows of two steps are open at checkpoints of three, epochs end at checkpoints, evaluation comes before all."""
    lines = uninterrupted.lines()
    assert [line["step"] for line in lines if "loss" in line] == list(range(2, STEPS + 1, 2))
    assert [line["step"] for line in lines if "eval_loss" in line] == [0, *range(4, STEPS + 1, 4)]


def test_asked_to_end_it_saves_and_says_so_and_goes_on(root: Path, uninterrupted: TinyTraining) -> None:
    training = tiny_training(root, "asked", save_strategy="no")
    process = training.run_until(lambda: any("loss" in line for line in training.lines()))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75, training.log
    checkpoint = newest_checkpoint(training.folder)
    assert checkpoint is not None
    step = checkpoint.manifest.step
    assert 2 <= step < STEPS
    word = (training.folder / INTERRUPTED_FILE).read_text()
    assert word.startswith(f"training was asked to end and stopped at step {step} of {STEPS}; ")
    assert not (training.folder / "result.json").exists()
    training.finish()
    assert f"resumed from step {step} " in training.log
    assert training.outcome() == uninterrupted.outcome()


def test_a_finished_training_run_again_only_writes_its_results(root: Path, uninterrupted: TinyTraining) -> None:
    before = uninterrupted.outcome()
    (uninterrupted.folder / "model" / "model.safetensors").unlink()
    uninterrupted.finish()
    assert uninterrupted.outcome() == before
    assert uninterrupted.result()["resumed_from"] == STEPS


def test_one_can_talk_to_a_checkpoint_as_to_the_model(uninterrupted: TinyTraining) -> None:
    checkpoint = newest_checkpoint(uninterrupted.folder)
    assert checkpoint is not None
    assert checkpoint.manifest.step == STEPS
    assert "tokenizer.json" in checkpoint.manifest.files, "it is not whole without"
    models = [ChatModel(folder) for folder in (checkpoint.folder, uninterrupted.folder / "model")]
    answers = [model.say("two and", 5, 0.0, lambda _: None) for model in models]
    assert answers[0] == answers[1]


def test_the_model_names_nothing_of_this_machine(uninterrupted: TinyTraining) -> None:
    files = [file for file in (uninterrupted.folder / "model").iterdir() if file.suffix != ".safetensors"]
    assert "config.json" in {file.name for file in files}
    assert [file.name for file in files if str(uninterrupted.folder).encode() in file.read_bytes()] == []


def test_two_processes_go_on_as_one_would(root: Path) -> None:
    """Three blocks a process and step, of 13: in each epoch the second process runs out of blocks first."""
    options = {"per_device_train_batch_size": 3, "num_train_epochs": 5, "save_steps": 2}
    straight = tiny_training(root, "two", num_processes=2, **options)
    straight.finish()
    broken = tiny_training(root, "two-killed", num_processes=2, **options)
    process = broken.run_until(lambda: newest_step(broken) >= 4)
    broken.kill(process)
    step = newest_step(broken)
    assert 4 <= step < straight.result()["global_step"]
    asked = broken.run_until(lambda: newest_step(broken) > step)
    listeners = [int(file.name.split("@")[0]) for file in (broken.folder / "listening").iterdir()]
    assert len(listeners) == 2
    os.kill(listeners[0], signal.SIGTERM)  # the other one hears of it at the end of the step
    assert asked.wait(60) != 0
    assert (broken.folder / INTERRUPTED_FILE).exists()
    broken.finish()
    assert broken.outcome() == straight.outcome()
    assert broken.result()["resumed_from"] > step
