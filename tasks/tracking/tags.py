"""Names of the tags, inputs and files by which a run in MLflow carries what it was made from (`lineage.py`)."""

TAG_CHARS = 500
CONTEXT = "mlflow.data.context"
SOURCE = "source"
SOURCES_FILE = "sources.json"
SOURCES_DIGEST = "sft.sources_digest"
SOURCES_LISTED = "sft.sources_listed"
"""`all`, or `some` where a source has too many files to be an input each."""
RECIPE_DIGEST = "sft.recipe_digest"
CODE_DIGEST = "sft.code_digest"
HOME = "sft.home"
ARTIFACT = "sft.artifact."
