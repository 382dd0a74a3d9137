"""Searches in MLflow that return more than one page."""

from collections.abc import Callable, Iterator
from typing import Any


def all_pages(search: Callable[..., Any], *arguments: Any, **options: Any) -> Iterator[Any]:
    """Yield all items that a search of `MlflowClient` finds; further pages are requested when they are needed."""
    page = search(*arguments, **options)
    yield from page
    while page.token:
        page = search(*arguments, **options, page_token=page.token)
        yield from page
