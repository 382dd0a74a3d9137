"""Where an image's file may lie."""

from pathlib import Path

import pytest

from sft_core.data.images.files import ImageFile, ImageFolder, _look_at
from sft_core.data.images.refusal import ImageRefusedError
from sft_core.store.file_digests import FileDigests

OUTSIDE = "an image's file lies outside of the folder of the data file: set `sources[].image_folder`"
MISSING = "an image's file is missing"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`data` with images in and beside it."""
    data = tmp_path / "data"
    (data / "photos").mkdir(parents=True)
    (tmp_path / "data-of-others").mkdir()
    for file in (data / "1.jpg", data / "photos" / "2.jpg", tmp_path / "secret", tmp_path / "data-of-others" / "3.jpg"):
        file.write_bytes(file.name.encode())
    (data / "inward").symlink_to(data / "photos")
    (data / "outward").symlink_to(tmp_path)
    (data / "outward.jpg").symlink_to(tmp_path / "secret")
    (data / "circle").symlink_to(data / "circle")
    (data / "dangling").symlink_to(data / "nowhere")
    return data


@pytest.mark.parametrize(
    "name", ["1.jpg", "./1.jpg", "photos/2.jpg", "photos/../1.jpg", "inward/2.jpg", "../data/1.jpg"]
)
def test_files_inside_of_the_folder_are_found(folder: Path, name: str) -> None:
    found = ImageFolder.at(folder).find(name)
    assert found.read_bytes() == Path(name).name.encode()
    assert ImageFolder.at(folder).find(str(folder / name)) == found, "by an absolute path too"


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "photos/../../secret",
        "outward/secret",
        "outward.jpg",
        "../data-of-others/3.jpg",
        "..",
        "/etc/hostname",
    ],
)
def test_no_way_leads_out_of_the_folder(folder: Path, name: str) -> None:
    with pytest.raises(ImageRefusedError) as refused:
        ImageFolder.at(folder).find(name)
    assert str(refused.value) == OUTSIDE


def test_another_folder_is_named_by_the_recipe(folder: Path) -> None:
    above = ImageFolder.at(folder.parent)
    assert above.find("secret").read_bytes() == b"secret"
    assert above.find("data/outward/secret").read_bytes() == b"secret"
    with pytest.raises(ImageRefusedError):
        above.find("1.jpg")


def test_a_folder_may_be_reached_by_a_symbolic_link(folder: Path) -> None:
    (folder.parent / "link").symlink_to(folder)
    assert ImageFolder.at(folder.parent / "link").find("1.jpg").read_bytes() == b"1.jpg"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("3.jpg", MISSING),
        ("1.jpg/2.jpg", MISSING),
        ("dangling", MISSING),
        ("photos", "an image's path is no file's"),
        ("circle", "an image's path can be no file's, or may not be read"),
        ("a" * 5000, "an image's path can be no file's, or may not be read"),
        ("a\0b", "an image's path can be no file's, or may not be read"),
    ],
)
def test_what_is_no_file_is_told(folder: Path, name: str, reason: str) -> None:
    with pytest.raises(ImageRefusedError) as refused:
        ImageFolder.at(folder).find(name)
    assert str(refused.value) == reason


def test_data_of_the_hub_has_no_folder() -> None:
    with pytest.raises(ImageRefusedError, match=r"Hub only data files are downloaded"):
        ImageFolder(None).find("1.jpg")


def test_a_file_is_known_by_its_bytes_and_a_refusal_by_its_reason(folder: Path, file_digests: FileDigests) -> None:
    def look_at(name: str) -> ImageFile:
        with file_digests.together() as known:
            return _look_at(ImageFolder.at(folder), name, known)

    before = look_at("1.jpg").fingerprint()
    (folder / "4.jpg").write_bytes(b"1.jpg")
    assert look_at("4.jpg").fingerprint() == before
    assert look_at("3.jpg").fingerprint() == MISSING
    (folder / "1.jpg").write_bytes(b"1.jpG")
    assert look_at("1.jpg").fingerprint() not in (before, MISSING)
