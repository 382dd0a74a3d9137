"""Canonical values, digests of code, and the difference between two payloads."""

import math
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.fingerprint import (
    PACKAGE_ROOT,
    canonical,
    code_digest,
    digest,
    digest_bytes,
    digest_file,
    explain_difference,
)
from sft_core.packing import PackingConfig

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        frozenset("ab"),
        math.nan,
        math.inf,
        -math.inf,
        print,
        lambda: 1,
        object(),
        b"bytes",
        {1: "a"},
        Path("x"),
        1j,
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_without_a_deterministic_text_are_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no deterministic fingerprint"):
        canonical({"nested": [value]})


def test_the_order_of_keys_does_not_matter() -> None:
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})


def test_a_tuple_is_a_list() -> None:
    assert digest((1, (2, 3))) == digest([1, [2, 3]])


def test_the_order_of_a_list_matters() -> None:
    assert digest([1, 2]) != digest([2, 1])


@pytest.mark.parametrize(
    ("one", "other"), [(1, True), (1, "1"), (0, None), ("", None), ([], {}), ([["a"], "b"], ["a", ["b"]])]
)
def test_values_of_different_types_differ(one: object, other: object) -> None:
    assert digest(one) != digest(other)


def test_a_section_counts_by_all_its_fields_defaults_included() -> None:
    fields = {
        "packing": True,
        "packing_strategy": "bfd",
        "eval_packing": None,
        "shuffle_dataset": False,
        "shuffle_seed": 42,
        "drop_duplicates": False,
        "target_column": "loss_mask",
    }
    assert canonical(PackingConfig(packing=True)) == fields


def test_an_object_with_an_identity_of_its_own_counts_by_it() -> None:
    class Located:
        path = "/somewhere"

        def fingerprint(self) -> dict[str, str]:
            return {"content": "abc"}

    assert canonical([Located()]) == [{"content": "abc"}]


def test_lone_surrogates_can_be_digested() -> None:
    assert digest("\ud800") != digest("\ud801")


@given(JSON)
def test_canonical_values_stay_what_they_are(value: object) -> None:
    assert canonical(canonical(value)) == canonical(value)


def test_bytes_are_digested_as_one_stream_however_they_are_cut(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abcdef")
    assert digest_bytes([b"abc", b"def"]) == digest_bytes([b"abcdef"]) == digest_file(file)
    assert len(digest_file(file)) == 32


def test_a_difference_names_the_field_and_both_values() -> None:
    ours = {"code": "a", "config": {"max_length": 64, "truncation_mode": "keep_start"}, "shards": ["x", "y"]}
    theirs = {"code": "a", "config": {"max_length": 32, "truncation_mode": "keep_start"}, "shards": ["x", "z"]}
    assert explain_difference(ours, theirs) == ["config.max_length: 32 → 64", "shards.1: 'z' → 'y'"]


def test_a_field_that_only_one_payload_has_is_a_difference() -> None:
    assert explain_difference({"a": 1}, {"b": 2}) == ["a: None → 1", "b: 2 → None"]


def test_lists_of_different_lengths_differ_as_a_whole() -> None:
    assert explain_difference({"a": [1]}, {"a": [1, 2]}) == ["a: [1, 2] → [1]"]


def test_equal_payloads_have_no_difference() -> None:
    assert explain_difference({"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}) == []


def edited_package(folder: Path, file: str, old: str, new: str) -> Path:
    """A copy of `sft_core` with one edit."""
    root = folder / "sft_core"
    shutil.copytree(PACKAGE_ROOT, root, ignore=shutil.ignore_patterns("__pycache__"))
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    return root


def test_code_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    root = edited_package(tmp_path, "packing/bfd.py", "", "")
    assert code_digest(["packing"], root) == code_digest(["packing"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("    placed = 0\n", "    # a comment\n    placed = 0\n"),
        ("Best fit decreasing", "Best-fit decreasing"),
        ("    Args:\n", "    Arguments, explained better:\n"),
        ("        while placed < stop:\n", "\n\n        while (placed < stop):\n"),
    ],
    ids=["comment", "module docstring", "function docstring", "layout"],
)
def test_explaining_code_better_keeps_its_digest(tmp_path: Path, old: str, new: str) -> None:
    root = edited_package(tmp_path, "packing/bfd.py", old, new)
    assert code_digest(["packing"], root) == code_digest(["packing"])


def test_an_edit_in_a_function_of_the_room_changes_the_digest(tmp_path: Path) -> None:
    root = edited_package(tmp_path, "packing/bfd.py", "capacity - sizes", "capacity + sizes")
    assert code_digest(["packing"], root) != code_digest(["packing"])


def test_an_edit_in_an_imported_module_changes_the_digest(tmp_path: Path) -> None:
    root = edited_package(tmp_path, "tables.py", '"zstd"', '"lz4"')
    assert code_digest(["tokens"], root) != code_digest(["tokens"])


def test_an_edit_in_a_module_that_an_imported_module_imports_changes_the_digest(tmp_path: Path) -> None:
    root = edited_package(tmp_path, "hub.py", "return bool(", "return not bool(")  # tokens → tokenizer → hub
    assert code_digest(["tokens"], root) != code_digest(["tokens"])


def test_an_edit_in_another_room_keeps_the_digest(tmp_path: Path) -> None:
    root = edited_package(tmp_path, "chat/spans.py", "start < end", "start <= end")
    assert code_digest(["tokens"], root) == code_digest(["tokens"])
    assert code_digest(["chat"], root) != code_digest(["chat"])


def test_a_new_file_in_the_room_changes_the_digest(tmp_path: Path) -> None:
    root = edited_package(tmp_path, "packing/bfd.py", "", "")
    (root / "packing" / "more.py").write_text("MORE = 1\n")
    assert code_digest(["packing"], root) != code_digest(["packing"])


def test_two_rooms_digest_as_one_whatever_their_order() -> None:
    assert code_digest(["packing", "shards"]) == code_digest(["shards", "packing"])
    assert code_digest(["packing", "shards"]) != code_digest(["packing"])
