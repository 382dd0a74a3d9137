"""Addresses as MLflow writes them."""

import re
from pathlib import Path
from urllib.parse import unquote, urlparse

RUN = re.compile(r"(runs:/)?(?P<id>[0-9a-f]{32})")


def local_path(uri: str) -> Path | None:
    """The folder behind an address, if it is one of this machine."""
    location = urlparse(uri)
    return Path(unquote(location.path)) if location.scheme in ("file", "") else None


def model_id_of(source: str) -> str:
    """`models:/m-…` → `m-…`; versions in a database do not tell their model's id themselves, but their source does."""
    return source.rpartition("/")[2]
