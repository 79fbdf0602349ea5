"""The record of a file that can be downloaded, and the rules for its URLs."""

import re
import reprlib
from collections.abc import Iterator
from numbers import Integral
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import attrs

__all__ = ["Resource", "check_type", "file_name", "short", "source_of"]

SOURCES: Final = ("file", "hf", "http", "https", "ngc", "package", "pbss", "s3")
"""Schemes of URLs."""

PROCESSING: Final = ("none", "decompress", "unpack")
"""What is done with a downloaded file."""

_MIN_SEGMENTS: Final = {"hf": 2, "ngc": 2}
"""Segments that a path must have after the host: an organisation's repository and a file; a model and a file."""


def short(value: object, /) -> str:
    """Return the repr of a value for an error, cut short.

    Example:
        >>> short(10**5000)
        'a huge int'
    """
    try:
        return reprlib.repr(value)
    except ValueError:  # Python refuses to write integers of more than 4,300 digits
        return f"a huge {type(value).__name__}"


def check_type(value: object, kinds: type | tuple[type, ...], message: str, /) -> None:
    """Check the type of an argument; the check of other functions imports torch.

    Args:
        value: the argument.
        kinds: its types.
        message: the error's text, to which the value is added.

    Raises:
        TypeError: if it has none of the types.

    Example:
        >>> check_type(3, str, "tag must be a text, got tag=")
        Traceback (most recent call last):
        TypeError: tag must be a text, got tag=3.
    """
    if not isinstance(value, kinds):
        message = f"{message}{short(value)}."
        raise TypeError(message)


def source_of(url: str, /) -> str:
    """Return the scheme of a URL, by which `load(source=...)` chooses.

    Example:
        >>> source_of("s3://bucket/key")
        's3'
    """
    return url.partition("://")[0]


def file_name(url: str, /) -> str:
    """Return the name of a URL's file in the cache: letters, digits, and `._+=-`.

    Example:
        >>> file_name("https://example.org/a%20b.tar.gz?download=1"), file_name("hf://org/repo/model.bin@v1")
        ('a_b.tar.gz', 'model.bin')
    """
    path = urlsplit(url).path
    path = path.partition("@")[0] if source_of(url) == "hf" else path
    name = re.sub(r"[^\w.+=-]", "_", unquote(path).rpartition("/")[2], flags=re.ASCII)
    return re.sub(r"^\.", "_", name)[-128:]


def _faults_of(url: Any) -> Iterator[str]:
    """Yield why a URL can't be used, if it can't."""
    if not isinstance(url, str) or not re.fullmatch(r"[!-~]+", url):
        yield "it must be a text of printable ASCII characters; write others as %20 etc"
        return
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        yield str(error)
        return
    scheme, host = parts.scheme, parts.netloc
    if scheme not in SOURCES or "://" not in url:
        yield f"its scheme must be one of {', '.join(SOURCES)}"
    if "@" in host:
        yield "it must not hold a user name or password, which errors would show"
    if scheme == "file" and host not in {"", "localhost"}:
        yield "a file:// URL must have no host: file:///folder/file"
    if scheme != "file" and not parts.hostname:
        yield "it must name a host"
    if "#" in url or ("?" in url and not scheme.startswith("http")):
        yield "it must have no fragment, and a query only for http and https"
    if not file_name(url) or len([part for part in parts.path.split("/") if part]) < _MIN_SEGMENTS.get(scheme, 1):
        yield "it must end with the name of a file"
    if scheme == "ngc" and host not in {"model", "resource"}:
        yield "it must be ngc://model/ORG/TEAM/NAME:VERSION/FILE or ngc://resource/..."


def _to_tuple(urls: Any) -> Any:
    return tuple(urls) if isinstance(urls, list) else urls


def _to_lower(text: Any) -> Any:
    return text.lower() if isinstance(text, str) else text


def _to_int(number: Any) -> Any:
    is_integer = isinstance(number, Integral) and not isinstance(number, bool)  # also one of NumPy
    return int(number) if is_integer else number


def _check_text(_: object, field: "attrs.Attribute[str]", value: Any) -> None:
    if not isinstance(value, str):
        message = f"{field.name} must be a text, got {field.name}={short(value)}."
        raise TypeError(message)


def _check_choice(_: object, field: "attrs.Attribute[str]", value: Any) -> None:
    if not isinstance(value, str) or value not in PROCESSING:
        message = f"{field.name} must be one of {', '.join(PROCESSING)}, got {field.name}={short(value)}."
        raise ValueError(message)


@attrs.frozen(kw_only=True)
class Resource:
    """A file that can be downloaded, and what its bytes must be.

    Args:
        tag: `file/name`: what `load` is called with.
        urls: where the file is, in the order in which they are tried; all hold the same bytes. Schemes: `http`,
            `https`, `file`, `s3://BUCKET/KEY`, `hf://ORG/REPOSITORY/PATH@REVISION`,
            `ngc://model/ORG/TEAM/NAME:VERSION/FILE`, `package://PACKAGE/PATH` for a file of an installed package, and
            `pbss://BUCKET/KEY` for the S3 storage of bionemo-core 2.x.
        sha256: digest of the file, 64 hexadecimal digits.
        size: number of bytes of the file; None if unknown.
        processing: "none", "decompress" (gzip, bzip2 or xz), or "unpack" (tar, plain or compressed, or zip).
        owner: who answers questions about it.
        license: name of its licence.
        description: what it is.

    Raises:
        TypeError, ValueError: if a field is not as described.

    Example:
        >>> Resource(tag="proteins/few", urls=["https://example.org/few.fa.gz"], sha256="0" * 64).urls
        ('https://example.org/few.fa.gz',)
    """

    tag: str = attrs.field(validator=_check_text)
    urls: tuple[str, ...] = attrs.field(converter=_to_tuple)
    sha256: str = attrs.field(converter=_to_lower)
    size: int | None = attrs.field(default=None, converter=_to_int)
    processing: str = attrs.field(default="none", validator=_check_choice)
    owner: str = attrs.field(default="", validator=_check_text)
    license: str = attrs.field(default="", validator=_check_text)
    description: str = attrs.field(default="", validator=_check_text)

    @tag.validator
    def _check_tag(self, _: "attrs.Attribute[str]", tag: str) -> None:
        if not re.fullmatch(r"[^/\s]+/[^/\s]+", tag) or not tag.isprintable():
            message = f"tag must be file/name without spaces, got tag={short(tag)}."
            raise ValueError(message)

    @urls.validator
    def _check_urls(self, _: "attrs.Attribute[tuple[str, ...]]", urls: Any) -> None:
        if not isinstance(urls, tuple) or not urls:
            message = f"urls must be a list of at least one URL, got urls={short(urls)}."
            raise ValueError(message)
        for url in urls:
            for fault in _faults_of(url):
                message = f"urls must hold valid URLs, got {short(url)}: {fault}."
                raise ValueError(message)

    @sha256.validator
    def _check_digest(self, _: "attrs.Attribute[str]", digest: Any) -> None:
        if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
            message = f"sha256 must be 64 hexadecimal digits, got sha256={short(digest)}. `sha256sum FILE` prints them."
            raise ValueError(message)

    @size.validator
    def _check_size(self, _: "attrs.Attribute[int | None]", size: Any) -> None:
        if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
            message = f"size must be a number of bytes or None, got size={short(size)}."
            raise ValueError(message)
