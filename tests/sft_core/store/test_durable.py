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


def test_a_file_has_the_permissions_that_it_is_given(tmp_path: Path) -> None:
    write_whole(tmp_path / "secret", b"s", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    write_whole(tmp_path / "open", b"o")
    (tmp_path / "plain").touch()
    assert (tmp_path / "open").stat().st_mode == (tmp_path / "plain").stat().st_mode


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
