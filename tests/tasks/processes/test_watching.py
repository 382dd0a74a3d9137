"""What is told of processes of ours, from the files that they write."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from sft_core.training import METRICS_FILE, START_FILE, TrainStart
from tasks.processes import watching
from tasks.processes.watching import EvaluationWatch, TrainingWatch

START = TrainStart(
    device="H100",
    dtype="bfloat16",
    attn_implementation="varlen",
    num_processes=8,
    num_parameters=1_000_000,
    num_trained_parameters=10_000,
    num_blocks=1200,
)


class Log(logging.Handler):
    """What a flow run's log gets."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append((record.levelname, record.getMessage()))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    handler, logger = Log(), logging.Logger("run")
    logger.addHandler(handler)
    monkeypatch.setattr(watching, "logger", lambda: logger)
    return handler


def test_gpus_that_a_training_leaves_idle_are_told() -> None:
    alone = START.model_copy(update={"num_processes": 1, "num_idle_gpus": 7})
    assert alone.in_words().endswith("1,200 blocks an epoch; GPUs left idle: 7, see `runtime.num_processes`")


def lines(path: Path, *content: dict[str, Any], end: str = "") -> None:
    with path.open("a") as file:
        file.write("".join(json.dumps(line) + "\n" for line in content) + end)


def step(number: int, of: int = 100, **more: Any) -> dict[str, Any]:
    return {"step": number, "max_steps": of, "time": 40.0 * number, **more}


def test_a_training_is_followed_from_its_start_to_its_end(tmp_path: Path, log: Log) -> None:
    with TrainingWatch(tmp_path, tmp_path / "train.log") as watch:
        watch.update()
        (tmp_path / START_FILE).write_text(START.model_dump_json())
        watch.update()
        lines(tmp_path / METRICS_FILE, step(10, loss=2.5, tokens_per_second=900.0))
        watch.update()
        lines(tmp_path / METRICS_FILE, step(20, loss=2.0, tokens_per_second=1000.0), end='{"step": 30, ')
        watch.update()
        assert watch.progress.percent == 20.0
        assert watch.progress.words == "step 20 of 100, loss 2, 1,000 tokens/s, about 53 min left"
    assert log.told == [
        ("INFO", f"the output of the process is in {tmp_path / 'train.log'}"),
        (
            "INFO",
            "training on 8 × H100 in bfloat16, attention varlen: 1,000,000 parameters, 10,000 trained (1.00%); 1,200 "
            "blocks an epoch",
        ),
        ("INFO", "step 10 of 100, loss 2.5, 900 tokens/s"),
        ("INFO", "step 20 of 100, loss 2, 1,000 tokens/s"),
    ]


def test_a_training_that_goes_on_begins_where_it_goes_on(tmp_path: Path, log: Log) -> None:
    lines(tmp_path / METRICS_FILE, step(10, loss=2.5), step(60, loss=1.5), step(60, eval_loss=1.75))
    with TrainingWatch(tmp_path, tmp_path / "train.log") as watch:
        assert (watch.progress.percent, watch.progress.words) == (
            60.0,
            "step 60 of 100, loss 1.5, held-out loss 1.75",
        )
        lines(tmp_path / METRICS_FILE, step(70, loss=1.25))
        watch.update()
        assert watch.progress.percent == 70.0
    assert [text for _, text in log.told[1:]] == ["step 70 of 100, loss 1.25"], "what was told is not told again"


def test_a_training_of_ten_thousand_lines_is_few_messages(tmp_path: Path, log: Log) -> None:
    with TrainingWatch(tmp_path, tmp_path / "train.log") as watch:
        for number in range(1, 10_001):
            line = step(number, 10_000, loss=2.0, **({"eval_loss": 1.5} if number % 4 == 0 else {}))
            lines(tmp_path / METRICS_FILE, line)
            if number % 10 == 0:
                watch.update()
        assert watch.progress.percent == 100.0
    assert 300 < len(log.told) < 410, "201 of steps, as many of evaluations, and where the log is"


def test_warnings_are_told_once_each_and_not_without_end(tmp_path: Path, log: Log) -> None:
    printed = tmp_path / "train.log"
    printed.write_text("UserWarning: of an earlier attempt\n")
    with TrainingWatch(tmp_path, printed) as watch:
        with printed.open("a") as file:
            file.write("{'loss': 2.0}\nx.py:3: UserWarning: slow\nx.py:3: UserWarning: slow\n")
        watch.update()
        with printed.open("a") as file:
            file.write("".join(f"[WARNING|trainer.py:{number}] careful\n" for number in range(100)))
        watch.update()
    warnings = [text for level, text in log.told if level == "WARNING"]
    assert warnings[:2] == ["x.py:3: UserWarning: slow", "[WARNING|trainer.py:0] careful"]
    assert len(warnings) == 20


def test_a_line_that_nobody_understands_ends_the_telling_and_not_the_work(tmp_path: Path, log: Log) -> None:
    with TrainingWatch(tmp_path, tmp_path / "train.log") as watch:
        lines(tmp_path / METRICS_FILE, {"no": "step"})
        watch.update()
        lines(tmp_path / METRICS_FILE, step(10, loss=1.0))
        watch.update()
    assert [level for level, _ in log.told] == ["INFO", "WARNING"]


def test_an_evaluation_is_told_over_all_its_models(tmp_path: Path, log: Log) -> None:
    file = tmp_path / "progress.jsonl"
    counts = {"batches": 1, "of_batches": 4, "answers": 0, "of_answers": 6}
    with EvaluationWatch(file, tmp_path / "eval.log", num_models=2) as watch:
        watch.update()
        assert watch.progress.words == "", "nothing is told before the first line"
        lines(file, {"model": "trained", **counts})
        watch.update()
        assert (watch.progress.percent, watch.progress.words) == (5.0, "trained model: 1 of 4 batches, 0 of 6 answers")
        lines(file, {"model": "baseline", **counts, "batches": 4, "answers": 3}, end='{"model": "base')
        watch.update()
        assert watch.progress.percent == pytest.approx(85.0)
        assert watch.progress.words.startswith("baseline model: 4 of 4 batches, 3 of 6 answers")
    assert [text for _, text in log.told[1:]] == [
        "measuring the trained model: 4 batches and 6 answers",
        "measuring the baseline model: 4 batches and 6 answers",
    ]


def test_what_there_is_none_of_is_not_told(tmp_path: Path, log: Log) -> None:
    lines(
        tmp_path / "progress.jsonl", {"model": "trained", "batches": 1, "of_batches": 2, "answers": 0, "of_answers": 0}
    )
    with EvaluationWatch(tmp_path / "progress.jsonl", tmp_path / "eval.log", num_models=1) as watch:
        watch.update()
        assert (watch.progress.percent, watch.progress.words) == (50.0, "trained model: 1 of 2 batches")
