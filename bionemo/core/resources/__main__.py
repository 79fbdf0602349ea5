"""The command line of the cache: `python -m bionemo.core.resources --help`."""

import argparse
import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from bionemo.core.resources.loading import cached_path, load, verify_cached
from bionemo.core.resources.pruning import prune
from bionemo.core.resources.reading import find_resource, get_all_resources
from bionemo.core.resources.resource import Resource, source_of

__all__ = ["main"]

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_PROGRAM: Final = "python -m bionemo.core.resources"


class _Result(NamedTuple):
    plain: Any
    text: str
    is_good: bool = True


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d+)([smhdw])", text)
    if not found:
        message = f"must be a number with one of the units {', '.join(_SECONDS)}, such as 30d, got {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(found[1]) * _SECONDS[found[2]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_PROGRAM, description="Download resources once, and look after the cache.")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="print JSON, for programs")
    shared.add_argument(
        "--cache-dir", type=Path, metavar="DIR", help="folder of the cache (default: BIONEMO_CACHE_DIR)"
    )
    known = argparse.ArgumentParser(add_help=False)
    known.add_argument(
        "--resources", type=Path, metavar="DIR", help="folder of YAML files (default: what is installed)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", parents=[shared, known], help="list the resources")
    command = commands.add_parser("get", parents=[shared, known], help="print the path, after downloading if needed")
    command.add_argument("tag", help="file/name of the resource")
    command.add_argument("--source", help="scheme of the URLs that are used, e.g. https (default: all)")
    command = commands.add_parser("where", parents=[shared, known], help="print the path if it is in the cache")
    command.add_argument("tag", help="file/name of the resource")
    command = commands.add_parser("verify", parents=[shared, known], help="hash files in the cache again")
    command.add_argument("tag", nargs="?", help="file/name of the resource (default: all)")
    command = commands.add_parser("prune", parents=[shared], help="remove what wasn't used for long, and partial files")
    command.add_argument("--older-than", type=_seconds, required=True, metavar="AGE", help="e.g. 12h, 30d or 8w")
    command.add_argument("--dry-run", action="store_true", help="remove nothing, only print")
    return parser


def _size(num_bytes: int | None) -> str:
    if num_bytes is None:
        return "?"
    number, units = float(num_bytes), ["B", "KiB", "MiB", "GiB"]
    while number >= 1024 and len(units) > 1:  # noqa: PLR2004 - bytes per KiB
        number, units = number / 1024, units[1:]
    return f"{number:.4g} {units[0]}"


def _list(options: argparse.Namespace, resources: Mapping[str, Resource]) -> _Result:
    rows, plain = [("tag", "cached", "size", "sources")], []
    for tag, resource in sorted(resources.items()):
        path = cached_path(tag, resources=resources, cache_dir=options.cache_dir)
        sources = dict.fromkeys(map(source_of, resource.urls))
        rows.append((tag, "yes" if path else "no", _size(resource.size), ",".join(sources)))
        fields = {name: getattr(resource, name) for name in ("sha256", "size", "processing", "owner", "license")}
        plain.append({"tag": tag, "path": path and str(path), "urls": list(resource.urls), **fields})
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return _Result(plain, "\n".join(lines))


def _get(options: argparse.Namespace, resources: Mapping[str, Resource]) -> _Result:
    path = load(options.tag, resources=resources, cache_dir=options.cache_dir, source=options.source)
    return _Result({"tag": options.tag, "path": str(path)}, str(path))


def _where(options: argparse.Namespace, resources: Mapping[str, Resource]) -> _Result:
    path = cached_path(options.tag, resources=resources, cache_dir=options.cache_dir)
    if path is None:
        print(f"{options.tag} isn't in the cache", file=sys.stderr)  # noqa: T201 - a command line
    return _Result({"tag": options.tag, "path": path and str(path)}, str(path or ""), is_good=path is not None)


def _verify(options: argparse.Namespace, resources: Mapping[str, Resource]) -> _Result:
    words = {True: "right", False: "damaged", None: "not in the cache"}
    tags = sorted(resources) if options.tag is None else [find_resource(options.tag, resources).tag]
    found = {tag: verify_cached(tag, resources=resources, cache_dir=options.cache_dir) for tag in tags}
    lines = [f"{tag}  {words[state]}" for tag, state in found.items() if state is not None or options.tag]
    if False in found.values():
        print("what is damaged is downloaded again by `get`", file=sys.stderr)  # noqa: T201
    is_good = False not in found.values() and (not options.tag or None not in found.values())
    return _Result({tag: words[state] for tag, state in found.items()}, "\n".join(lines), is_good=is_good)


def _prune(options: argparse.Namespace) -> _Result:
    removed = prune(older_than=options.older_than, cache_dir=options.cache_dir, dry_run=options.dry_run)
    total = _size(sum(one.num_bytes for one in removed))
    verb = "would remove" if options.dry_run else "removed"
    print(f"{verb} {total} in {len(removed)} files and folders", file=sys.stderr)  # noqa: T201
    lines = [f"{one.path}  {_size(one.num_bytes)}  {one.days:.1f} days" for one in removed]
    return _Result([{**one._asdict(), "path": str(one.path)} for one in removed], "\n".join(lines))


def main(arguments: Sequence[str] | None = None, /) -> int:
    """Run a command, and return the exit status: 1 if something is absent or damaged, 2 for an error.

    Example:
        >>> main(["where", "proteins/swissprot_2k", "--cache-dir", "/nowhere"])
        1
    """
    options = _parser().parse_args(arguments)
    try:
        if options.command == "prune":
            result = _prune(options)
        else:
            commands = {"list": _list, "get": _get, "where": _where, "verify": _verify}
            result = commands[options.command](options, get_all_resources(options.resources))
        text = json.dumps(result.plain) if options.json else result.text
        print(text, end="\n" if text else "", flush=True)  # noqa: T201 - a command line
    except BrokenPipeError:  # the reader stopped early, e.g. `| head`; without devnull the flush at exit would fail
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print("interrupted: the next `get` resumes", file=sys.stderr)  # noqa: T201
        return 130
    except (OSError, TypeError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
