"""Addresses as MLflow writes them."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

_RUN = re.compile(r"(runs:/)?(?P<run_id>[0-9a-f]{32})")
_MODEL = re.compile(r"(models:/)?(?P<model_id>m-[0-9a-f]{32})")
_VERSION = re.compile(r"(?P<scheme>models:/)?(?P<name>[^/@:]+)(/(?P<version>\d+)|@(?P<alias>[^/@:]+))?")


@dataclass(frozen=True, slots=True)
class ModelAddress:
    """A name of a model in MLflow: a run's id, a logged model's id, or a registered model with version or alias."""

    run_id: str | None = None
    model_id: str | None = None
    name: str | None = None
    """Of a registered model; with neither version nor alias its newest version is meant."""
    version: str | None = None
    alias: str | None = None
    scheme: str | None = None
    """`models:/` where a registered model was written with it, so that it can be no folder."""


def parse_model(reference: str) -> ModelAddress | None:
    """Read a name of a model: RUN with or without `runs:/`; MODEL_ID, NAME/VERSION, NAME@ALIAS or NAME with or without
    `models:/`.

    Returns:
        None if it is none of these.
    """
    matches = (form.fullmatch(reference) for form in (_RUN, _MODEL, _VERSION))
    return next((ModelAddress(**match.groupdict()) for match in matches if match), None)


def local_path(uri: str) -> Path | None:
    """The folder behind an address, if it is one of this machine."""
    location = urlparse(uri)
    return Path(unquote(location.path)) if location.scheme in ("file", "") else None


def model_id_of(source: str) -> str:
    """`models:/m-…` → `m-…`; versions in a database do not tell their model's id themselves, but their source does."""
    return source.rpartition("/")[2]
