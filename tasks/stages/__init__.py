"""A stage of the pipeline, and the one runner of all stages.

    @stage()
    def pack_shards(config: PackingConfig, tokens: Sequence[ArtifactRef], store: ArtifactStore) -> Work: …

    pack_shards(config, tokens, store)   # → ArtifactRef: found in the store, or made now

What always holds: the artifact under a key is made once, whoever asks and however often. `stage` has the runner,
`caching` shows stages to Prefect, `planning` answers `sft plan`, `accepting` keeps results of earlier code after a
proof, `codebase` knows the code of all stages, and `outcomes` sums up a run.
"""

from tasks.stages.stage import Stage, stage

__all__ = ["Stage", "stage"]
