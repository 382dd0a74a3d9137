"""What became of rows: by example, against a slow and plain account of the same rule, and what always holds."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sft_core.inspection.row_difference import SourceRows, match_rows


def rows(text: str) -> SourceRows:
    """One row a letter, at the place of its position; `.` is no row."""
    kept = [(place, ord(letter)) for place, letter in enumerate(text) if letter != "."]
    table = np.array(kept, np.int64).reshape(-1, 2)
    return SourceRows(table[:, 0], table[:, 1])


def counts(before: str, after: str) -> tuple[int, int, int, int, int]:
    found = match_rows(rows(before), rows(after))
    return found.num_same, found.num_moved, len(found.changed), len(found.added), len(found.removed)


def test_rows_are_the_same_moved_changed_added_or_removed() -> None:
    assert counts("abc", "abc") == (3, 0, 0, 0, 0)
    assert counts("abc", "abcd") == (3, 0, 0, 1, 0), "appended"
    assert counts("abc", "ab") == (2, 0, 0, 0, 1), "the end is gone"
    assert counts("abc", "axc") == (2, 0, 1, 0, 0), "edited where it stands"
    assert counts("abc", "xabc") == (0, 3, 0, 1, 0), "put in at the top"
    assert counts("abc", "bc") == (0, 2, 0, 0, 1), "the first is gone"
    assert counts("abc", "xabd") == (0, 2, 0, 2, 1), "the example of the module"
    assert counts("abc", "cab") == (0, 3, 0, 0, 0), "shuffled"
    assert counts("", "ab") == (0, 0, 0, 2, 0)
    assert counts("ab", "") == (0, 0, 0, 0, 2)


def test_of_equal_rows_each_finds_one_partner() -> None:
    assert counts("aab", "ab.") == (1, 1, 0, 0, 1), "one of two copies is gone"
    assert counts("ab.", "aab") == (1, 1, 0, 1, 0)
    assert counts("aa", "aaa") == (2, 0, 0, 1, 0)


def test_the_rows_are_named_by_their_positions() -> None:
    found = match_rows(rows("abcd"), rows("axc.ef"))
    assert found.changed.tolist() == [1]
    assert found.added.tolist() == [3, 4]
    assert found.removed.tolist() == [3]


def plain(before: str, after: str) -> tuple[int, int, int, int, int]:
    """The rule, step by step, over dictionaries."""
    old = {place: letter for place, letter in enumerate(before) if letter != "."}
    new = {place: letter for place, letter in enumerate(after) if letter != "."}
    same = [place for place in old if new.get(place) == old[place]]
    for place in same:
        del old[place], new[place]
    moved = 0
    for place in sorted(old):
        partner = next((other for other in sorted(new) if new[other] == old[place]), None)
        if partner is not None:
            moved += 1
            del old[place], new[partner]
    changed = len(old.keys() & new.keys())
    return len(same), moved, changed, len(new) - changed, len(old) - changed


LETTERS = st.text(alphabet="abcd.", max_size=14)


@given(LETTERS, LETTERS)
def test_the_account_is_that_of_the_rule(before: str, after: str) -> None:
    assert counts(before, after) == plain(before, after)


@given(LETTERS, LETTERS)
def test_every_row_of_both_sides_is_in_one_state_and_contents_add_up(before: str, after: str) -> None:
    same, moved, changed, added, removed = counts(before, after)
    old, new = Counter(before.replace(".", "")), Counter(after.replace(".", ""))
    assert same + moved + changed + removed == old.total()
    assert same + moved + changed + added == new.total()
    assert same + moved == (old & new).total(), "a content that both have is never said to have changed"
