"""Names of the tags, inputs and files in which a run in MLflow records what it was made from (`lineage.py`)."""

TAG_CHARS = 500
CONTEXT = "mlflow.data.context"
SOURCE = "source"
SOURCES_FILE = "sources.json"
SOURCES_DIGEST = "sft.sources_digest"
SOURCES_LISTED = "sft.sources_listed"
"""Tag that is `all` if every source file is an input, or `some` if a source has too many files for that."""
RECIPE_DIGEST = "sft.recipe_digest"
CODE_DIGEST = "sft.code_digest"
HOME = "sft.home"
ARTIFACT = "sft.artifact."
