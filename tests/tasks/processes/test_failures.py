"""However a subprocess ends, what is said of it is its own cause, not its launcher's."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sft_core.errors import RecipeError, StageFailedError, StageInterruptedError, log_of
from sft_core.processes.launch import Launch
from sft_core.processes.subprocesses import MISTAKE_FILE, forget_endings
from sft_core.training.checkpoints import newest_checkpoint
from tasks.processes.failures import last_words
from tasks.processes.launching import launch
from tests.sft_core.training.tiny_training import TinyTraining, tiny_training

pytestmark = pytest.mark.slow

ACCELERATE = ["accelerate.commands.launch", "--num_processes=1", "--num_machines=1"]
ACCELERATE += ["--mixed_precision=no", "--dynamo_backend=no"]
TORCHRUN = ["torch.distributed.run", "--standalone", "--nproc_per_node=2"]
ENDLESS = {"num_train_epochs": 1_000_000, "logging_steps": 1, "save_steps": 1_000_000, "eval_strategy": "no"}


def printed(folder: Path, launcher: list[str], last_act: str) -> list[str]:
    """What a launcher prints whose child says a word and then does something fatal.

    The word and its line's end are one write: two children share the pipe, and `print` may write them apart.
    """
    program = folder / "child.py"
    program.write_text(f"import os\nos.write(1, b'a word\\n')\n{last_act}\n")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *launcher, str(program)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1
    return (ended.stdout + ended.stderr).splitlines()


@pytest.mark.parametrize("launcher", [ACCELERATE, TORCHRUN], ids=["accelerate", "torchrun"])
def test_a_child_that_raised_has_the_last_word(tmp_path: Path, launcher: list[str]) -> None:
    lines = printed(tmp_path, launcher, "raise ValueError('the cause')")
    assert any("Error" in line and "the cause" not in line for line in lines), "the launcher has one of its own"
    assert last_words(lines)[-1] == "ValueError: the cause"


@pytest.mark.parametrize("launcher", [ACCELERATE, TORCHRUN], ids=["accelerate", "torchrun"])
def test_of_a_child_that_was_killed_the_launcher_says_the_signal(tmp_path: Path, launcher: list[str]) -> None:
    *words, verdict = last_words(printed(tmp_path, launcher, "os.kill(os.getpid(), 9)"))
    assert words[-1] == "a word"
    assert "exitcode: -9" in verdict or "SIGKILL" in verdict


def start(training: TinyTraining, num_processes: int, on_tick: object = lambda: None) -> None:
    processes = Launch(num_processes=num_processes)
    launch("sft_core.training", training.plan, training.folder, training.folder / "log", processes, on_tick)


@pytest.mark.usefixtures("forked_processes")
def test_the_message_of_several_processes_is_the_first_ones_traceback(tmp_path: Path) -> None:
    training = tiny_training(tmp_path, "broken", num_processes=2)
    (tmp_path / "train" / "dataset_info.json").unlink()
    with pytest.raises(StageFailedError) as found:
        start(training, num_processes=2)
    message = str(found.value).splitlines()
    assert message[0].startswith(f"training ended with exit code 1; the whole log is {training.folder / 'log'}")
    assert "FileNotFoundError" in message[-1]
    assert "ChildFailedError" not in str(found.value)
    assert "ChildFailedError" in training.log
    assert log_of(found.value) == training.folder / "log"


@pytest.mark.usefixtures("forked_processes")
def test_a_mistake_of_the_users_is_told_in_its_own_words_and_then_forgotten(tmp_path: Path) -> None:
    training = tiny_training(tmp_path, "wrong", model={"vocab_size": 3})
    with pytest.raises(RecipeError, match="3 embeddings are too few for the tokenizer's 48 ids"):
        start(training, num_processes=1)
    assert (training.folder / MISTAKE_FILE).exists()
    forget_endings(training.folder)
    assert not (training.folder / MISTAKE_FILE).exists()


@pytest.mark.usefixtures("forked_processes")
@pytest.mark.parametrize("num_processes", [1, 2])
def test_whoever_asks_it_to_end_there_is_a_checkpoint(tmp_path: Path, num_processes: int) -> None:
    """First somebody ends the trainer, then the flow that waits for it is interrupted."""
    training = tiny_training(tmp_path, "asked", num_processes=num_processes, **ENDLESS)

    asked: list[int] = []

    def end_one() -> None:
        if training.lines() and not asked:  # a second signal would not be waited for
            first, *_ = (training.folder / "listening").iterdir()
            asked.append(int(first.name.split("@")[0]))
            os.kill(asked[0], signal.SIGTERM)

    with pytest.raises(StageInterruptedError, match="training was asked to end and stopped at step"):
        start(training, num_processes, end_one)
    first = newest_checkpoint(training.folder)
    assert first is not None

    def interrupt() -> None:
        if training.lines()[-1]["step"] > first.manifest.step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(training, num_processes, interrupt)
    second = newest_checkpoint(training.folder)
    assert second is not None
    assert second.manifest.step > first.manifest.step
    assert second.manifest.step == training.lines()[-1]["step"], "it ended at the end of a step"
