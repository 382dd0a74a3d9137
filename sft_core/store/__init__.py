"""Everything on disk: artifacts, their keys, the ledger, tables, images, and the rules for removing them.

    plan = plan_artifact("pack_shards", "sums", {"code": "9f3c…", "inputs": …})   # the key is a digest of all of it
    store.build(plan, fill)          # → artifacts/pack_shards/sums-<key>/manifest.json, or the artifact that exists
    store.find(plan.ref)             # → its manifest, or None

An artifact is always written to a temporary folder, its manifest last, and then renamed, so it exists completely or not
at all. Equal inputs give equal keys on every machine. Every row that enters a stage is counted in its ledger.

- `stages`, `artifact`, `fingerprint`, `closure`: artifacts, and the keys under which they are found.
- `records`, `tables`, `ragged`, `parts`, `ledger`: the rows that stages exchange, and the account of every row.
- `file_digests`, `image_store`, `user_function`, `templates`: files, images, functions and page templates, identified
  by their content.
- `durable`, `disk_use`, `occupancy`, `retention`: writing safely, and removing what is no longer needed.
"""
