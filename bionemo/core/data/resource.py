"""The module path of bionemo-core 2.x for `bionemo.core.resources`: resources in the terms of 2.x."""

from pathlib import Path

from bionemo.core.resources import reading
from bionemo.core.resources.format_2x import Resource2x, to_2x

__all__ = ["Resource", "get_all_resources"]

Resource = Resource2x


def get_all_resources(resource_path: Path | None = None) -> dict[str, Resource2x]:
    """Return the resources that 2.x can describe, by tag: those with an address in PBSS.

    Args:
        resource_path: folder of YAML files; None for all that are installed.

    Raises:
        ValueError, OSError: as `bionemo.core.resources.get_all_resources`.

    Example:
        >>> get_all_resources()["scdl/sample"].ngc_registry
        'resource'
    """
    found = {tag: to_2x(resource) for tag, resource in reading.get_all_resources(resource_path).items()}
    return {tag: resource for tag, resource in found.items() if resource is not None}
