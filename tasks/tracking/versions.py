"""Versions of registered models as plain values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from tasks.tracking.addresses import model_id_of, version_uri
from tasks.tracking.paging import all_pages


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """Version of a registered model."""

    name: str
    version: str
    tags: Mapping[str, str] = field(repr=False)
    run_id: str
    model_id: str
    """Id of its logged model."""
    aliases: list[str] = field(default_factory=list)
    """Aliases that pointed at the version when it was read."""

    @classmethod
    def of(cls, found: ModelVersion, aliases: Iterable[str]) -> Self:
        """Return the facts of a version; its aliases are passed separately, because a search does not return them."""
        return cls(
            name=str(found.name),
            version=str(found.version),
            tags=dict(found.tags),
            run_id=str(found.run_id),
            model_id=model_id_of(str(found.source)),
            aliases=sorted(aliases),
        )

    @property
    def uri(self) -> str:
        """Address by which MLflow loads the version."""
        return version_uri(self.name, self.version)


def registered_versions(client: MlflowClient, name: str | None = None) -> list[RegisteredVersion]:
    """Return all versions of all registered models, or of one."""
    condition = None if name is None else f"name = '{name}'"
    named = all_pages(client.search_registered_models, condition)
    aliases = {model.name: {alias: str(version) for alias, version in model.aliases.items()} for model in named}
    return [
        RegisteredVersion.of(
            found, (alias for alias, version in aliases.get(found.name, {}).items() if version == str(found.version))
        )
        for found in all_pages(client.search_model_versions, condition, max_results=1000)
    ]
