"""Jinja templates for the pages that this package writes.

The templates of a module are in the folder `templates` next to it. A stage that names a template in its code has the
text of the template in its cache key (`sft_core.store.closure`).
"""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@functools.cache
def templates_of(module_file: str) -> "Environment":
    """Return the templates next to a module. HTML and SVG are escaped, and an unknown name in a template is an error.

    Jinja is imported only here, because most commands make no page.

    Args:
        module_file: The `__file__` of the module.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    return Environment(
        loader=FileSystemLoader(Path(module_file).with_name("templates")),
        autoescape=select_autoescape(["html.jinja", "svg.jinja"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
