"""Registered models: versions, aliases, tags.

MLflow has no operation that moves an alias only if it has not been moved meanwhile. `Registry.move` implements one: it
holds a lock (`tag_lock.py`), which keeps other processes out, while it reads the aliases and sets them. The record of a
move is written before the aliases. So a process that reads an alias also finds the record of its move, and after an
interruption the aliases are still as they were.
"""

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from sft_core.errors import RecipeError, StageFailedError
from sft_core.evaluation import SCORED_ITEMS_FILE
from sft_core.registry.promotion import CHAMPION
from sft_core.store.artifact import ArtifactStore
from sft_core.store.tables import read_table
from tasks.tracking.addresses import model_id_of, parse_model
from tasks.tracking.model_files import RECIPE_FILE, companion_file
from tasks.tracking.outbox import is_outage
from tasks.tracking.stores import open_client
from tasks.tracking.tag_lock import on_model, tag_lock
from tasks.tracking.versions import RegisteredVersion

EXPECTED = "expected NAME/VERSION, NAME@ALIAS, NAME for its newest version, each with or without `models:/`, or a run"
VERDICT_FILE = "verdict.json"
Record = Mapping[str, Mapping[str, str | None]]
"""Version → tags that are set on it; None removes a tag."""


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
            found = self._client.get_model_version(name, version)
        except MlflowException as error:
            if is_outage(error):
                raise
            raise RecipeError(f"model '{name}/{version}': not found in MLflow: {error.message}") from error
        return RegisteredVersion.of(found, found.aliases)

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
            newest = max(found, key=lambda version: int(version.version))
            return self.version(str(newest.name), str(newest.version))
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
        record: Record | None = None,
    ) -> bool:
        """Move aliases, in the given order, if the champion is still the expected one.

        Args:
            name: Name of the registered model.
            champion: The version that is expected to be champion now; None if no champion is expected.
            aliases: Alias → its new version; None removes the alias.
            record: Tags that record the move.

        Returns:
            True if the aliases were moved; False if the champion is another version by now, or if the lock was lost
            before the first alias was moved. Then all tags are as they were before the call.

        Raises:
            StageFailedError: if other processes may have moved the aliases at the same time, because this process was
                stopped for long.
        """
        record = record or {}
        with tag_lock(on_model(self._client, name)) as is_held:
            present = self.aliases(name)
            if present.get(CHAMPION) != champion:
                return False
            before = {version: self._tags(name, version) for version in record}
            for version, tags in record.items():
                self.tag_version(name, version, tags)
            if not is_held():
                self._take_back(name, record, before)
                return False
            for alias, target in aliases.items():
                if target is not None:
                    self.set_alias(name, alias, target)
                elif alias in present:
                    self._client.delete_registered_model_alias(name, alias)
            if not is_held():
                raise StageFailedError(
                    f"the aliases of '{name}' were moved, but not alone: this process was stopped for so long that "
                    f"others could move them meanwhile; expected {dict(aliases)}, found {self.aliases(name)}: look at "
                    "them, and use `sft promote` or `sft rollback` if they are not what they should be"
                )
            return True

    def _take_back(self, name: str, record: Record, before: Mapping[str, Mapping[str, str]]) -> None:
        """Restore the tags that a record changed, except those that another process has changed since."""
        for version, tags in record.items():
            now, earlier = self._tags(name, version), before[version]
            ours = [key for key, value in tags.items() if now.get(key) == value != earlier.get(key)]
            self.tag_version(name, version, {key: earlier.get(key) for key in ours})

    def _tags(self, name: str, version: str) -> dict[str, str]:
        return dict(self._client.get_model_version(name, version).tags)

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
