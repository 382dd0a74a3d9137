"""Find, check and store images one after the other, each distinct one once."""

import io
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import orjson

from sft_core.data.images.check import check_image
from sft_core.data.images.files import ImageFile
from sft_core.data.images.refusal import ImageRefusedError
from sft_core.errors import DataError
from sft_core.store.fingerprint import digest_bytes, digest_file
from sft_core.store.image_store import ImageRef, ImageStore

NAME_CHARS = 100
"""Number of characters of an image's name that are shown, counted from its end."""


class ImageTaker:
    """Stores the images of one shard's rows."""

    def __init__(self, max_pixels: int, files: Sequence[Mapping[str, ImageFile]], store: ImageStore) -> None:
        self._max_pixels, self._files, self._store = max_pixels, files, store
        self._known: dict[str, ImageRef | ImageRefusedError] = {}
        """Digest → reference of the stored image, or the reason why it is refused."""

    def take(self, part: int, images: str) -> list[ImageRef]:
        """Store a row's images and return references to them.

        Args:
            part: Part of the shard that the row is in; it decides which files the names refer to.
            images: The row's images as a JSON list, as `detect_formats` writes it.

        Raises:
            ImageRefusedError: for the first image that cannot be used.
            DataError: if an image file changed, or became unreadable, after it was digested.
        """
        given: list[Any] = orjson.loads(images)
        taken = []
        for number, image in enumerate(given, 1):
            try:
                taken.append(self._of_file(part, image) if isinstance(image, str) else self._of_bytes(image["bytes"]))
            except ImageRefusedError as error:
                name = image if isinstance(image, str) else image.get("path", "given by its bytes")
                error.image = f"image {number} of {len(given)}, {_shortened(name)}"
                raise
        return taken

    def _of_file(self, part: int, name: str) -> ImageRef:
        file = self._files[part][name]
        if file.digest is None:
            raise ImageRefusedError(file.refusal)
        try:
            if file.digest not in self._known:
                with file.path.open("rb") as source:
                    self._look_at(file.digest, source, file.path)
            return self._known_one(file.digest)
        except OSError as error:
            raise DataError(f"{file.path}: {error.strerror}; the image was there when the run began") from error
        except ImageRefusedError:
            _check_unchanged(file.path, digest_file(file.path), file.digest)
            raise

    def _of_bytes(self, text: str) -> ImageRef:
        try:
            content = b64decode("".join(text.split()), validate=True)
        except ValueError as error:
            raise ImageRefusedError("an image's bytes are not base64") from error
        digest = digest_bytes([content])
        if digest not in self._known:
            self._look_at(digest, io.BytesIO(content))
        return self._known_one(digest)

    def _look_at(self, digest: str, source: IO[bytes], path: Path | None = None) -> None:
        try:
            width, height = check_image(source, self._max_pixels)
        except ImageRefusedError as error:
            self._known[digest] = error
            return
        source.seek(0)
        kept = self._store.put(source.read())
        if path is not None:
            _check_unchanged(path, kept, digest)
        self._known[digest] = ImageRef(digest, width, height)

    def _known_one(self, digest: str) -> ImageRef:
        known = self._known[digest]
        if isinstance(known, ImageRefusedError):
            again = ImageRefusedError(str(known))
            again.detail = known.detail
            raise again
        return known


def _check_unchanged(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise DataError(f"{path}: the image changed while it was being read; run again when no process writes to it")


def _shortened(name: str) -> str:
    return name if len(name) <= NAME_CHARS else f"…{name[-NAME_CHARS:]}"
