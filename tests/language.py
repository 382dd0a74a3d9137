"""Rules for plain English, as regular expressions over docstrings, comments, messages and pages.

    python -m tests.language sft_core/data docs     lists what the rules find there

The rules cannot tell good English from bad. They only keep out a few habits that this project once had: words of a
private dialect where the field has a term, and docstrings that are half a sentence.
"""

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

GLOSSARY = {
    r"hangs? on|hung on": "depends on",
    r"told": "reported, recorded, shown",
    r"tells? of": "reports",
    r"(?<!could be )said": "reported, written, stated",
    r"says? so": "reports it",
    r"(?:lies?|lying|stands?|standing) (?:beside|below|there)": "is stored with, is below",
    r"beside (?=the|a|an|it|them|its|each|what)": "next to, with",
    r"stands? (?:in|on)(?! for)": "is in, is on",
    r"stood (?:in|on)": "was in, was on",
    r"(?-i:(?:is|are|was) none)": "does not exist, is not a …",
    r"of two that": "if two processes …",
    r"(?:goes|went|go) on(?= (?:in|from|as|with|where|by|at)\b|[.,;:]|$)": "continues, resumes",
    r"takes? up": "claims, resumes",
    r"left out": "skipped, omitted",
    r"mends?|mended|mending": "fixes",
    r"the home|a home|homes": "the state directory",
    r"looks? for changes": "change detection",
    r"come to (?:an|its) end": "end, finish",
    r"for good": "permanently",
    r"from nobody": "unknown",
}
"""What is not written → what is written instead."""
OPENINGS = ("Of", "What", "Whether", "Which", "Where", "Who", "That", "As", "Beside", "Asked", "Because", "So")
"""A docstring that begins with one of these is half a sentence."""
REASONS = ("RowRejectedError", "ImageRefusedError")
_WORDS = [(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), plain) for pattern, plain in GLOSSARY.items()]


def findings(path: Path) -> Iterator[str]:
    """List what the rules find in a file of Python or Markdown, as `path:line: message`."""
    texts = _texts_of_markdown(path) if path.suffix == ".md" else _texts_of_python(path)
    for line, text, is_docstring in texts:
        opening = text.split(maxsplit=1)[0] if text.strip() else ""
        if is_docstring and opening in OPENINGS:
            yield f"{path}:{line}: a docstring begins with '{opening}': write a whole sentence"
        for number, one in enumerate(text.splitlines()):
            for pattern, plain in _WORDS:
                for found in pattern.finditer(one):
                    yield f"{path}:{line + number}: '{found[0]}': {plain}"


def _texts_of_python(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Yield docstrings, also those of fields and constants; comments; and the texts of errors, warnings and logs. The
    reasons of rejected rows are left as they are: they are data, which users count and compare."""
    source = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and (text := _text_of(node.value)) is not None:
            yield node.lineno, _without_code(text), True
        elif isinstance(node, ast.Call) and ast.unparse(node.func) not in REASONS:
            for inner in ast.walk(node):
                if (text := _text_of(inner)) is not None and " " in text:
                    yield getattr(inner, "lineno", node.lineno), text, False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string, False


def _text_of(node: ast.AST) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _texts_of_markdown(path: Path) -> Iterator[tuple[int, str, bool]]:
    is_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        is_code = is_code != line.startswith("```")
        if not is_code:
            yield number, _without_code(line), False


def _without_code(text: str) -> str:
    """Blank out what is in backticks."""
    return re.sub(r"`[^`\n]*`", lambda found: "`" * len(found[0]), text)


def files_in(paths: list[Path]) -> list[Path]:
    """List all files of Python and Markdown below some paths."""
    found = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*.*"))]
    return sorted(file for file in found if file.suffix in (".py", ".md"))


if __name__ == "__main__":
    lines = sorted({line for file in files_in([Path(word) for word in sys.argv[1:]]) for line in findings(file)})
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.exit(bool(lines))
