"""Parsing of MLflow's addresses of runs, models and artifacts."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

_RUN = re.compile(r"(runs:/)?(?P<run_id>[0-9a-f]{32})")
_MODEL = re.compile(r"(models:/)?(?P<model_id>m-[0-9a-f]{32})")
_VERSION = re.compile(r"(?P<scheme>models:/)?(?P<name>[^/@:]+)(/(?P<version>\d+)|@(?P<alias>[^/@:]+))?")


@dataclass(frozen=True, slots=True)
class ModelAddress:
    """Reference to a model in MLflow: a run's id, a logged model's id, or a registered model with version or alias."""

    run_id: str | None = None
    model_id: str | None = None
    name: str | None = None
    """Name of a registered model; with neither version nor alias, it refers to the newest version."""
    version: str | None = None
    alias: str | None = None
    scheme: str | None = None
    """`models:/` if the reference to a registered model began with it, and so cannot be a folder."""


def parse_model(reference: str) -> ModelAddress | None:
    """Parse a reference to a model: RUN with or without `runs:/`; MODEL_ID, NAME/VERSION, NAME@ALIAS or NAME with or
    without `models:/`.

    Returns:
        The parts of the reference; None if it has another form.
    """
    matches = (form.fullmatch(reference) for form in (_RUN, _MODEL, _VERSION))
    return next((ModelAddress(**match.groupdict()) for match in matches if match), None)


def version_uri(name: str, version: str) -> str:
    """Return the address by which MLflow loads a version of a registered model."""
    return f"models:/{name}/{version}"


def local_path(uri: str) -> Path | None:
    """Return the folder of an artifact address on this machine; None for an address of a remote store."""
    location = urlparse(uri)
    return Path(unquote(location.path)) if location.scheme in ("file", "") else None


def model_id_of(source: str) -> str:
    """Return the model id in the source of a model version: `models:/m-…` → `m-…`.

    A version that is read from a database does not have its model's id, but its source contains it.
    """
    return source.rpartition("/")[2]
