"""The interface of bionemo-core 2.x, as code that was written for it uses it (observed with 2.4.5)."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from bionemo.core.data import api, load
from bionemo.core.data.load import NGCDownloader, default_ngc_client, default_pbss_client, entrypoint
from bionemo.core.data.resource import Resource, get_all_resources
from bionemo.core.resources.resource import Resource as NewResource

ENTRY = {"tag": "a/b", "pbss": "s3://bucket/b.txt", "sha256": "ab" * 32, "owner": "A B <a@b.org>"}


def test_signatures_are_those_of_2x() -> None:
    parameters = inspect.signature(load.load).parameters
    assert {name: one.default for name, one in parameters.items()} == {
        "model_or_data_tag": inspect.Parameter.empty,
        "source": "ngc",
        "resources": None,
        "cache_dir": None,
    }
    assert {one.kind for one in parameters.values()} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    assert list(inspect.signature(get_all_resources).parameters) == ["resource_path"]
    assert list(inspect.signature(default_ngc_client).parameters) == ["use_guest_if_api_key_invalid"]
    assert list(inspect.signature(NGCDownloader).parameters) == ["filename", "ngc_registry"]
    assert [*inspect.signature(default_pbss_client).parameters, *inspect.signature(entrypoint).parameters] == []
    fields = ["tag", "ngc", "ngc_registry", "pbss", "sha256", "owner", "description", "unpack", "decompress"]
    assert list(inspect.signature(Resource).parameters) == fields
    assert api.__all__ == ()


def test_all_resources_of_2x_are_known() -> None:
    found = get_all_resources()
    assert len(found) == 31
    one = found["esm2/8m:2.0"]
    assert (one.tag, one.ngc, one.ngc_registry) == ("esm2/8m:2.0", "nvidia/clara/esm2nv8m:2.0", "model")
    assert one.pbss == "s3://general-purpose/esm2/checkpoints/converted/8m/esm2_hf_converted_8m_checkpoint.tar.gz"
    assert one.sha256 == "2957b2c36d5978d0f595d6f1b72104b312621cf0329209086537b613c1c96d16"
    assert (one.unpack, one.decompress, found["evo2_mamba/7b-8k:0.1"].ngc) == (None, None, None)


def test_files_of_2x_are_read(tmp_path: Path) -> None:
    text = (
        "- tag: x\n  pbss: s3://bucket/x.tar.gz\n  sha256: " + "ab" * 32 + "\n  owner: A B <a@b.org>\n  unpack: false\n"
    )
    (tmp_path / "one.yaml").write_text(text)
    (found,) = get_all_resources(tmp_path).values()
    assert found == Resource(**{**ENTRY, "tag": "one/x", "pbss": "s3://bucket/x.tar.gz"}, unpack=False)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("no/such",), "Resource 'no/such' not found"),
        (("esm2/8m:2.0", "s3"), "Source 's3' not supported"),
        (("evo2_mamba/7b-8k:0.1",), "Resource 'evo2_mamba/7b-8k:0.1' does not have an NGC URL"),
        (("a/b", "ngc", {"a/b": Resource(**ENTRY)}), "Resource 'a/b' does not have an NGC URL"),
        (("a/b", "pbss", {}), "Resource 'a/b' not found"),
    ],
)
def test_errors_are_of_the_same_kind(arguments, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        load.load(*arguments)


def test_resources_without_either_source_are_loaded_too(tmp_path: Path) -> None:
    assert load.load("proteins/swissprot_2k", cache_dir=tmp_path).name == "swissprot_2k.fasta.gz"
    one = tmp_path / "one.txt"
    one.write_text("text")
    digest = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"
    resources = {"a/b": NewResource(tag="a/b", urls=[one.as_uri()], sha256=digest)}
    assert load.load("a/b", resources=resources, cache_dir=tmp_path / "cache").read_text() == "text"


def command(*arguments: str, cache: Path) -> subprocess.CompletedProcess:
    script = "from bionemo.core.data.load import entrypoint; entrypoint()"
    environment = {
        "PATH": "",
        "PYTHONPATH": ":".join(sys.path),
        "BIONEMO_CACHE_DIR": str(cache),
        "BIONEMO_OFFLINE": "1",
    }
    line = [sys.executable, "-c", script, *arguments]
    return subprocess.run(line, capture_output=True, text=True, env=environment, timeout=60)


def test_the_command_of_2x_prints_paths_and_lists(tmp_path: Path) -> None:
    done = command("proteins/swissprot_2k", cache=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.removesuffix("\n")).is_file()
    lines = command("--list-resources", cache=tmp_path).stdout.splitlines()
    assert lines[0] == "#resource_name\tsource_options"
    assert {"esm2/8m:2.0\tngc,pbss", "evo2_mamba/7b-8k:0.1\tpbss", "proteins/swissprot_2k\tpackage"} <= set(lines)
    done = command("scdl/sample", "--source", "pbss", cache=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("download_bionemo_data: scdl/sample isn't in the cache (")
    done = command(cache=tmp_path)
    assert done.returncode == 2
    assert "one of the arguments artifact_name --list-resources --all is required" in done.stderr
