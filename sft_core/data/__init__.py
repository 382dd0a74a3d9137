"""From source files to packed blocks. One room per stage, each with one door, and the steps between them.

    sources → formats → images → chat → tokens → packing → shards
    files     rows      pixels   text   ids      plan      blocks on disk

What always holds: rows in = rows trained + rows held out + rows rejected or left out, each rejection with a reason; the
tokens of a row are the same whatever shard, worker or block it is in.

- `selection`, `mixing`: which rows of a source take part (`fraction`, `max_rows`), decided by a hash of each row.
- `transform`: a function of the user's, applied to each row.
- `accounts`, `audit`, `gates`: ledgers of all shards together, and the limits that data must keep before training.
- `token_rows`, `block_plan`, `pack`: from the token rows of all shards to one packed data set.
"""
