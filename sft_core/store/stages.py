"""Names of the stages of a run. Each name is also that of a Prefect task, of its module in `tasks`, and of a folder
below `artifacts/`."""

INGEST_SOURCES = "ingest_sources"
DETECT_FORMATS = "detect_formats"
GATHER_IMAGES = "gather_images"
RENDER_CHATS = "render_chats"
TOKENIZE_CHATS = "tokenize_chats"
PACK_SHARDS = "pack_shards"
REPORT_DATA = "report_data"
TRAIN_MODEL = "train_model"
EVALUATE_MODEL = "evaluate_model"
REGISTER_MODEL = "register_model"

SHARD_STAGES = (INGEST_SOURCES, DETECT_FORMATS, GATHER_IMAGES, RENDER_CHATS, TOKENIZE_CHATS)
"""Stages that make one artifact for each shard, in order. `gather_images` runs only if rows have images."""
DATA_STAGES = (*SHARD_STAGES, PACK_SHARDS, REPORT_DATA)
"""Stages of the preparation, in order; the artifact of `pack_shards` is the data set."""
STAGES = (*DATA_STAGES, TRAIN_MODEL, EVALUATE_MODEL, REGISTER_MODEL)
"""All stages of a run, in order."""
