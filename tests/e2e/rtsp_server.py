"""One camera: serves prepared pictures as rtsp://127.0.0.1:PORT/cam over GStreamer, looping, without encoding anything.

Run with the system's Python (Debian: python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad});
`tests/e2e/rtsp.py` does. FILE holds access units, each after its length (u32, big-endian). Prints `ready` when it
listens, and `client` for each connection. `tests/e2e/relay.py` gives a camera a wrong clock.
"""

import argparse
import struct
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gio, GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

PAYLOADERS = {
    "h264": ("video/x-h264,stream-format=byte-stream,alignment=au", "h264parse ! rtph264pay config-interval=1"),
    "hevc": ("video/x-h265,stream-format=byte-stream,alignment=au", "h265parse ! rtph265pay config-interval=1"),
    "mjpeg": ("image/jpeg", "jpegparse ! rtpjpegpay"),
    "mpeg4": ("video/mpeg,mpegversion=4,systemstream=false", "mpeg4videoparse ! rtpmp4vpay config-interval=1"),
}


def access_units(data: bytes) -> list[bytes]:
    units, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        units.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return units


class Feed:
    """Pushes one access unit a period into an appsrc."""

    def __init__(self, source: Gst.Element, fps: float, units: list[bytes]) -> None:
        self.source, self.units = source, units
        self.count = 0
        self.timer = GLib.timeout_add(max(1, round(1000 / fps)), self.push)

    def push(self) -> bool:
        buffer = Gst.Buffer.new_wrapped(self.units[self.count % len(self.units)])
        self.count += 1
        return self.source.emit("push-buffer", buffer) == Gst.FlowReturn.OK


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port")
    parser.add_argument("codec", choices=[*PAYLOADERS, "audio"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--login", help="user:password that a client must know")
    parser.add_argument("--certificate", help="PEM file with certificate and key: serve rtsps://, with a login")
    options = parser.parse_args()

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address(options.address)
    server.set_service(options.port)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_shared(True)
    if options.codec == "audio":
        factory.set_launch("( audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 )")
    else:
        caps, payloader = PAYLOADERS[options.codec]
        units = access_units(options.file.read_bytes())
        source = f"appsrc name=src is-live=true format=time do-timestamp=true caps={caps},framerate=0/1"
        factory.set_launch(f"( {source} ! {payloader} name=pay0 pt=96 )")

        def configure(_factory: GstRtspServer.RTSPMediaFactory, media: GstRtspServer.RTSPMedia) -> None:
            media.feed = Feed(media.get_element().get_child_by_name("src"), options.fps, units)

        factory.connect("media-configure", configure)
    if options.login:
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
        token = GstRtspServer.RTSPToken()
        token.set_string(GstRtspServer.RTSP_TOKEN_MEDIA_FACTORY_ROLE, "viewer")
        auth.add_digest(*options.login.split(":", 1), token)
        if options.certificate:
            auth.set_tls_certificate(Gio.TlsCertificate.new_from_file(options.certificate))
        server.set_auth(auth)
        role = Gst.Structure.new_empty("viewer")
        role.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_ACCESS, True)
        role.set_value(GstRtspServer.RTSP_PERM_MEDIA_FACTORY_CONSTRUCT, True)
        factory.add_role_from_structure(role)
    server.connect("client-connected", lambda *_: print("client", flush=True))
    server.get_mount_points().add_factory("/cam", factory)
    if server.attach(None) == 0:
        sys.exit(f"cannot listen on port {options.port}")
    print("ready", server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
