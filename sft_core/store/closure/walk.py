"""Follow names from one function to all definitions that it can reach."""

import functools
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from sft_core.store.closure.definitions import EFFECTS, Definition, Module, Target, read_module
from sft_core.store.durable import write_whole
from sft_core.store.fingerprint import digest, digest_bytes

PLACEMENT = "It determines keys, and computes nothing that is stored."

PACKAGES = ("sft_core", "tasks")
"""Packages whose code counts. The packages above them only call it."""
PLACEMENT_CLASS = "sft_core.store.fingerprint:Placement"
TEMPLATES = "templates"
"""Name of the folder, next to a module, with the templates that its code names."""
_NAMED_FILE = re.compile(r'"(\w+(?:\.\w+)+)"')
"""A file name in a template, as in `{% include "style.css" %}`."""
_OWN_CODE = ("definitions.py", "messages.py")
"""Files whose code decides how a module is parsed; if they change, cached modules are parsed again."""


@dataclass(frozen=True)
class Closure:
    """The code that one function can reach."""

    definitions: Mapping[str, str]
    """`package.module:name` → digest of its code; `package:templates/name` → digest of a template."""
    marked: tuple[str, ...]
    """Modules and classes that were reached but do not count, because they are marked as placement."""
    libraries: tuple[str, ...]
    """Top-level modules of other projects that this code imports, without Python's standard library."""

    @cached_property
    def digest(self) -> str:
        """Digest of all definitions."""
        return digest(dict(self.definitions))


class Codebase:
    """The project's packages below one folder. Each file is read once, when it is first needed."""

    def __init__(
        self,
        root: Path,
        packages: Sequence[str] = PACKAGES,
        edits: Mapping[str, str] | None = None,
    ) -> None:
        """Set the folder and the packages; no file is read yet.

        Args:
            root: The folder that the packages are in.
            packages: Names of the packages whose code counts.
            edits: Path below the root → text to use instead of the file's.
        """
        self._root, self._packages, self._edits = root, frozenset(packages), edits or {}
        self._modules: dict[str, Module | None] = {}
        self._closures: dict[str, Closure] = {}
        self._remembered: _Remembered | None = None

    def edited(self, path: str, text: str) -> "Codebase":
        """Return a copy of this codebase with another text in one file.

        Args:
            path: Path of the file, below the root.
            text: The text to use instead of the file's.
        """
        other = Codebase(self._root, sorted(self._packages), {**self._edits, path: text})
        own = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        other._modules = {name: module for name, module in self._modules.items() if name != own}
        return other

    def remember_in(self, folder: Path) -> None:
        """Cache parsed modules in a folder, by the digest of their text.

        Parsing all modules takes a second of processor time, and reading them from the cache a twentieth of that.
        """
        self._remembered = self._remembered or _Remembered(folder)

    def closure(self, start: str) -> Closure:
        """Find the definitions and libraries that a function can reach.

        Args:
            start: `package.module:function`.

        Raises:
            LookupError: if there is no such definition.
        """
        if start not in self._closures:
            self._closures[start] = self._find(start)
            if self._remembered is not None:
                self._remembered.write()
        return self._closures[start]

    def module(self, name: str) -> Module | None:
        """Return a parsed module of the project; None if there is no module of that name."""
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def template(self, package: str, name: str) -> str | None:
        """Return the text of a file in the folder `templates` of a package; None if there is no such file."""
        return self._text(f"{package.replace('.', '/')}/{TEMPLATES}/{name}")

    def is_placement(self, module: str, name: str) -> bool:
        """Return True for a class that inherits from `Placement`, directly or indirectly."""
        found = self.module(module)
        return bool(found and name in found.definitions and _Walk(self).is_placement(module, found.definitions[name]))

    def _find(self, start: str) -> Closure:
        module, _, name = start.partition(":")
        found = self.module(module)
        if found is None or name not in found.definitions:
            raise LookupError(f"{self._root}: expected a definition '{start}', found none")
        walk = _Walk(self)
        walk.reach(module, name)
        definitions = {node: walk.definitions[node].digest for node in sorted(walk.definitions)}
        return Closure(definitions, tuple(sorted(walk.marked)), tuple(sorted(walk.libraries)))

    def _read(self, name: str) -> Module | None:
        if name.partition(".")[0] not in self._packages:
            return None
        below = name.replace(".", "/")
        for path in (f"{below}.py", f"{below}/__init__.py"):
            text = self._text(path)
            if text is not None:
                is_package = path.endswith("__init__.py")
                if self._remembered is None:
                    return read_module(text, name, is_package)
                return self._remembered.module(text, name, is_package)
        return None

    def _text(self, path: str) -> str | None:
        if path in self._edits:
            return self._edits[path]
        try:
            return (self._root / path).read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None


@functools.cache
def own_code() -> Codebase:
    """Return the codebase of this checkout; one object per process."""
    return Codebase(Path(__file__).parents[3])


class _Walk:
    """State of one search: the definitions, marked names and libraries that it has found."""

    def __init__(self, code: Codebase) -> None:
        self.definitions: dict[str, Definition] = {}
        self.marked: set[str] = set()
        self.libraries: set[str] = set()
        self._code = code

    def reach(self, module: str, name: str) -> None:
        """Add a definition, and all definitions that can be reached from it."""
        waiting = [(module, name)]
        while waiting:
            where, what = waiting.pop()
            waiting += self._add(where, what)

    def _add(self, where: str, what: str) -> list[Target]:
        """Add one definition; return the definitions that it names."""
        node, module = f"{where}:{what}", self._code.module(where)
        if node in self.definitions or module is None or what not in module.definitions:
            return []
        if module.placement is not None:
            self.marked.add(where)
            return []
        definition = module.definitions[what]
        if node != PLACEMENT_CLASS and self.is_placement(where, definition):
            self.marked.add(node)
            return []
        self.definitions[node] = definition
        targets = [target for use in definition.uses for target in self._resolve(where, definition, use)]
        targets += [target for text in definition.texts for target in self._program(text)]
        for text in definition.texts:
            self._add_template(where.rpartition(".")[0], text)
        return [(where, EFFECTS), *targets]

    def is_placement(self, where: str, definition: Definition) -> bool:
        """Return True for a class that inherits from `Placement`, directly or indirectly."""
        for base in definition.bases:
            for module, name in self._resolve(where, definition, base):
                if f"{module}:{name}" == PLACEMENT_CLASS:
                    return True
                found = self._code.module(module)
                if found and name in found.definitions and self.is_placement(module, found.definitions[name]):
                    return True
        return False

    def _resolve(self, where: str, definition: Definition, use: str) -> Iterator[Target]:
        """Yield the definitions that a dotted name in a definition's source refers to."""
        head, *rest = use.split(".")
        module = self._code.module(where)
        assert module is not None
        target = definition.imports.get(head) or module.imports.get(head)
        if target is not None:
            is_typing = head in module.typing_imports and head not in definition.imports
            yield from self._imported(target, rest, is_typing)
        elif head in module.definitions:
            yield where, head

    def _imported(self, target: Target, rest: list[str], is_typing: bool = False) -> Iterator[Target]:
        name, attribute = target
        module = self._code.module(name)
        if module is None:
            self._add_library(name, is_typing)
        elif not attribute:
            yield from self._inside(name, rest)
        elif attribute in module.definitions:
            yield name, attribute
        elif attribute in module.imports:
            yield from self._imported(module.imports[attribute], rest, attribute in module.typing_imports)
        else:
            yield from self._inside(f"{name}.{attribute}", rest)

    def _inside(self, name: str, rest: list[str]) -> Iterator[Target]:
        """Resolve the rest of a dotted name in a module; a module that is used as a value counts completely."""
        module = self._code.module(name)
        if module is None:
            return
        if not rest:
            yield from self._whole(name)
        elif self._code.module(f"{name}.{rest[0]}") is not None and rest[0] not in module.definitions:
            yield from self._inside(f"{name}.{rest[0]}", rest[1:])
        else:
            yield from self._imported((name, rest[0]), rest[1:])

    def _whole(self, name: str) -> Iterator[Target]:
        module = self._code.module(name)
        yield from ((name, defined) for defined in (module.definitions if module else ()))

    def _program(self, text: str) -> Iterator[Target]:
        """Yield the definitions that run if a string constant is the name of a module that is started or loaded."""
        program = f"{text}.__main__"
        yield from self._whole(program if self._code.module(program) is not None else text)

    def _add_template(self, package: str, name: str) -> None:
        """Add the template that a string constant names, if there is one, and the templates that it names itself."""
        node, text = f"{package}:{TEMPLATES}/{name}", self._code.template(package, name)
        if text is None or node in self.definitions:
            return
        self.definitions[node] = Definition(digest_bytes([text.encode("utf-8", "surrogatepass")]))
        for other in _NAMED_FILE.findall(text):
            self._add_template(package, other)

    def _add_library(self, module: str, is_typing: bool) -> None:
        top = module.partition(".")[0]
        if not is_typing and top not in sys.stdlib_module_names:
            self.libraries.add(top)


class _Remembered:
    """Cache of parsed modules, in one JSON file."""

    def __init__(self, folder: Path) -> None:
        own = [(Path(__file__).parent / name).read_bytes() for name in _OWN_CODE]
        self._file = folder / f"modules-{digest_bytes(own)}.json"
        self._known: dict[str, dict[str, Any]] | None = None
        self._has_new = False

    def module(self, text: str, name: str, is_package: bool) -> Module:
        """Return a parsed module from the cache, or parse it and add it."""
        if self._known is None:
            self._known = self._load()
        key = digest_bytes([name.encode(), b":" if is_package else b" ", text.encode("utf-8", "surrogatepass")])
        if key not in self._known:
            self._known[key] = asdict(read_module(text, name, is_package))
            self._has_new = True
        return Module.from_json(self._known[key])

    def write(self) -> None:
        """Write the file if there are new modules.

        If two processes write at once, one wins, and the modules of the other are parsed again later.
        """
        if not self._has_new:
            return
        write_whole(self._file, orjson.dumps(self._known))
        self._has_new = False

    def _load(self) -> dict[str, dict[str, Any]]:
        try:
            loaded: dict[str, dict[str, Any]] = orjson.loads(self._file.read_bytes())
            return loaded
        except (OSError, orjson.JSONDecodeError):
            return {}
