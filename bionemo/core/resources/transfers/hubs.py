"""Files of model registries, by their own libraries: the Hugging Face Hub, and NVIDIA's NGC."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from bionemo.core.extras import require
from bionemo.core.resources.transfers.partial import DiskError, GoneError, Partial

__all__ = ["default_ngc_client", "fetch_hf", "fetch_ngc", "fetch_ngc_file"]

_KINDS: Final = {"datasets": "dataset", "spaces": "space"}
_GONE: Final = ("EntryNotFoundError", "RepositoryNotFoundError", "RevisionNotFoundError", "GatedRepoError")
_GONE_NGC: Final = ("FileNotFoundError", "ResourceNotFoundException", "InvalidArgumentError", "AccessDeniedException")


def fetch_hf(url: str, partial: Partial, /) -> None:
    """Write the file of `hf://ORG/REPOSITORY/PATH@REVISION`, by default of the revision main, to a partial file.

    With `hf://datasets/ORG/...`, the repository is a data set. Tokens and endpoints are those of huggingface_hub.

    Raises:
        ModuleNotFoundError: if huggingface_hub isn't installed.
        OSError: if the connection fails.
        GoneError: if there is no such file, or it may not be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Partial(Path(folder, "a")) as partial:
        ...     fetch_hf("hf://org/repository/file.txt@main", partial)  # doctest: +SKIP
    """
    hub = require("huggingface_hub", extra="hub")
    path, _, revision = url.removeprefix("hf://").partition("@")
    kind = _KINDS.get(path.partition("/")[0])
    owner, repository, name = (path.partition("/")[2] if kind else path).split("/", 2)
    folder = partial.path.with_name(f"{partial.path.name}.hub")  # stays, so that the library resumes
    folder.mkdir(exist_ok=True)
    try:
        found = hub.hf_hub_download(
            f"{owner}/{repository}", name, repo_type=kind, revision=revision or "main", local_dir=folder
        )
    except Exception as error:
        raise _classified(error, _GONE) from error
    _take(Path(found), partial)
    shutil.rmtree(folder, ignore_errors=True)


def default_ngc_client(use_guest_if_api_key_invalid: bool = True) -> Any:  # noqa: FBT001, FBT002 - the signature of 2.x
    """Return a client of NGC, with the API key of `~/.ngc/config` or of the environment variable NGC_CLI_API_KEY.

    Args:
        use_guest_if_api_key_invalid: continue as a guest, who may read what is public, if NGC refuses the key.

    Raises:
        ModuleNotFoundError: if ngcsdk isn't installed.

    Example:
        >>> default_ngc_client()  # doctest: +SKIP
    """
    client = require("ngcsdk", extra="ngc").Client()
    try:
        client.configure()
    except Exception:
        if not use_guest_if_api_key_invalid:
            raise
        client.configure(api_key="no-apikey", org_name="no-org", team_name="no-team")
    return client


def fetch_ngc(url: str, partial: Partial, /) -> None:
    """Write the file of `ngc://model/ORG/TEAM/NAME:VERSION/FILE` or `ngc://resource/...` to a partial file.

    Raises:
        ModuleNotFoundError: if ngcsdk isn't installed.
        OSError: if the connection fails.
        GoneError: if there is no such file, or it may not be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Partial(Path(folder, "a")) as partial:
        ...     fetch_ngc("ngc://model/nvidia/clara/esm2nv8m:2.0/weights.tar.gz", partial)  # doctest: +SKIP
    """
    registry, _, rest = url.removeprefix("ngc://").partition("/")
    target, _, name = rest.rpartition("/")
    require("ngcsdk", extra="ngc")
    with tempfile.TemporaryDirectory(dir=partial.path.parent, prefix=f"{partial.path.name}.") as folder:
        try:
            # In a thread of its own: ngcsdk starts an event loop, which a notebook's thread already has.
            with ThreadPoolExecutor(1) as pool:
                found = pool.submit(fetch_ngc_file, target, name, registry, folder).result()
        except Exception as error:
            raise _classified(error, _GONE_NGC) from error
        _take(found, partial)


def fetch_ngc_file(target: str, name: str, registry: str, folder: str, /) -> Path:
    """Return the path of a file of NGC's registry, downloaded into a folder.

    Raises:
        FileNotFoundError: if the model or resource has no such file.

    Example:
        >>> fetch_ngc_file("nvidia/clara/esm2nv8m:2.0", "weights.tar.gz", "model", "/tmp")  # doctest: +SKIP
    """
    client = default_ngc_client()
    getattr(client.registry, registry).download_version(target, folder, file_patterns=[name])
    found = [path for path in Path(folder).rglob("*") if path.name == name and path.is_file()]
    if not found:
        message = f"{target} has no file {name}"
        raise FileNotFoundError(message)
    return found[0]


def _classified(error: Exception, gone: tuple[str, ...]) -> GoneError | OSError:
    """Return an error as a GoneError if its class, or one that it inherits from, says that no other try helps.

    The classes are known by name, as their libraries may be absent.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    message = f"{type(error).__name__}: {' '.join(str(error).split())}"
    is_gone = names & {*gone} and "LocalEntryNotFoundError" not in names  # which is raised for a broken connection
    return GoneError(message) if is_gone else OSError(message)


def _take(found: Path, partial: Partial) -> None:
    """Make a downloaded file the partial file, without a copy."""
    try:
        partial.replace_by(found)
    except OSError as error:
        raise DiskError from error
