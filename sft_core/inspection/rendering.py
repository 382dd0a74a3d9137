"""Render the templates of this package. Everything that a page shows of the data is escaped by the templates."""

from typing import Any

from sft_core.inspection.counts import count, share
from sft_core.inspection.display import label, shortened
from sft_core.inspection.markdown import bar, cell, excerpt
from sft_core.store.templates import templates_of

FILTERS = {
    "bar": bar,
    "cell": cell,
    "count": count,
    "excerpt": excerpt,
    "label": label,
    "share": share,
    "shortened": shortened,
}


def render(template: str, **values: Any) -> str:
    """Fill a template.

    Args:
        template: Name of a file in the folder `templates`.
        values: The names that the template uses, with their values.
    """
    templates = templates_of(__file__)
    templates.filters |= FILTERS
    return templates.get_template(template).render(values)
