"""Evaluation of the model on tasks of EleutherAI's lm-evaluation-harness.

    lm_eval: {tasks: [arc_easy, my_task], include_path: benchmarks, num_fewshot: 5}

    names ──index of lm-eval──▶ leaf tasks ──digest of YAML and code, commit of the data──▶ key
                                    └──HFLM over the model in memory──▶ lm_eval/arc_easy/acc, and values of documents

The key always describes what is measured: the data is loaded at the commit that was resolved, and the definitions are
compared again before the measurement. The scores equal those of lm-eval itself for the same model and template.

Importing this package imports neither torch nor lm-eval, which is an optional extra.
"""

from sft_core.evaluation.harness.config import LmEvalConfig
from sft_core.evaluation.harness.locate import LocatedTasks, locate_tasks

__all__ = ["LmEvalConfig", "LocatedTasks", "locate_tasks"]
