"""Which libraries a module can import, whatever it is that imports them."""

from pathlib import Path

from sft_core.registry.imports import foreign_modules, libraries_of


def test_imports_are_followed_through_our_own_modules_into_functions_and_packages(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "start.py").write_text("import json\nfrom sft_core.room.inner import x\n")
    (tmp_path / "room" / "__init__.py").write_text("from sft_core import other\n")
    (tmp_path / "room" / "inner.py").write_text("def x():\n    import deep.below\n")
    (tmp_path / "other.py").write_text("from far.away import y\nimport sft_core.start\n")
    (tmp_path / "apart.py").write_text("import unseen\n")
    assert foreign_modules(["start"], tmp_path) == {"deep", "far"}


def test_what_answers_requests_needs_what_it_is_known_to_need() -> None:
    needed = libraries_of("registry.serving")
    assert {"torch", "transformers", "accelerate", "peft", "datasets", "safetensors", "Jinja2"} <= {
        "Jinja2" if name.lower() == "jinja2" else name for name in needed
    }
    assert not {"prefect", "mlflow", "typer"} & set(needed)
