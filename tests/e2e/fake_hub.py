"""As much of the Hugging Face Hub as is needed to resolve a revision, list files and download them, on the loopback."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """Answers for the repositories in `root`."""

    root: Path

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[0] == "api":
            self._answer_api(parts[1], "/".join(parts[2:4]), is_tree=parts[4:5] == ["tree"])
        elif parts[0] == "datasets":
            self._answer_file(self.root.joinpath(*parts[:3], *parts[5:]))
        else:
            self._answer_file(self.root.joinpath("models", *parts[:2], *parts[4:]))

    def _answer_file(self, file: Path) -> None:
        if file.is_file():
            content = file.read_bytes()
            self._send(200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": COMMIT})
        else:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})

    def _answer_api(self, kind: str, repo: str, is_tree: bool) -> None:
        folder = self.root / kind / repo
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        tree = [
            {"type": "file", "path": name, "size": path.stat().st_size, "oid": "0" * 40} for name, path in files.items()
        ]
        info = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
        if files:
            self._send(200, json.dumps(tree if is_tree else info).encode(), {})
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(content)), "Content-Type": "application/json", **headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def serve_hub(root: Path) -> Iterator[str]:
    """Serve `root/models/<org>/<name>/…` and `root/datasets/<org>/<name>/…`; yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("RootedHub", (Hub,), {"root": root}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
