"""Resources from YAML files: what is refused, with the file and the entry, and what is read."""

import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bionemo.core.resources import Resource, get_all_resources, load
from bionemo.core.resources.format_2x import Resource2x, from_2x, to_2x

DIGEST = "ab" * 32
GOOD = f"- tag: one\n  urls: [https://example.org/one.txt]\n  sha256: {DIGEST}\n"
OLD = f"- tag: one\n  pbss: s3://bucket/one.tar.gz\n  sha256: {DIGEST}\n  owner: A B <a@b.org>\n"


def write(folder: Path, text: str, name: str = "few.yaml") -> Path:
    (folder / name).write_text(text)
    return folder


def test_entries_are_read_with_their_files_name(tmp_path: Path) -> None:
    more = "  size: 3\n  processing: unpack\n  owner: me\n  license: CC0\n  description: >\n    of two\n    lines\n"
    write(tmp_path, GOOD + more)
    write(tmp_path, OLD, "old.yml")
    write(tmp_path, "no YAML at all: [", "notes.txt")
    assert get_all_resources(tmp_path) == {
        "few/one": Resource(
            tag="few/one",
            urls=["https://example.org/one.txt"],
            sha256=DIGEST,
            size=3,
            processing="unpack",
            owner="me",
            license="CC0",
            description="of two lines\n",
        ),
        "old/one": Resource(
            tag="old/one",
            urls=["pbss://bucket/one.tar.gz"],
            sha256=DIGEST,
            processing="unpack",
            owner="A B <a@b.org>",
        ),
    }
    assert list(get_all_resources(str(tmp_path / "old.yml"))) == ["old/one"]


def test_a_changed_folder_is_read_again(tmp_path: Path) -> None:
    write(tmp_path, GOOD)
    assert list(get_all_resources(tmp_path)) == ["few/one"]
    write(tmp_path, GOOD.replace("one", "two"))
    assert list(get_all_resources(tmp_path)) == ["few/two"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "few.yaml must be a list of entries"),
        ("tag: one", "few.yaml must be a list of entries"),
        ("- tag: [", "few.yaml must be YAML: .*line 1"),
        ("- one", "few.yaml, entry 1 must be fields and values"),
        (GOOD + "  tag: two\n", "few.yaml must be YAML: .*duplicate key"),
        (GOOD + GOOD, "few.yaml, entry 2: the tag 'few/one' is also that of .*few.yaml, entry 1"),
        (GOOD + "  sha1: x\n", r"few.yaml, entry 1 \(tag 'one'\) must have the fields tag, .*; unknown: sha1"),
        (GOOD.replace("sha256", "Sha256"), "entry 1 .*; unknown: Sha256; missing: sha256"),
        (GOOD.replace(DIGEST, "null"), "entry 1 .*; missing: sha256"),
        (GOOD.replace(DIGEST, "''"), "entry 1 .*sha256 must be 64 hexadecimal digits"),
        (GOOD.replace(DIGEST, "'" + "z" * 64 + "'"), "entry 1 .*sha256 must be 64 hexadecimal digits"),
        (GOOD.replace(DIGEST, "md5:abc"), "entry 1 .*sha256 must be 64 hexadecimal digits"),
        (GOOD.replace("tag: one", "name: one"), "entry 1 .*unknown: name; missing: tag"),
        (GOOD.replace("tag: one", "tag: a/one"), "entry 1 .*tag must be a text without a slash"),
        (GOOD.replace("tag: one", "tag: 3"), "entry 1 .*tag must be a text"),
        (GOOD.replace("tag: one", "tag: a b"), "entry 1 .*tag must be file/name without spaces"),
        (GOOD.replace("[https://example.org/one.txt]", "[]"), "entry 1 .*urls must be a list of at least one"),
        (GOOD.replace("[https://example.org/one.txt]", "https://a/b"), "entry 1 .*urls must be a list"),
        (GOOD.replace("https", "gopher"), "entry 1 .*urls must hold valid URLs, got .*its scheme must be one of"),
        (GOOD + "  size: '3'\n", "entry 1 .*size must be a number of bytes"),
        (GOOD + "  size: -3\n", "entry 1 .*size must be a number of bytes"),
        (GOOD + "  processing: untar\n", "entry 1 .*processing must be one of none, decompress, unpack"),
        (GOOD + "  owner: 3\n", "entry 1 .*owner must be a text"),
        (OLD.replace("s3", "https"), "entry 1 .*pbss must be an s3:// URL"),
        (OLD + "  ngc: a/b:1\n", "entry 1 .*ngc_registry must be 'model' or 'resource'"),
        (OLD + "  ngc: a/b/c/d\n  ngc_registry: model\n", r"entry 1 .*ngc must be \[ORG"),
        (OLD + "  unpack: 'no'\n", "entry 1 .*unpack must be False or None"),
        (OLD + "  urls: []\n", "entry 1 .*unknown: urls"),
        (OLD.replace(DIGEST, "null"), "entry 1 .*missing: sha256"),
    ],
)
def test_what_is_wrong_is_refused_with_file_and_entry(text: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=error) as caught:
        get_all_resources(write(tmp_path, text))
    assert str(tmp_path / "few.yaml") in str(caught.value)


def test_equal_tags_of_two_files_are_refused(tmp_path: Path) -> None:
    write(write(tmp_path, GOOD), GOOD, "few.yml")
    with pytest.raises(ValueError, match=r"few.yml, entry 1: the tag 'few/one' is also that of .*few.yaml, entry 1"):
        get_all_resources(tmp_path)


def test_a_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        get_all_resources(tmp_path / "missing")


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", "printable"),
        ("https://example.org/a b", "printable"),
        ("https://example.org/\n", "printable"),
        ("https://example.org/ä", "printable"),
        ("example.org/a", "scheme"),
        ("ftp://example.org/a", "scheme"),
        ("https:/example.org/a", "scheme"),
        ("https://example.org", "name of a file"),
        ("https://example.org/folder/", "name of a file"),
        ("https:///a", "host"),
        ("https://[::1/a", "Invalid IPv6"),
        ("https://example.org:99999/a", "Port"),
        ("https://me:secret@example.org/a", "user name or password"),
        ("https://example.org/a#part", "fragment"),
        ("s3://bucket/key?version=1", "query"),
        ("s3://bucket", "name of a file"),
        ("file://host/a", "no host"),
        ("file:///folder/", "name of a file"),
        ("package://bionemo.core", "name of a file"),
        ("hf://org/repository", "name of a file"),
        ("ngc://model/name", "name of a file"),
        ("ngc://data/org/name:1/file", "ngc://model"),
    ],
)
def test_a_bad_url_is_refused(url: str, fault: str) -> None:
    with pytest.raises(ValueError, match=f"urls must hold valid URLs, got .*: .*{fault}"):
        Resource(tag="a/b", urls=[url], sha256=DIGEST)


@pytest.mark.usefixtures("no_type_checks")
def test_a_record_of_wrong_types_is_refused() -> None:
    good = {"tag": "a/b", "urls": ["s3://bucket/key"], "sha256": DIGEST}
    for name, value in {"tag": 3, "owner": None, "description": b"x", "license": 3}.items():
        with pytest.raises(TypeError, match=f"{name} must be a text, got {name}="):
            Resource(**{**good, name: value})
    for name, value in {"urls": "s3://bucket/key", "sha256": None, "size": True, "processing": None}.items():
        with pytest.raises(ValueError, match=f"{name} must be"):
            Resource(**{**good, name: value})
    for name, value in {"pbss": None, "sha256": None, "tag": None}.items():
        with pytest.raises((TypeError, ValueError), match=f"{name} must be"):
            Resource2x(**{"tag": "a/b", "pbss": "s3://b/k", "sha256": DIGEST, "owner": "", name: value})


def test_a_record_is_frozen_and_hashable() -> None:
    resource = Resource(tag="a/b", urls=["s3://bucket/key"], sha256="AB" * 32)
    assert resource.sha256 == DIGEST
    assert hash(resource) == hash(attrs.evolve(resource))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        resource.tag = "c/d"


def test_all_that_is_installed_is_read() -> None:
    found = get_all_resources()
    assert len(found) == 32
    assert found["proteins/swissprot_2k"].size == 424115
    found.clear()
    assert len(get_all_resources()) == 32


def test_packages_add_resources_by_an_entry_point(tmp_path: Path) -> None:
    package = tmp_path / "other_package" / "resources"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    write(package, GOOD.replace("https://example.org", "package://other_package.resources"), "other.yaml")
    (package / "one.txt").write_text("text")
    info = tmp_path / "other_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 1.0\n")
    points = info / "entry_points.txt"
    points.write_text("[bionemo.resources]\nother = other_package.resources\n")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nfrom bionemo.core.resources import get_all_resources\n"
    )
    script += "print(get_all_resources()['other/one'].urls)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == "('package://other_package.resources/one.txt',)\n"
    points.write_text("[bionemo.resources]\nother = other_package.missing\n")
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "the entry point other = other_package.missing of bionemo.resources must name a package" in run.stderr


NAMES = st.sampled_from(["a.tar.gz", "a.b.tar.gz", "a.zip", "a.gz", "a.txt.gz", "a.xz", "a.bz2", "a.nemo", "a"])


@given(name=NAMES, ngc=st.booleans(), unpack=st.sampled_from([None, False]), decompress=st.sampled_from([None, False]))
def test_a_resource_of_2x_loads_the_same_file_in_the_same_way(name, ngc, unpack, decompress) -> None:
    registry = {"ngc": "org/team/b:1", "ngc_registry": "resource"} if ngc else {}
    fields = {"tag": "a/b", "pbss": f"s3://bucket/folder/{name}", "sha256": DIGEST, "owner": "A B <a@b.org>"}
    entry = Resource2x(**fields, **registry, unpack=unpack, decompress=decompress)
    resource = from_2x(entry)
    assert to_2x(resource) is not None
    assert from_2x(to_2x(resource)) == resource
    assert resource.urls[-1] == f"pbss://bucket/folder/{name}"
    assert len(resource.urls) == 1 + ngc
    # Seen with bionemo-core 2.4.5: what it does with files of these names.
    expected = {"a.tar.gz": "unpack", "a.zip": "unpack"} if unpack is None else {}
    expected |= dict.fromkeys(["a.gz", "a.xz", "a.bz2"], "decompress") if decompress is None else {}
    assert resource.processing == expected.get(name, "none")


def test_an_unknown_tag_is_refused_with_those_that_are_alike() -> None:
    with pytest.raises(ValueError, match="Resource 'esm2/8m:2' not found. Did you mean 'esm2/8m:2.0'"):
        load("esm2/8m:2")
    with pytest.raises(ValueError, match="Resource 'x' not found. There are 0 others"):
        load("x", resources={})


@pytest.mark.usefixtures("no_type_checks")
def test_arguments_of_wrong_types_are_refused() -> None:
    for tag, resources, error in [
        (3, {}, "tag must be a text, got tag=3"),
        ("a/b", ["a/b"], "resources must be a mapping of tags to resources, got resources="),
        ("a/b", {"a/b": "s3://bucket/key"}, "resources must hold records of the class Resource, got 'a/b': 's3:"),
    ]:
        with pytest.raises(TypeError, match=error):
            load(tag, resources=resources)
