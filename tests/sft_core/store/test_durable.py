"""A file that several processes write at once is always whole."""

import multiprocessing
from pathlib import Path

from sft_core.store.durable import write_whole

ROUNDS = 300


def write_often(path: Path, content: bytes) -> None:
    for _ in range(ROUNDS):
        write_whole(path, content)
        assert set(path.read_bytes()) <= {content[0], content[0] ^ 1}, "one content or the other"
        assert len(set(path.read_bytes())) == 1, "not a mixture"


def test_processes_that_were_forked_from_one_write_a_file_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    file = tmp_path / "folder" / "file.json"
    processes = [context.Process(target=write_often, args=(file, bytes([64 + n]) * 10_000)) for n in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [path.name for path in file.parent.iterdir()] == ["file.json"]
