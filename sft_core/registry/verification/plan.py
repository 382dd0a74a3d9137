"""What crosses the process boundary: `plan.json` in, `verification.json` out."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

VERIFICATION_FILE = "verification.json"


class VerificationPlan(BaseModel):
    """A stored model and what it has to give; paths are absolute."""

    model_config = ConfigDict(frozen=True)

    model_folder: Path
    """Weights, configuration and tokenizer, as they were stored."""
    probe: Path
    """What the trained model gave."""
    output_folder: Path


class Verification(BaseModel):
    """How far the stored model is from the trained one."""

    model_config = ConfigDict(frozen=True)

    difference: float
    """Of the logits, as a share of their spread; infinite ones are written as 1e308."""
    tolerance: float
    """How much may differ in the precision of both."""
    precision: str
    num_texts: int
    code_folder: Path
    """Where the code came from that loaded the model."""

    @property
    def is_same(self) -> bool:
        """Whether it is the same model."""
        return self.difference <= self.tolerance

    def __str__(self) -> str:
        return f"logits differ by {self.difference:.2g} of their spread; {self.precision} allows {self.tolerance:g}"
