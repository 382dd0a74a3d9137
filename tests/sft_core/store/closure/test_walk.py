"""What a function can reach: found by names, through imports and re-exports."""

from pathlib import Path

import pytest

from sft_core.store.closure import Closure, Codebase, changed_definitions, keep_listing

PROJECT = Path(__file__).parents[4]

CORE = {
    "__init__.py": "",
    "store/__init__.py": "",
    "store/fingerprint.py": "class Placement:\n    pass\n",
    "door/__init__.py": "from sft_core.door.inside import open_it as open_door\n",
    "door/inside.py": (
        "import numpy as np\n"
        "LIMIT = 3\n"
        "UNUSED = 4\n"
        "def open_it(rows):\n    return _first(rows)[:LIMIT]\n"
        "def _first(rows):\n    return np.array(rows)\n"
        "def close_it():\n    return UNUSED\n"
    ),
}
TASK = "from sft_core.door import open_door\ndef stage(rows):\n    return open_door(rows)\n"


def closure(start: str = "tasks.one:stage", room: dict[str, str] | None = None, **files: str) -> Closure:
    """Of a function in a project of a few files, whose paths are written with `__` for `/`.

    `room` are the files of the package `sft_core.room`.
    """
    texts = {f"sft_core/{path}": text for path, text in CORE.items()} | {"tasks/__init__.py": "", "tasks/one.py": TASK}
    texts |= {f"{name.replace('__', '/')}.py": text for name, text in files.items()}
    texts |= {f"sft_core/room/{name}": text for name, text in (room or {}).items()}
    return Codebase(Path("/nowhere"), edits=texts).closure(start)


def names(found: Closure) -> set[str]:
    return set(found.definitions)


def test_names_are_followed_through_a_door() -> None:
    assert names(closure()) == {
        "tasks.one:stage",
        "sft_core.door.inside:open_it",
        "sft_core.door.inside:_first",
        "sft_core.door.inside:LIMIT",
    }
    assert closure().libraries == ("numpy",)


@pytest.mark.parametrize(
    ("body", "reached"),
    [
        ("from sft_core import two\ndef stage():\n    return two.f()\n", "sft_core.two:f"),
        ("import sft_core.two\ndef stage():\n    return sft_core.two.f()\n", "sft_core.two:f"),
        ("import sft_core.two as t\ndef stage():\n    return t.f()\n", "sft_core.two:f"),
        ("def stage():\n    from sft_core.two import f\n    return f()\n", "sft_core.two:f"),
        ("from sft_core.two import f as g\nTABLE = {'f': g}\ndef stage(n):\n    return TABLE[n]()\n", "sft_core.two:f"),
        ("from sft_core.two import A\ndef stage(a: A):\n    return a.g()\n", "sft_core.two:f"),
        ("from sft_core.two import A\ndef stage(a: 'A | None'):\n    return a.g()\n", "sft_core.two:f"),
        ("from sft_core import two\ndef stage(run):\n    return run(two)\n", "sft_core.two:f"),
        ("def stage(run):\n    return run('sft_core.two')\n", "sft_core.two:f"),
    ],
    ids=[
        "module",
        "dotted",
        "renamed module",
        "imported inside",
        "in a table",
        "annotation",
        "annotation as text",
        "module as a value",
        "name of a module",
    ],
)
def test_whichever_way_a_name_is_used_it_is_found(body: str, reached: str) -> None:
    two = "def f():\n    return 1\nclass A:\n    def g(self):\n        return f()\n"
    assert reached in names(closure(tasks__one=body, sft_core__two=two))


def test_a_program_is_reached_through_its_main_module() -> None:
    found = closure(
        tasks__one="def stage(launch):\n    launch('sft_core.room')\n",
        room={
            "__init__.py": "def idle():\n    pass\n",
            "__main__.py": "from sft_core.room.run import main\nif __name__ == '__main__':\n    main()\n",
            "run.py": "def main():\n    pass\n",
        },
    )
    assert {"sft_core.room.run:main"} <= names(found)
    assert "sft_core.room:idle" not in names(found)


def test_a_base_class_and_a_decorator_are_reached() -> None:
    two = "def wrap(f):\n    return f\nclass Base:\n    def f(self):\n        return 1\n"
    one = "from sft_core.two import Base, wrap\nclass A(Base):\n    pass\n@wrap\ndef stage():\n    return A().f()\n"
    assert {"sft_core.two:Base", "sft_core.two:wrap"} <= names(closure(tasks__one=one, sft_core__two=two))


def test_what_a_module_does_as_it_is_imported_counts_with_any_of_its_names() -> None:
    two = "from sft_core.three import register\nregister('x')\ndef f():\n    return 1\n"
    found = closure(
        tasks__one="from sft_core.two import f\ndef stage():\n    return f()\n",
        sft_core__two=two,
        sft_core__three="def register(name):\n    pass\n",
    )
    assert {"sft_core.two:", "sft_core.three:register"} <= names(found)


def test_modules_and_classes_that_only_place_work_are_not_followed() -> None:
    one = (
        "from sft_core.store.fingerprint import Placement\nfrom sft_core.two import patiently\n"
        "class Store(Placement):\n    def find(self):\n        return helper()\n"
        "class SqlStore(Store):\n    pass\n"
        "def helper():\n    return 1\n"
        "def stage(store: SqlStore):\n    return patiently(store.find)\n"
    )
    two = 'from sft_core.door import open_door\nPLACEMENT = "It waits."\ndef patiently(f):\n    open_door(f)\n'
    found = closure(tasks__one=one, sft_core__two=two)
    assert names(found) == {"tasks.one:stage"}
    assert found.marked == ("sft_core.two", "tasks.one:SqlStore")


def test_imports_for_type_checkers_bring_no_library() -> None:
    one = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from torch import Tensor\n"
        "def stage(x: 'Tensor'):\n    return x\n"
    )
    assert closure(tasks__one=one).libraries == ()


def test_a_name_that_several_statements_bind_counts_with_all_of_them() -> None:
    def of(second: str) -> Closure:
        one = f"try:\n    LIMIT = 1\nexcept ValueError:\n    LIMIT = {second}\ndef stage():\n    return LIMIT\n"
        return closure(tasks__one=one)

    assert of("2").digest != of("3").digest


def test_what_is_reached_counts_and_what_is_not_does_not() -> None:
    inside = CORE["door/inside.py"]
    for old, new, counts in [
        ("LIMIT = 3", "LIMIT = 5", True),
        ("np.array(rows)", "np.asarray(rows)", True),
        ("UNUSED = 4", "UNUSED = 5", False),
        ("return UNUSED", "return UNUSED + 1", False),
    ]:
        edited = closure(sft_core__door__inside=inside.replace(old, new))
        assert (edited.digest != closure().digest) is counts, old


def test_a_template_counts_with_the_templates_that_it_names() -> None:
    room = {
        "__init__.py": "",
        "page.py": 'TEMPLATE = "page.html.jinja"\ndef draw():\n    return TEMPLATE\n',
        "templates/page.html.jinja": '<style>{% include "style.css" %}</style>{{ "missing.css" }}',
        "templates/style.css": "b {}",
        "templates/other.css": "i {}",
    }
    files = {"tasks__one": "from sft_core.room.page import draw\ndef stage():\n    return draw()\n"}
    found = closure(room=room, **files)
    assert {name for name in names(found) if "templates" in name} == {
        "sft_core.room:templates/page.html.jinja",
        "sft_core.room:templates/style.css",
    }
    for file, counts in [("page.html.jinja", True), ("style.css", True), ("other.css", False)]:
        edited = {**room, f"templates/{file}": room[f"templates/{file}"] + " "}
        assert (closure(room=edited, **files).digest != found.digest) is counts, file


def test_a_missing_start_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"tasks\.one:nothing"):
        closure("tasks.one:nothing")


def test_modules_are_remembered_by_their_text(tmp_path: Path) -> None:
    def found(edits: dict[str, str]) -> Closure:
        code = Codebase(PROJECT, edits=edits)
        code.remember_in(tmp_path)
        return code.closure("tasks.pack_shards:pack_shards")

    first = found({})
    assert len(list(tmp_path.glob("modules-*.json"))) == 1
    assert found({}) == first == Codebase(PROJECT).closure("tasks.pack_shards:pack_shards")
    text = (PROJECT / "sft_core/data/packing/bfd.py").read_text()
    assert found({"sft_core/data/packing/bfd.py": text.replace("capacity - sizes", "capacity + sizes")}) != first


def test_a_changed_closure_is_explained_function_by_function(tmp_path: Path) -> None:
    before = closure()
    keep_listing(tmp_path, before)
    inside = CORE["door/inside.py"].replace("LIMIT = 3", "LIMIT = 5").replace("_first(rows)[", "list(rows)[")
    after = closure(sft_core__door__inside=inside)
    assert changed_definitions(tmp_path, before.digest, after) == [
        "sft_core.door.inside:LIMIT changed",
        "sft_core.door.inside:_first is no longer used",
        "sft_core.door.inside:open_it changed",
    ]
    assert changed_definitions(tmp_path, "unknown", after) is None
