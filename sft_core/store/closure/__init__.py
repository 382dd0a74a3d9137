"""The code that a stage runs, which is found by following names, and the libraries that this code imports.

A cache key must change when the code that made an artifact changes, and must not change when other code does. A list of
modules kept by hand gets this wrong in both directions, so there is no list. `Codebase.closure` starts at one function
and follows the names that its source uses, through imports and re-exports, to the functions, classes and
constants of the project that it can reach:

    tasks.pack_shards:pack_shards ──▶ sft_core.data.packing.pack:pack ──▶ sft_core.data.packing.bfd:plan ──▶ …
                                                                └──▶ sft_core.data.shards.write:write_blocks ──▶ pyarrow

    >>> code = Codebase(root)
    >>> found = code.closure("tasks.pack_shards:pack_shards")
    >>> found.definitions["sft_core.data.packing.bfd:plan"], found.libraries
    ('3f9c…', ('numpy', 'pyarrow'))

These rules decide which code enters a key (which code counts):

- The unit is a top-level definition: a function, a class with all its methods, or a constant. A module's other
  top-level statements count as soon as one of its definitions does.
- Comments, layout, docstrings and the texts of exceptions, warnings and log messages do not count (`messages`).
- A module that only decides where, when or how fast work is done declares this with a top-level `PLACEMENT = "why"`,
  and a class by inheriting from `sft_core.store.fingerprint.Placement`. Neither counts, and neither is followed any
  further.
- A string constant that is the name of a project module, as in `launch("sft_core.training", …)`, is followed like an
  import of that module's `__main__`, or of the whole module if it has no `__main__`.
- A string constant that is the name of a file in the folder `templates` next to the module counts with the text of that
  template, and so do the templates that it names.

A method is found with its class, so calls through an instance need no analysis of types: code with an instance got it
from code that names the class, or names the class in an annotation. `tests/sft_core/closure/` compares the closures
with the code that whole runs execute.
"""

from sft_core.store.closure.libraries import library_versions
from sft_core.store.closure.listing import changed_definitions, keep_listing
from sft_core.store.closure.walk import Closure, Codebase, own_code

PLACEMENT = "It determines keys, and computes nothing that is stored."

__all__ = ["Closure", "Codebase", "changed_definitions", "keep_listing", "library_versions", "own_code"]
