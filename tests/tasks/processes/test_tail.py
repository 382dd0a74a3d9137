"""Lines that are appended to a file are read once, when they are complete."""

from pathlib import Path

from tasks.processes.tail import Tail


def test_a_file_that_is_cut_back_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    file.write_text("a\nb\nc")
    tail = Tail(file)
    assert tail.lines() == [b"a", b"b"]
    file.write_text("d\n")
    assert tail.lines() == [b"d"]


def test_only_what_is_appended_later_is_read_on_request(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    assert Tail(file).lines() == []
    file.write_text("a\n")
    tail = Tail(file, from_end=True)
    with file.open("a") as more:
        more.write("b\nc")
    assert tail.lines() == [b"b"]
    with file.open("a") as more:
        more.write("d\n")
    assert tail.lines() == [b"cd"]
