"""Data preparation, from source files to packed blocks. Each stage is a package with one public interface; the modules
here connect the stages.

    sources → formats → images → chat → tokens → packing → shards
    files     rows      pixels   text   ids      plan      blocks on disk

Two invariants hold. Rows in = rows trained + rows held out + rows rejected + rows skipped by the recipe, and each
rejection has a reason. A row has the same tokens whatever shard, worker or block it is in.

- `selection`, `draw`: choose the rows of a source that are used (`fraction`, `max_rows`) by a hash of each row.
- `transform`: applies a function of the user to each row.
- `accounts`, `audit`, `gates`: combine the ledgers of all shards, and check the limits that data must meet before
  training.
- `token_rows`, `block_plan`, `pack`: turn the token rows of all shards into one packed data set.
"""
