"""Input and output of the verification process: `plan.json` and `verification.json`."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

VERIFICATION_FILE = "verification.json"


class VerificationPlan(BaseModel):
    """A stored model and its expected logits. Paths are absolute."""

    model_config = ConfigDict(frozen=True)

    model_folder: Path
    """Folder with the stored weights, configuration and tokenizer."""
    probe: Path
    """File with the texts of the comparison and the trained model's logits."""
    output_folder: Path
    """Folder into which `verification.json` is written."""


class Verification(BaseModel):
    """Result of comparing the stored model with the trained one."""

    model_config = ConfigDict(frozen=True)

    difference: float
    """Difference of the logits as a share of their spread; an infinite difference is written as 1e308."""
    tolerance: float
    """Maximum difference at the coarser precision of the two models."""
    precision: str
    num_texts: int
    code_folder: Path
    """Folder of the code that loaded the model."""

    @property
    def is_same(self) -> bool:
        """True if the difference is within the tolerance."""
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        return f"logits differ by {self.difference:.2g} of their spread; {self.precision} allows {self.tolerance:g}"
