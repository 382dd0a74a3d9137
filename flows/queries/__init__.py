"""Questions that need no flow run and no server: a forecast, a plan, prepared data, the history of one row.

    plan_run(recipe)   # → [StagePlan("ingest_sources", "reused", …), …], what `sft plan` prints

What always holds: a query changes no artifact, no run and no model, and imports neither Prefect nor torch.
"""
