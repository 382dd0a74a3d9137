"""Registered models: versions, aliases, tags.

MLflow has no operation that moves an alias only if it has not been moved meanwhile. `Registry.move` implements one: it
holds a claim (`claims.py`), which keeps other processes out, while it reads the aliases and sets them. The record of a
move is written before the aliases. So a process that reads an alias also finds the record of its move, and after an
interruption the aliases are still as they were.
"""

import contextlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from sft_core.errors import RecipeError, StageFailedError
from sft_core.evaluation import SCORED_ITEMS_FILE
from sft_core.registry.promotion import CHAMPION
from sft_core.store.artifact import ArtifactStore
from sft_core.store.tables import read_table
from tasks.tracking.addresses import model_id_of, parse_model
from tasks.tracking.claims import claim, on_model
from tasks.tracking.companion_files import RECIPE_FILE, companion_file
from tasks.tracking.outbox import is_outage
from tasks.tracking.stores import open_client

EXPECTED = "expected NAME/VERSION, NAME@ALIAS, NAME for its newest version, each with or without `models:/`, or a run"
VERDICT_FILE = "verdict.json"


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """Version of a registered model."""

    name: str
    version: str
    tags: Mapping[str, str]
    run_id: str
    model_id: str
    """Id of its logged model."""

    @property
    def uri(self) -> str:
        """Address by which MLflow loads the version."""
        return f"models:/{self.name}/{self.version}"


class Registry:
    """Model registry of an MLflow store."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    @property
    def tracking_uri(self) -> str:
        """Address of the server or database of the registry."""
        return str(self._client.tracking_uri)

    def register(self, name: str, model_id: str, run_id: str, tags: Mapping[str, str]) -> str:
        """Register a logged model as the next version of a registered model, and return the version.

        If the model is already registered, by a call whose response was lost, that version is returned.
        """
        with contextlib.suppress(MlflowException):  # it already exists
            self._client.create_registered_model(name)
        for found in self._client.search_model_versions(f"name = '{name}' AND run_id = '{run_id}'"):
            if model_id_of(str(found.source)) == model_id:
                return str(found.version)
        version = self._client.create_model_version(
            name, f"models:/{model_id}", run_id, tags=dict(tags), model_id=model_id
        )
        return str(version.version)

    def version(self, name: str, version: str) -> RegisteredVersion:
        """Read a version.

        Raises:
            RecipeError: if there is no such version.
        """
        try:
            return _read(self._client.get_model_version(name, version))
        except MlflowException as error:
            if is_outage(error):
                raise
            raise RecipeError(f"model '{name}/{version}': not found in MLflow: {error.message}") from error

    def versions(self) -> list[RegisteredVersion]:
        """Return all versions of all models."""
        found, token = [], None
        while True:
            page = self._client.search_model_versions(max_results=1000, page_token=token)
            found += [_read(version) for version in page]
            token = page.token
            if not token:
                return found

    def find_version(self, reference: str) -> RegisteredVersion:
        """Find a version by a reference (`EXPECTED`); for a run, the newest version that it registered.

        Raises:
            RecipeError: if there is no such version.
        """
        address = parse_model(reference)
        if address is None or address.model_id:
            raise RecipeError(f"model '{reference}': {EXPECTED}")
        if address.run_id:
            found = self._client.search_model_versions(f"run_id = '{address.run_id}'")
            if not found:
                raise RecipeError(f"model '{reference}': no version was registered by this run; {EXPECTED}")
            return _read(max(found, key=lambda version: int(version.version)))
        name, alias = str(address.name), address.alias
        number = address.version or (self.aliases(name).get(alias) if alias else self._newest(name))
        if number is None:
            has = ", ".join(f"{alias} = {version}" for alias, version in sorted(self.aliases(name).items())) or "none"
            raise RecipeError(f"model '{reference}': there is no such alias or version; aliases of '{name}': {has}")
        return self.version(name, number)

    def _newest(self, name: str) -> str | None:
        numbers = [int(version.version) for version in self._client.search_model_versions(f"name = '{name}'")]
        return str(max(numbers)) if numbers else None

    def aliases(self, name: str) -> dict[str, str]:
        """Return alias → version; empty if there is no such model."""
        try:
            found = self._client.get_registered_model(name).aliases
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return {}
            raise
        return {alias: str(version) for alias, version in found.items()}

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        self._client.set_registered_model_alias(name, alias, version)

    def move(
        self,
        name: str,
        champion: str | None,
        aliases: Mapping[str, str | None],
        record: Mapping[str, Mapping[str, str | None]] | None = None,
    ) -> bool:
        """Move aliases, in the given order, if the champion is still the expected one.

        Args:
            name: Name of the registered model.
            champion: The version that is expected to be champion now; None if no champion is expected.
            aliases: Alias → its new version; None removes the alias.
            record: Version → tags that record the move, as in `tag_version`.

        Returns:
            True if the aliases were moved; False if the champion is another version by now, or if the claim was lost
            before the first alias was moved.

        Raises:
            StageFailedError: if other processes may have moved the aliases at the same time, because this process was
                stopped for long.
        """
        with claim(on_model(self._client, name)) as held:
            present = self.aliases(name)
            if present.get(CHAMPION) != champion:
                return False
            for version, tags in (record or {}).items():
                self.tag_version(name, version, tags)
            if not held.is_held():
                return False
            for alias, target in aliases.items():
                if target is not None:
                    self.set_alias(name, alias, target)
                elif alias in present:
                    self._client.delete_registered_model_alias(name, alias)
            if not held.is_held():
                raise StageFailedError(
                    f"the aliases of '{name}' were moved, but not alone: this process was stopped for so long that "
                    f"others could move them meanwhile; expected {dict(aliases)}, found {self.aliases(name)}: look at "
                    "them, and use `sft promote` or `sft rollback` if they are not what they should be"
                )
            return True

    def tag_version(self, name: str, version: str, tags: Mapping[str, str | None]) -> None:
        """Add tags to a version; None removes one."""
        for key, value in tags.items():
            if value is not None:
                self._client.set_model_version_tag(name, version, key, value)
            else:
                self._client.delete_model_version_tag(name, version, key)

    def log_verdict(self, version: RegisteredVersion, verdict: Mapping[str, Any]) -> None:
        """Log a verdict as an artifact of the version's run and of its model."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / VERDICT_FILE
            file.write_text(json.dumps(verdict, indent=1, allow_nan=False), encoding="utf-8")
            self._client.log_artifact(version.run_id, str(file))
            self._client.log_model_artifact(version.model_id, str(file))

    def scored_items(self, version: RegisteredVersion, downloads: Path) -> pa.Table | None:
        """Return each held-out row's part of a version's scores (`SCORED_ITEMS`); None if they were not stored."""
        file = companion_file(self._client, version.model_id, SCORED_ITEMS_FILE, downloads)
        return None if file is None else read_table(file)

    def recipe_text(self, version: RegisteredVersion, downloads: Path) -> str:
        """Return the text of the `recipe.yaml` that is stored with a version's model.

        Raises:
            RecipeError: if there is no such file.
        """
        file = companion_file(self._client, version.model_id, RECIPE_FILE, downloads)
        if file is None:
            raise RecipeError(f"model '{version.uri}': no recipe is stored with it; name one with --recipe")
        return file.read_text(encoding="utf-8")


def open_registry(store: ArtifactStore) -> Registry:
    """Open the registry of the server that `MLFLOW_TRACKING_URI` names, else of the SQLite file in the store's root.

    No experiment is searched for or created.

    Raises:
        RecipeError: if neither exists.
    """
    return Registry(open_client(store.root))


def _read(found: ModelVersion) -> RegisteredVersion:
    return RegisteredVersion(
        name=str(found.name),
        version=str(found.version),
        tags=dict(found.tags),
        run_id=str(found.run_id),
        model_id=model_id_of(str(found.source)),
    )
