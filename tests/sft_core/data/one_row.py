"""A selection asked about one row, as the stages ask about all of a table."""

from sft_core.data.selection import are_selected, hashes_of, row_digest
from sft_core.store.records import Selection


def is_selected(selection: Selection | None, row: int, record: str) -> bool:
    return bool(are_selected(selection, hashes_of([row_digest(row, record.encode())]))[0])
