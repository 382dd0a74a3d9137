"""Tasks of EleutherAI's lm-evaluation-harness, measured on the model beside everything else.

    lm_eval: {tasks: [arc_easy, my_task], include_path: benchmarks, num_fewshot: 5}

    names ──index of lm-eval──▶ leaf tasks ──digest of YAML and code, commit of the data──▶ key
                                    └──HFLM over the model in memory──▶ lm_eval/arc_easy/acc, what each document adds

What always holds: what is measured is what stands in the key, for the data is loaded at the commit that was resolved
and definitions are compared again; the numbers are those that lm-eval itself gives for the same model and template.

Importing the package imports neither torch nor lm-eval, which is an extra.
"""

from sft_core.evaluation.harness.config import LmEvalConfig
from sft_core.evaluation.harness.locate import LocatedTasks, locate_tasks

__all__ = ["LmEvalConfig", "LocatedTasks", "locate_tasks"]
