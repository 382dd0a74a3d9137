"""Progress of an evaluation, as people are told."""

from pathlib import Path

import orjson

from tasks.progress import EvaluationProgress


def test_the_newest_whole_line_is_told(tmp_path: Path) -> None:
    lines = [
        {"model": "trained", "batches": 1, "of_batches": 4, "answers": 0, "of_answers": 6},
        {"model": "baseline", "batches": 4, "of_batches": 4, "answers": 3, "of_answers": 6},
    ]
    file = tmp_path / "progress.jsonl"
    with EvaluationProgress(file) as progress:
        progress.update()
        assert progress.words == "", "nothing is told before the first line"
        file.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines) + b'{"model": "base')
        progress.update()
        assert progress.words == "baseline model: 4 of 4 batches, 3 of 6 answers"
        assert progress.percent == 70.0


def test_what_there_is_none_of_is_not_told(tmp_path: Path) -> None:
    file = tmp_path / "progress.jsonl"
    line = {"model": "trained", "batches": 1, "of_batches": 2, "answers": 0, "of_answers": 0}
    file.write_bytes(orjson.dumps(line) + b"\n")
    with EvaluationProgress(file) as progress:
        progress.update()
        assert (progress.percent, progress.words) == (50.0, "trained model: 1 of 2 batches")
