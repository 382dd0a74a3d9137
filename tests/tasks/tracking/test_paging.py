"""Searches in MLflow that return several pages."""

from mlflow.store.entities import PagedList

from tasks.tracking.paging import all_pages

PAGES = {None: PagedList([1, 2], "second"), "second": PagedList([], "third"), "third": PagedList([3], "")}


def test_the_items_of_all_pages_are_found_and_a_page_is_requested_only_when_it_is_needed() -> None:
    requested: list[str | None] = []

    def search(names: list[str], condition: str, page_token: str | None = None) -> PagedList[int]:
        assert (names, condition) == (["a"], "x = 1")
        requested.append(page_token)
        return PAGES[page_token]

    items = all_pages(search, ["a"], condition="x = 1")
    assert [next(items), next(items)] == [1, 2]
    assert requested == [None]
    assert list(items) == [3]
    assert requested == [None, "second", "third"]
