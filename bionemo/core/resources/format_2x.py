"""Resources in the terms of bionemo-core 2.x: one address in NGC's registry, one in PBSS, an S3 storage."""

import re
from pathlib import PurePosixPath
from typing import Any, Final

import attrs

from bionemo.core.resources.resource import Resource, file_name, short, source_of

__all__ = ["Resource2x", "from_2x", "to_2x"]

_PROCESSING: Final = {
    ".tar": "unpack",
    ".tar.gz": "unpack",
    ".zip": "unpack",
    ".gz": "decompress",
    ".bz2": "decompress",
    ".xz": "decompress",
}
"""What 2.x does with a file, by all that follows the first dot of its name: `a.fasta.gz` stays as it is."""


@attrs.frozen(kw_only=True)
class Resource2x:
    """A resource as bionemo-core 2.x describes it; `bionemo.core.data.resource` exports it as `Resource`.

    Args:
        tag: `file/name`.
        ngc: `[ORG/[TEAM/]]NAME[:VERSION]` in NGC's registry; None if it isn't there.
        ngc_registry: "model" or "resource"; needed with `ngc`.
        pbss: `s3://BUCKET/KEY`.
        sha256: digest of the file. Unlike in 2.x, it can't be None: a file without a digest can't be verified.
        owner: `Name <email>`.
        description: what it is.
        unpack: False leaves an archive as it is; None decides by the file's extension.
        decompress: likewise for a compressed file.

    Raises:
        TypeError, ValueError: if a field is not as described.

    Example:
        >>> entry = {"tag": "a/b", "pbss": "s3://bucket/b.tar.gz", "sha256": "0" * 64, "owner": "A B <a@b.org>"}
        >>> from_2x(Resource2x(**entry)).processing
        'unpack'
    """

    tag: str
    ngc: str | None = None
    ngc_registry: str | None = None
    pbss: str
    sha256: str
    owner: str
    description: str | None = None
    unpack: bool | None = None
    decompress: bool | None = None

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.pbss, str) or not self.pbss.startswith("s3://"):
            message = f"pbss must be an s3:// URL, got pbss={short(self.pbss)}."
            raise ValueError(message)
        if self.ngc is not None and self.ngc_registry not in {"model", "resource"}:
            message = f"ngc_registry must be 'model' or 'resource', got ngc_registry={short(self.ngc_registry)}."
            raise ValueError(message)
        if self.ngc is not None and not re.fullmatch(r"([\w.-]+/){0,2}[\w.-]+(:[\w.-]+)?", str(self.ngc)):
            message = f"ngc must be [ORG/[TEAM/]]NAME[:VERSION], got ngc={short(self.ngc)}."
            raise ValueError(message)
        for name in ("unpack", "decompress"):
            if getattr(self, name) not in {None, False, True}:
                message = f"{name} must be False or None, got {name}={short(getattr(self, name))}."
                raise TypeError(message)
        from_2x(self)  # checks the rest


def _processing_by_name(name: str) -> str:
    return _PROCESSING.get("".join(PurePosixPath(name).suffixes), "none")


def from_2x(entry: Resource2x, /) -> Resource:
    """Return a resource of 2.x as a `Resource`: NGC comes first, as in 2.x.

    Law: `to_2x(from_2x(entry))` loads the same file in the same way.

    Example:
        >>> where = {"ngc": "org/b:1", "ngc_registry": "model", "pbss": "s3://c/b.txt"}
        >>> from_2x(Resource2x(tag="a/b", sha256="0" * 64, owner="A B <a@b.org>", **where)).urls
        ('ngc://model/org/b:1/b.txt', 'pbss://c/b.txt')
    """
    name = entry.pbss.rpartition("/")[2]
    processing = _processing_by_name(name)
    if entry.unpack:
        processing = "unpack"
    elif entry.decompress:
        processing = "decompress"
    elif (processing, False) in {("unpack", entry.unpack), ("decompress", entry.decompress)}:
        processing = "none"
    urls = (f"ngc://{entry.ngc_registry}/{entry.ngc}/{name}",) if entry.ngc else ()
    return Resource(
        tag=entry.tag,
        urls=(*urls, entry.pbss.replace("s3://", "pbss://", 1)),
        sha256=entry.sha256,
        processing=processing,
        owner=entry.owner,
        description=entry.description or "",
    )


def to_2x(resource: Resource, /) -> Resource2x | None:
    """Return a resource in the terms of 2.x, or None if it has no address in PBSS.

    Example:
        >>> to_2x(Resource(tag="a/b", urls=["pbss://c/b.txt"], sha256="0" * 64)).pbss
        's3://c/b.txt'
    """
    found: dict[str, Any] = {}
    for url in resource.urls:
        if source_of(url) == "pbss":
            found["pbss"] = url.replace("pbss://", "s3://", 1)
        elif source_of(url) == "ngc":
            registry, _, rest = url.removeprefix("ngc://").partition("/")
            found |= {"ngc_registry": registry, "ngc": rest.rpartition("/")[0]}
    if "pbss" not in found:
        return None
    chosen: dict[str, Any] = {}
    if (by_name := _processing_by_name(file_name(resource.urls[0]))) != resource.processing:
        chosen |= {by_name: False} if by_name != "none" else {}
        chosen |= {resource.processing: True} if resource.processing != "none" else {}
    return Resource2x(
        tag=resource.tag,
        sha256=resource.sha256,
        owner=resource.owner,
        description=resource.description or None,
        **found,
        **chosen,
    )
