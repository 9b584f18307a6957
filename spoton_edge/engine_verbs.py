"""What may be typed after `spoton-edge engines`, and `models compare`; the work lies in other modules."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spoton_edge.errors import ExitCode, UsageError

BUILD = """\
Builds the FP16 engines that a site needs for the GPU of this machine, unless the cache has them. With --for, --gpu
and --driver TensorRT-RTX builds them for another machine: give what `nvidia-smi` says there."""
VERIFY = """\
Compares the networks of a site in FP16, as an engine runs them, with FP32: on pictures of a folder, else on one frame
of each of the site's cameras. Ends with an error that gives the figures where they differ by more than rounding."""
COMPARE = """\
Runs two detectors over a recording (a folder of pictures or videos, with gt/gt.txt where there is truth) and prints
accuracy, time and agreement. The pictures on which they disagree most are written to --out."""


def add_verbs(verbs: Any) -> None:
    """Add `engines` to a command line."""
    text = "Build and check what runs the networks on a GPU"
    engines = verbs.add_parser("engines", help=text, description=text + ".")
    inner = engines.add_subparsers(title="commands", metavar="COMMAND", required=True)

    build = _verb(inner, "build", run_build, "Build the engines of a site", BUILD)
    build.add_argument("--library", choices=("tensorrt", "tensorrt_rtx"), help="default: the one that works")
    build.add_argument("--for", dest="capability", type=_capability, metavar="8.9", help="compute capability there")
    build.add_argument("--gpu", metavar="NAME", help="name of the GPU there, as its driver gives it")
    build.add_argument("--driver", metavar="13.0", help="CUDA version of the driver there")

    listing = inner.add_parser(
        "list", help="Show the engines in the cache", description="Show the engines in the cache."
    )
    listing.set_defaults(run=run_list)
    _cache(listing)

    verify = _verb(inner, "verify", run_verify, "Compare FP16 with FP32 on pictures", VERIFY)
    verify.add_argument("--pictures", type=Path, metavar="DIR", help="pictures or videos; default: the site's cameras")
    verify.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th picture of a recording")

    text = "Remove the engines that a site does not use"
    _verb(inner, "prune", run_prune, text, text + ".")


def add_compare(verbs: Any) -> None:
    """Add `compare` below `models`."""
    compare = verbs.add_parser("compare", help="Compare two detectors on a recording", description=COMPARE)
    compare.set_defaults(run=run_compare)
    compare.add_argument("first", metavar="A", help="a name of `spoton-edge models list`, or an .onnx file")
    compare.add_argument("second", metavar="B", help="the same")
    compare.add_argument("--recording", type=Path, required=True, metavar="DIR", help="pictures or videos")
    compare.add_argument("--out", type=Path, default=Path("disagreements"), metavar="DIR", help="default: %(default)s")
    compare.add_argument("--every", type=int, default=1, metavar="N", help="take every N-th picture")
    compare.add_argument("--input", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"), help="default: each model's own")
    compare.add_argument("--backend", default="auto", choices=("auto", "onnxruntime", "tensorrt", "tensorrt_rtx"))
    compare.add_argument("--threads", type=int, default=1, metavar="N", help="of a CPU backend; default: %(default)s")
    _cache(compare)


def run_build(options: argparse.Namespace) -> int:
    """Build what the site needs and print where it lies."""
    from spoton_edge import config, models
    from spoton_edge.engine.builder import build
    from spoton_edge.engine.cache import EngineCache
    from spoton_edge.engine.driver import Gpu, NoDriver, probe
    from spoton_edge.engine.tensorrt import installed, key_of, library_version
    from spoton_edge.networks import needs

    cross = options.capability is not None
    if cross != (options.gpu is not None) or cross != (options.driver is not None):
        raise UsageError("--for, --gpu and --driver belong together: an engine is found under all three")
    if cross and options.library == "tensorrt":
        raise UsageError("--library tensorrt builds for the GPU at hand only; leave out --for, or use tensorrt_rtx")
    site = config.load(options.site)
    cache = models.cache_dir(options.cache)
    library = options.library or ("tensorrt_rtx" if cross else installed())
    if cross:
        gpu = Gpu(options.gpu, options.capability, 0, options.driver)
    else:
        try:
            gpu = probe()
        except NoDriver as reason:
            raise UsageError(f"{reason}; to build for another machine give --for, --gpu and --driver") from None
    engines = EngineCache(cache)
    for need in needs(site, cache):
        key = key_of(need.model, need.work, library, library_version(library), gpu)
        found = engines.find(key)
        if found is None:
            print(f"{need.key}: building {key.stem}", file=sys.stderr)
            found = build(engines, key, need.model, progress=Progress(), cross=cross)
        print(found)
    return ExitCode.STOPPED


def run_list(options: argparse.Namespace) -> int:
    """Print a line for each engine."""
    from spoton_edge import models
    from spoton_edge.engine.cache import EngineCache

    for row in EngineCache(models.cache_dir(options.cache)).rows():
        key = row.key
        what = "no manifest can be read; it will be built again"
        if key:
            width, height = key["size"]
            what = (
                f"{key['model']} {key['precision']} input {row.input_dtype} {width}x{height} up to {key['largest']}, "
                f"{key['library']} {key['library_version']}, {key['gpu']}, driver {key['driver']}"
            )
        print(f"{row.path.name}  {row.state:10} {row.size_bytes / 1e6:7.1f} MB  built in {row.build_s:.0f} s  {what}")
    return ExitCode.STOPPED


def run_prune(options: argparse.Namespace) -> int:
    """Remove every engine that is not the newest of a network of the site."""
    from spoton_edge import config, models
    from spoton_edge.engine.cache import EngineCache
    from spoton_edge.networks import needs
    from spoton_edge.pinned_files import sha256

    site = config.load(options.site)
    cache = models.cache_dir(options.cache)
    engines = EngineCache(cache)
    keep = set()
    for need in needs(site, cache):
        digest = sha256(need.model)
        fitting = [row.path for row in engines.rows() if row.state == "good" and row.serves(digest, need.work)]
        keep.update(fitting[:1])
    for path in engines.prune(keep):
        print(f"removed {path}")
    return ExitCode.STOPPED


def run_verify(options: argparse.Namespace) -> int:
    """Print the figures; raises ModelError where they are not good enough."""
    from spoton_edge import config, models
    from spoton_edge.building import source_of
    from spoton_edge.capture import snapshot
    from spoton_edge.engine_check import verify
    from spoton_edge.pictures import recorded

    site = config.load(options.site)
    if options.pictures:
        images = [image.copy() for _, _, image in recorded(options.pictures, options.every)]
    else:
        images = [snapshot(source_of(camera)) for camera in site.cameras]
    with tempfile.TemporaryDirectory() as scratch:
        for line in verify(site, models.cache_dir(options.cache), images, Path(scratch)):
            print(line)
    return ExitCode.STOPPED


def run_compare(options: argparse.Namespace) -> int:
    """Print the comparison."""
    from spoton_edge import models
    from spoton_edge.model_comparison import compare, report

    size = (options.input[0], options.input[1]) if options.input else None
    found = compare(
        (options.first, options.second),
        options.recording,
        models.cache_dir(options.cache),
        out=options.out,
        every=max(1, options.every),
        size=size,
        backend=options.backend,
        threads=options.threads,
    )
    print("\n".join(report(found)))
    return ExitCode.STOPPED


class Progress:
    """Prints how far a build is and how long it will take, a line for each tenth."""

    def __init__(self) -> None:
        self._tenths = -1

    def __call__(self, phase: str, done: float, left_s: float | None) -> None:
        """See engine.builder.Progress."""
        if int(10 * done) > self._tenths:
            self._tenths = int(10 * done)
            left = f", about {left_s:.0f} s left" if left_s else ""
            print(f"  {100 * done:3.0f} %  {phase}{left}", file=sys.stderr, flush=True)


def _verb(verbs: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, long: str) -> Any:
    verb = verbs.add_parser(name, help=text, description=long)
    verb.set_defaults(run=run)
    verb.add_argument("site", type=Path, metavar="SITE.yaml", help="the site's file")
    _cache(verb)
    return verb


def _cache(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--cache", type=Path, metavar="DIR", help="where models and engines are kept; default: as for `models fetch`"
    )


def _capability(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    if not (major.isdigit() and minor.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no compute capability such as 8.9")
    return int(major), int(minor)
