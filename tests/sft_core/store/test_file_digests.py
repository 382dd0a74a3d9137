"""Digests of files are remembered, and made again when a file changes."""

import contextlib
import os
from pathlib import Path

import pytest

from sft_core.store.file_digests import FileDigests
from sft_core.store.fingerprint import digest_file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.txt"
    path.write_text("one")
    return path


def test_the_digest_is_that_of_the_bytes(file: Path, file_digests: FileDigests) -> None:
    assert file_digests.of_file(file) == digest_file(file)


def test_a_file_seen_before_is_not_read_again(file: Path, file_digests: FileDigests) -> None:
    first = file_digests.of_file(file)
    assert file_digests.remember(file, "digest", lambda: 1 / 0) == first


def test_another_process_remembers_as_well(file: Path, tmp_path: Path) -> None:
    first = FileDigests(tmp_path / "digests.sqlite").of_file(file)
    assert FileDigests(tmp_path / "digests.sqlite").remember(file, "digest", lambda: 1 / 0) == first


def test_a_file_written_in_place_whose_time_was_put_back_has_another_digest(
    file: Path, file_digests: FileDigests
) -> None:
    first, stat = file_digests.of_file(file), file.stat()
    with file.open("r+") as opened:
        opened.write("two")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert file_digests.of_file(file) == digest_file(file) != first


def test_a_changed_file_has_another_digest(file: Path, file_digests: FileDigests) -> None:
    first = file_digests.of_file(file)
    file.write_text("three")
    assert file_digests.of_file(file) == digest_file(file) != first


def test_a_file_that_another_one_took_the_place_of_has_another_digest(
    file: Path, file_digests: FileDigests, tmp_path: Path
) -> None:
    first, stat = file_digests.of_file(file), file.stat()
    other = tmp_path / "other.txt"
    other.write_text("two")
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same size, same time: only the inode tells
    other.rename(file)
    assert file_digests.of_file(file) != first


def test_a_touched_file_keeps_its_digest(file: Path, file_digests: FileDigests) -> None:
    first = file_digests.of_file(file)
    os.utime(file, (1, 1))
    assert file_digests.of_file(file) == first


def test_a_folder_is_its_names_and_bytes_wherever_it_lies(file_digests: FileDigests, tmp_path: Path) -> None:
    digests = []
    for folder, name in (("a", "x.txt"), ("b", "x.txt"), ("c", "y.txt")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text("one")
        digests.append(file_digests.of_folder(tmp_path / folder, (tmp_path / folder).glob("*")))
    assert digests[0] == digests[1] != digests[2]


def test_what_was_computed_from_a_file_is_remembered_by_name(file: Path, file_digests: FileDigests) -> None:
    calls: list[str] = []

    def length() -> dict[str, list[int]]:
        calls.append(file.read_text())
        return {"length": [len(calls[-1])]}

    for what in ("length", "length", "length of another kind"):
        assert file_digests.remember(file, what, length) == {"length": [3]}
    assert calls == ["one", "one"]
    file.write_text("three")
    assert file_digests.remember(file, "length", length) == {"length": [5]}


def test_what_could_not_be_computed_is_not_remembered(file: Path, file_digests: FileDigests) -> None:
    with pytest.raises(ZeroDivisionError):
        file_digests.remember(file, "ratio", lambda: 1 / 0)
    assert file_digests.remember(file, "ratio", lambda: None) is None
    assert file_digests.remember(file, "ratio", lambda: 1 / 0) is None


def test_many_files_have_the_digests_that_each_has_and_are_remembered(
    tmp_path: Path, file_digests: FileDigests
) -> None:
    paths = [tmp_path / f"{number}.txt" for number in range(5)]
    for path in paths:
        path.write_text(path.name)
    assert file_digests.of_files([*paths, paths[0]]) == [digest_file(path) for path in [*paths, paths[0]]]
    for path in paths:
        assert file_digests.remember(path, "digest", lambda: 1 / 0) == digest_file(path)
    paths[2].write_text("other")
    assert file_digests.of_files(paths) == [digest_file(path) for path in paths]


def test_what_many_files_hold_is_written_together_and_at_the_end_if_one_fails(tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.txt" for number in range(5)]
    for file in files:
        file.write_text(file.name)
    digests = FileDigests(tmp_path / "digests.sqlite")
    with contextlib.suppress(ZeroDivisionError), digests.together() as known:
        assert [known.of_file(file) for file in files] == [digest_file(file) for file in files]
        assert digests.remember(files[0], "digest", lambda: "not yet written") == "not yet written"
        known.remember(files[0], "ratio", lambda: 1 / 0)
    assert [digests.remember(file, "digest", lambda: 1 / 0) for file in files] == [digest_file(file) for file in files]


def test_a_thousand_files_are_written_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sft_core.store.file_digests.FILES_WRITTEN_TOGETHER", 2)
    files = [tmp_path / f"{number}.txt" for number in range(3)]
    for file in files:
        file.write_text(file.name)
    digests = FileDigests(tmp_path / "digests.sqlite")
    with digests.together() as known:
        for file in files:
            known.of_file(file)
        assert digests.remember(files[1], "digest", lambda: 1 / 0) == digest_file(files[1])
        assert digests.remember(files[2], "digest", lambda: "waits") == "waits"
