"""Versions of libraries that enter keys."""

import importlib.metadata

import pytest

from sft_core.store.closure import library_versions


def test_versions_are_those_of_the_distributions_that_install_the_modules() -> None:
    found = library_versions(["PIL", "yaml", "numpy"])
    assert found == {
        "python": found["python"],
        **{name: importlib.metadata.version(name) for name in ("pillow", "PyYAML", "numpy")},
    }


def test_libraries_that_only_carry_values_and_optional_ones_do_not_count() -> None:
    assert library_versions(["pydantic", "prefect", "bitsandbytes", "torchao"]).keys() == {"python"}


def test_an_optional_library_counts_where_it_is_asked_for() -> None:
    found = library_versions(["torchao"], asked_for=["sacrebleu", "no_such_library"])
    assert found["sacrebleu"] == importlib.metadata.version("sacrebleu")
    assert found["no-such-library"] is None


def test_another_version_is_another_value(monkeypatch: pytest.MonkeyPatch) -> None:
    before = library_versions(["pyarrow"])
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.0")
    assert library_versions(["pyarrow"]) == {**before, "pyarrow": "99.0"}
