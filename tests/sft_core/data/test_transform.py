"""A function of the user's: found without running it, known by its code, checked when it is used."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sft_core.data.transform import TransformFailedError, load_transform, locate_transform
from sft_core.errors import RecipeError

CODE = """
from numbers_beside_it import FACTOR


def double(row):
    return {"x": row["x"] * FACTOR}


def as_text(row):
    return f"{row['x']}!"


def only_even(row):
    return row if row["x"] % 2 == 0 else None


def wrong(row):
    return [row]


async def later(row):
    return row


NUMBER = 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory with a file and a package."""
    write(tmp_path / "row_changes.py", CODE)
    write(tmp_path / "numbers_beside_it.py", "FACTOR = 2\n")
    write(tmp_path / "mixture/__init__.py", "")
    write(tmp_path / "mixture/inner/__init__.py", "")
    write(tmp_path / "mixture/inner/rows.py", "from ..tools import upper\nfrom .. import more\n\n\n" + PACKAGE_CODE)
    write(tmp_path / "mixture/tools.py", "def upper(text):\n    return text.upper()\n")
    write(tmp_path / "mixture/more.py", "END = '.'\n")
    write(tmp_path / "mixture/unrelated.py", "1 / 0\n")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in sys.modules.keys() - before:
        if name.split(".")[0] in ("mixture", "numbers_beside_it", "datasets_of_mine"):
            del sys.modules[name]


PACKAGE_CODE = "def shout(row):\n    return upper(row['text']) + more.END\n"


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def apply(text: str, row: dict[str, Any]) -> dict[str, Any] | None:
    return load_transform(locate_transform(text))(row)


@pytest.mark.parametrize("module", ["row_changes.", "row_changes.py:", "./row_changes.py:"])
def test_a_function_is_found_by_name_and_by_file(folder: Path, module: str) -> None:
    assert apply(f"{module}double", {"x": 3}) == {"x": 6}


def test_a_function_of_a_package_is_found(folder: Path) -> None:
    assert apply("mixture.inner.rows.shout", {"text": "hi"}) == {"text": "HI."}


def test_a_function_of_an_installed_package_is_found(folder: Path) -> None:
    ref = locate_transform("json.decoder.JSONDecoder")
    assert ref.name == "json.decoder.JSONDecoder"
    assert (Path(ref.folder) / "json" / "decoder.py").is_file()


def test_text_becomes_the_column_text_and_none_stays(folder: Path) -> None:
    assert apply("row_changes.as_text", {"x": 3}) == {"text": "3!"}
    assert apply("row_changes.only_even", {"x": 3}) is None
    assert apply("row_changes.only_even", {"x": 4}) == {"x": 4}


@pytest.mark.parametrize(
    ("function", "row", "reason"),
    [
        ("double", {}, "the transform raised KeyError"),
        ("wrong", {"x": 1}, "the transform returned a value of type list, not a dictionary, a string or None"),
    ],
)
def test_what_fails_for_one_row_is_a_reason_without_its_values(
    folder: Path, function: str, row: dict[str, Any], reason: str
) -> None:
    with pytest.raises(TransformFailedError) as failed:
        apply(f"row_changes.{function}", row)
    assert str(failed.value) == reason


def test_finding_a_function_does_not_run_its_module(folder: Path) -> None:
    write(folder / "explodes.py", "def change(row):\n    return row\n\n\n1 / 0\n")
    ref = locate_transform("explodes.change")
    with pytest.raises(RecipeError, match=r"importing 'explodes' failed: ZeroDivisionError: division by zero"):
        load_transform(ref)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("double", r"expected `package.module.function` or `path/to/file.py:function`"),
        ("row changes.double", r"expected `package.module.function`"),
        ("nowhere_at_all.double", r"expected a module 'nowhere_at_all' in /.* or among the installed ones, found none"),
        ("mixture.inner.nothing.shout", r"expected a module 'mixture.inner.nothing'"),
        ("nowhere.py:double", r"expected a Python file at 'nowhere.py', found none \(looked for /.*nowhere.py\)"),
        ("mixture:double", r"expected a Python file at 'mixture', found none"),
        ("row_changes.triple", r"expected a function 'triple' in the module, found .*double, .*only_even"),
    ],
)
def test_what_is_not_there_is_named(folder: Path, text: str, complaint: str) -> None:
    with pytest.raises(RecipeError, match=f"transform '{text}': {complaint}"):
        locate_transform(text)


def test_what_is_not_python_is_named(folder: Path) -> None:
    write(folder / "broken.py", "def change(row:\n")
    with pytest.raises(RecipeError, match=r"broken\.py is not Python: "):
        locate_transform("broken.change")


@pytest.mark.parametrize(("name", "found"), [("NUMBER", "a int"), ("later", "an async function")])
def test_what_is_no_function_of_a_row_is_refused(folder: Path, name: str, found: str) -> None:
    with pytest.raises(
        RecipeError, match=f"transform 'row_changes.{name}': expected a function of one row, found {found}"
    ):
        load_transform(locate_transform(f"row_changes.{name}"))


def digest_after(folder: Path, file: str, text: str, transform: str = "mixture.inner.rows.shout") -> str:
    write(folder / file, text)
    return locate_transform(transform).content_digest


def test_code_and_what_it_imports_of_its_own_are_its_identity(folder: Path) -> None:
    first = locate_transform("mixture.inner.rows.shout").content_digest
    assert digest_after(folder, "mixture/unrelated.py", "2 / 0\n") == first
    assert digest_after(folder, "mixture/more.py", "# the end\nEND = '.'\n") == first
    changed = {
        first,
        digest_after(folder, "mixture/more.py", "END = '!'\n"),
        digest_after(folder, "mixture/tools.py", "def upper(text):\n    return text\n"),
        digest_after(folder, "mixture/__init__.py", "import this\n"),
        digest_after(folder, "mixture/inner/rows.py", PACKAGE_CODE),
    }
    assert len(changed) == 5


def test_what_lies_beside_a_file_belongs_to_it_wherever_both_lie(folder: Path) -> None:
    first = locate_transform("row_changes.py:double")
    for name in ("row_changes.py", "numbers_beside_it.py"):
        write(folder / "moved" / name, (folder / name).read_text())
    moved = locate_transform("moved/row_changes.py:double")
    assert moved.fingerprint() == first.fingerprint()
    assert moved.folder != first.folder
    assert digest_after(folder, "numbers_beside_it.py", "FACTOR = 3\n", "row_changes.double") != first.content_digest


def test_a_change_in_the_running_process_is_seen(folder: Path) -> None:
    for factor in (2, 3, 4):
        write(folder / "numbers_beside_it.py", f"FACTOR = {factor}\n")
        assert apply("row_changes.double", {"x": 10}) == {"x": 10 * factor}


def test_code_that_changed_after_it_was_located_is_refused(folder: Path) -> None:
    ref = locate_transform("row_changes.double")
    write(folder / "numbers_beside_it.py", "FACTOR = 5\n")
    with pytest.raises(RecipeError, match="its code changed since the run began; run again"):
        load_transform(ref)


def test_a_file_may_be_called_like_a_library(folder: Path) -> None:
    write(folder / "datasets.py", "def change(row):\n    return {'mine': True}\n")
    assert apply("datasets.py:change", {}) == {"mine": True}
    assert apply("datasets.change", {}) == {"mine": True}
    import datasets

    assert hasattr(datasets, "load_from_disk")


def test_a_package_called_like_another_that_is_in_use_is_refused(folder: Path) -> None:
    write(folder / "json" / "rows.py", "def change(row):\n    return row\n")
    with pytest.raises(RecipeError, match=r"importing 'json\.rows' failed: "):
        load_transform(locate_transform("json.rows.change"))


def test_a_file_may_define_dataclasses_and_load_leaves_the_import_path_alone(folder: Path) -> None:
    write(
        folder / "shapes.py",
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n\n@dataclass\nclass Row:\n"
        "    x: int\n\n\ndef change(row):\n    return vars(Row(**row))\n",
    )
    before = list(sys.path)
    assert apply("shapes.change", {"x": 1}) == {"x": 1}
    assert sys.path == before
    assert not list(folder.rglob("__pycache__"))


def test_the_folder_is_absolute(folder: Path) -> None:
    ref = locate_transform("row_changes.py:double")
    os.chdir("/")
    assert load_transform(ref)({"x": 1}) == {"x": 2}
