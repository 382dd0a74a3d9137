"""Stages as Prefect tasks, with one cache policy that asks the artifact store, so that Prefect's cache is never stale.

The manifests decide whether the work of a stage has to be done:

- if a manifest is missing, the policy returns no cache key, so the task runs, whatever Prefect has stored;
- if all are valid, the policy (re)writes Prefect's result record and returns its key, so the task run ends as `Cached`
  in the UI, even if Prefect's database or storage is new, and even if the artifacts were made without Prefect.

There is one task run for all shards of a stage, because each task run takes Prefect 5 to 150 ms and ten events: a
million rows are 245 shards and four such stages.
"""

import functools
from typing import Any

from prefect import Task
from prefect.cache_policies import CachePolicy
from prefect.context import TaskRunContext
from prefect.results import get_result_store
from prefect.runtime import task_run

from sft_core.store.fingerprint import digest
from tasks.processes.retrying import JITTER, RETRY_DELAYS, retry_if_it_can_pass
from tasks.stages.runner import Stage, context_of, without_number

PLACEMENT = "It shows stages in Prefect."


@functools.cache
def task_of(stage: Stage[..., Any]) -> Task[..., Any]:
    """Return the Prefect task that runs a stage; it has the same name and parameters as the stage."""

    @functools.wraps(stage)
    def run(*args: Any, **kwargs: Any) -> Any:
        return stage.run(*args, **kwargs)

    return Task(
        run,
        name=stage.name,
        task_run_name=functools.partial(_run_name, stage),
        cache_policy=ManifestPolicy(stage),
        persist_result=True,
        result_serializer="json",
        retries=len(RETRY_DELAYS),
        retry_delay_seconds=RETRY_DELAYS,
        retry_jitter_factor=JITTER,
        retry_condition_fn=retry_if_it_can_pass,
    )


def _run_name(stage: Stage[..., Any]) -> str:
    """Return the name of the task run that is starting, for example `tokenize_chats (gsm8k, 12 shards)`."""
    shards = task_run.parameters.get(stage.per, []) if stage.per else []
    sources = list(dict.fromkeys(without_number(shard.name) for shard in shards))
    if not sources:
        return stage.name
    shown = sources[0] if len(sources) == 1 else f"{len(sources)} sources"
    return f"{stage.name} ({shown}, {len(shards):,} shards)" if len(shards) > 1 else f"{stage.name} ({shown})"


class ManifestPolicy(CachePolicy):
    """Cache policy that returns a key if and only if all artifacts of the stage exist in the store."""

    def __init__(self, stage: Stage[..., Any]) -> None:
        super().__init__()
        self.stage = stage

    def compute_key(
        self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any
    ) -> str | None:
        """Return a key if all manifests are valid, after writing Prefect's result record for it; else return None."""
        del task_ctx, flow_parameters, kwargs
        store = context_of(inputs).store
        manifests = [store.use(plan.ref) for plan in self.stage.plans(inputs)]
        refs = [manifest.ref for manifest in manifests if manifest is not None]
        if len(refs) < len(manifests):
            return None
        made = refs if self.stage.per else refs[0]
        key = digest([self.stage.name, [ref.key for ref in refs]])
        results = get_result_store()
        results.persist_result_record(results.create_result_record(made, key=key), results.generate_default_holder())
        return key
