"""Registered models: versions, aliases, tags."""

import contextlib
from collections.abc import Mapping

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException


class Registry:
    """MLflow's model registry."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def register(self, name: str, model_id: str, run_id: str, tags: Mapping[str, str]) -> str:
        """Make a logged model the next version of a registered model; return the version."""
        with contextlib.suppress(MlflowException):  # it is there already
            self._client.create_registered_model(name)
        version = self._client.create_model_version(
            name, f"models:/{model_id}", run_id, tags=dict(tags), model_id=model_id
        )
        return str(version.version)

    def alias_tags(self, name: str, alias: str) -> dict[str, str] | None:
        """The tags of the version behind an alias; None if there is no such alias."""
        version = self._client.get_registered_model(name).aliases.get(alias)
        return None if version is None else dict(self._client.get_model_version(name, version).tags)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        self._client.set_registered_model_alias(name, alias, version)

    def tag_version(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Add tags to a version."""
        for key, value in tags.items():
            self._client.set_model_version_tag(name, version, key, value)
