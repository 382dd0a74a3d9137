"""A stage of the pipeline, and the one runner of all stages.

    @stage()
    def pack_shards(config: PackingConfig, tokens: Sequence[ArtifactRef], context: RunContext) -> Work: …

    pack_shards(config, tokens, context)   # → ArtifactRef: found in the store, or made now

Invariant: the artifact of a key is made once, whichever process calls the stage and however often. `runner` has stages
and their runner, `run_context` what they run with, `caching` makes them Prefect tasks, `planning` computes `sft plan`,
`accepting` reuses results of earlier code after a proof, `codebase` digests the code of all stages, and `outcomes`
summarizes a run.
"""

from tasks.stages.runner import Stage, stage

__all__ = ["Stage", "stage"]
