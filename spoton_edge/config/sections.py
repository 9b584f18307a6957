"""The site file, section by section: every key, its default and what it means. Frozen, and unknown keys are faults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from spoton_edge.config.kinds import (
    FILLED,
    Control,
    Corner,
    Count,
    Crop,
    Distortion,
    Endpoint,
    Flag,
    InputSize,
    Matrix3,
    Metrics,
    Model,
    Name,
    NotNegative,
    Number,
    PointPairs,
    Polygon,
    Positive,
    Preview,
    Projection,
    Rotation,
    Row3,
    Seconds,
    Share,
    Size,
    Source,
    Text,
    Travel,
    Zone,
    host_name,
)
from spoton_edge.messages import ENDPOINT, IDENTITIES, SNAPSHOT


class Section(BaseModel):
    """What all sections have in common; an empty one (`tracker:` and nothing below) is all defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _empty_is_default(cls, data: Any) -> Any:
        return {} if data is None else data


class FloorMap(Section):
    """The site's ground: a picture of the floor, if there is one, and how it lies."""

    map: Text | None = Field(default=None, description="picture of the floor, a path beside this file; optional")
    pixels_per_metre: Positive = Field(default=100.0, description="scale of the picture")
    origin_px: Corner = Field(default=(0.0, 0.0), description="pixel of the picture where the ground's (0, 0) is")
    axes: Literal["y_up", "y_down"] = Field(
        default="y_up", description="which way y grows: up as in mathematics, or down as in a picture"
    )


class CameraLens(Section):
    """How a lens bends the picture, in OpenCV's terms."""

    matrix: Matrix3 = Field(description="3x3 [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], pixels")
    distortion: Distortion = Field(
        default=(), description="[k1, k2, p1, p2], and k3, and k4, k5, k6; default: a lens that bends nothing"
    )


class CameraPose(CameraLens):
    """A calibrated camera, in OpenCV's terms: lens and pose; the floor is z = 0."""

    rotation: Rotation = Field(description="3x3, or a rotation vector [rx, ry, rz] in radians: world -> camera")
    translation: Row3 = Field(description="[x, y, z] metres: the world's origin, seen from the camera")


class CameraGround(Section):
    """How a camera's pixels become metres: exactly one of `homography`, `points`, `projection`, `camera`, `file`."""

    homography: Matrix3 | None = Field(default=None, description="3x3: image pixels -> metres on the ground")
    points: PointPairs | None = Field(
        default=None, description="list of [u, v, x, y], 4 or more not on a line: pixel and its place in metres"
    )
    projection: Projection | None = Field(
        default=None, description="3x4: world metres -> image pixels; the floor is z = 0"
    )
    camera: CameraPose | None = Field(default=None, description="lens, distortion and pose")
    file: Text | None = Field(
        default=None,
        description="YAML file that holds this section's other keys, a path beside this file; `calibrate` writes such",
    )
    lens: CameraLens | None = Field(
        default=None, description="of `homography`, `points` and `projection`: what bends the picture; default: nothing"
    )
    image_size: Size | None = Field(
        default=None,
        description="[width, height] the calibration was made for, after `crop`; default: the picture's own size",
    )

    @model_validator(mode="after")
    def _one_calibration(self) -> CameraGround:
        ways = ("homography", "points", "projection", "camera", "file")
        given = [name for name in ways if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"has {' and '.join(given) or 'no calibration'}; give exactly one of {', '.join(ways)}")
        if self.lens is not None and self.camera is not None:
            raise ValueError("has lens and camera; `camera` has its own matrix and distortion, remove `lens`")
        return self


class Handoff(Section):
    """A way out of this camera's picture and into another's, where the views do not overlap."""

    zone: Zone = Field(
        description="where people leave this picture: upper_left, upper_right, lower_left, lower_right, or a polygon "
        "[[u, v], ...]"
    )
    to: Name = Field(description="camera in which they appear")
    enter: Zone | None = Field(default=None, description="where they appear there, as `zone`; default: anywhere")
    travel_s: Travel = Field(default=(0.5, 20.0), description="[shortest, longest] time out of sight, seconds")


class Camera(Section):
    """One camera, or one part of a camera's picture."""

    name: Name = Field(description="unique; letters, digits, _ and -; in topics, messages and logs")
    source: Source = Field(
        description="rtsp://, http://, a video file, /dev/video0, images/%06d.jpg, or 'test:'; ${NAME} is taken from "
        "the environment, {cred:NAME} from the service's credentials"
    )
    decode: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="what decodes the video")
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="how rtsp:// is carried")
    crop: Crop | None = Field(
        default=None,
        description="[x0, y0, x1, y1], x1 and y1 not included: the part to use; all pixels below are the crop's",
    )
    clock_offset_ms: Number = Field(default=0.0, description="added to this camera's capture times")
    ground: CameraGround | None = Field(
        default=None, description="the calibration; without one its people have no place in metres"
    )
    region: Polygon | None = Field(
        default=None, description="[[u, v], ...]: only feet in here count; default: everywhere"
    )
    handoff: tuple[Handoff, ...] = Field(
        default=(), description="ways to cameras whose views do not overlap this one's"
    )


class Detector(Section):
    """Finds people: one batched call for all cameras."""

    model: Model = Field(
        default="yolox-nano", description="a name of `spoton-edge models list`, or a path to an .onnx file"
    )
    input: InputSize = Field(
        default=(416, 416), description="[width, height] the pictures are fitted into, multiples of 32"
    )
    min_score: Share = Field(default=0.1, description="detections below are not seen by the tracker")
    every: Count = Field(default=1, description="detect on every n-th batch; the tracker predicts in between")


class Tracker(Section):
    """ByteTrack's numbers, under the names the paper gives their meaning."""

    high_score: Share = Field(default=0.5, description="detections from here on are matched first")
    low_score: Share = Field(default=0.1, description="detections from here to `high_score` only continue tracks")
    new_score: Share = Field(default=0.6, description="an unmatched detection from here on starts a track")
    match_limit: Share = Field(default=0.8, description="largest cost (1 - overlap) of the first match")
    second_match_limit: Share = Field(default=0.5, description="the same, of the match with low scores")
    new_match_limit: Share = Field(default=0.7, description="the same, of tracks seen once")
    duplicate_distance: Share = Field(
        default=0.15, description="of two tracks closer than this (1 - overlap) the younger goes"
    )
    buffer_s: Seconds = Field(default=1.0, description="how long a lost track may be found again, seconds")
    plain_iou: Flag = Field(
        default=False,
        description="overlap of plain areas; false: as published, with the last pixel's row and column (+1)",
    )

    @field_validator("low_score")
    @classmethod
    def _low_is_below_high(cls, low: float, info: ValidationInfo) -> float:
        high = info.data.get("high_score")
        if high is not None and low > high:
            raise ValueError(f"{low} is above high_score, {high}; lower it or raise high_score")
        return low


class Reid(Section):
    """Appearance vectors, by which people are recognised."""

    model: Model | None = Field(
        default=None,
        description="a name of `spoton-edge models list`, or a path to an .onnx file; null: colour histograms",
    )
    crops_per_batch: Count = Field(default=32, description="most people looked at in one batch")
    refresh_s: Positive = Field(default=1.0, description="age at which a person's vector is renewed, seconds")


class Identity(Section):
    """What makes two tracks one person."""

    max_speed_mps: Positive = Field(default=3.0, description="nobody moves faster, metres per second")
    forget_s: Positive = Field(default=120.0, description="how long someone out of sight keeps the id, seconds")
    resume_s: NotNegative = Field(
        default=10.0,
        description="how long someone may have been out of sight to keep the id over a restart, seconds; 0: new ids",
    )


class Publish(Section):
    """Where and how the tracks go out."""

    bind: Annotated[tuple[Endpoint, ...], FILLED] = Field(
        default=(ENDPOINT,),
        description="endpoints for subscribers: tcp://ADDRESS:PORT, ipc:///PATH",
        json_schema_extra={"minItems": 1},
    )
    snapshot: Endpoint = Field(default=SNAPSHOT, description="endpoint that answers with the state as it is")
    format: Literal["json", "msgpack"] = Field(default="json", description="how messages are written")
    boxes: Flag = Field(default=True, description="tell each person's box in each picture")
    preview: Preview = Field(
        default=False, description="endpoint for small pictures; true: one in /run/spoton-edge; false: none"
    )
    keys: Text | None = Field(
        default=None,
        description="folder with server.key and subscribers/*.key (`spoton-edge keys new`): encrypts the tcp endpoints "
        "with CURVE and lets in only these",
    )
    insecure: Flag = Field(default=False, description="allow endpoints that other machines can reach, unencrypted")


class Runtime(Section):
    """The daemon itself."""

    backend: Literal["auto", "onnxruntime", "tensorrt", "tensorrt_rtx"] = Field(
        default="auto", description="what runs the networks; auto: the best that works"
    )
    threads: Count | None = Field(default=None, description="CPU threads a network may use; null: one for each core")
    watch: Flag = Field(
        default=False, description="reload when this file changes, or a calibration or picture that it names"
    )
    sync_window_ms: Positive = Field(default=100.0, description="frames of one batch lie within this, milliseconds")
    stall_s: Seconds = Field(default=5.0, description="a camera without frames for this long is stalled, seconds")
    metrics: Metrics = Field(
        default=False, description="address of this machine where Prometheus may read: 127.0.0.1:9477; false: none"
    )
    control: Control = Field(
        default="auto", description="control socket, ipc:///PATH; auto: /run/spoton-edge/SITE.sock"
    )


class Border(Section):
    """A named edge of the box's area, where people walk to or come from another box."""

    name: Name = Field(description="unique on the box")
    zone: Polygon = Field(description="[[x, y], ...] on the box's ground, metres")


class Uplink(Section):
    """Many boxes, one site."""

    server: Text | None = Field(
        default=None,
        description="NATS server that `uplink` talks to, the box's own leaf node; null: this box is the site",
    )
    nkey: Text | None = Field(
        default=None,
        description="file with the box's key for that server; default: the service's credential, if there is one",
    )
    ca: Text | None = Field(default=None, description="certificate that the server's is signed by; null: no TLS")
    pose: Row3 = Field(
        default=(0.0, 0.0, 0.0), description="the box's ground in the site's: [x, y, heading], metres, degrees"
    )
    border: tuple[Border, ...] = Field(default=(), description="edges shared with other boxes")
    share_appearance: Flag = Field(
        default=False,
        description="send appearance vectors, and how tall people are, to the site",
    )
    keep_mb: Count = Field(
        default=256, description="what the leaf node keeps for a site that is away, at most, megabytes"
    )
    keep_h: Positive = Field(default=24.0, description="the same, hours")
    identities: Endpoint = Field(
        default=IDENTITIES, description="endpoint where `uplink` publishes who is whom on the site"
    )


class Site(Section):
    """One box and its cameras."""

    site: Name = Field(default="site", description="name in topics and files; letters, digits, _ and -")
    box: Name = Field(
        default_factory=host_name, description="name of this machine", json_schema_extra={"x-default": "the host name"}
    )
    ground: FloorMap = Field(default=FloorMap(), description="the floor's picture")
    cameras: Annotated[tuple[Camera, ...], FILLED] = Field(
        description="the cameras, one or more", json_schema_extra={"minItems": 1}
    )
    detector: Detector = Field(default=Detector(), description="finding people")
    tracker: Tracker = Field(default=Tracker(), description="following them within a camera")
    reid: Reid = Field(default=Reid(), description="describing their looks")
    identity: Identity = Field(default=Identity(), description="recognising them across cameras")
    publish: Publish = Field(default=Publish(), description="sending the tracks out")
    runtime: Runtime = Field(default=Runtime(), description="the daemon itself")
    uplink: Uplink = Field(default=Uplink(), description="joining boxes to one site")
