"""Capture: from the cameras' sources to batches of timestamped frames.

Every source has a thread of its own that decodes it and leaves the newest frame in its camera's mailbox; a dead, frozen
or absent camera delays nobody. `source.py`: what a source can be; `video.py`: decoding, the one place that knows PyAV;
`stamps.py`: time; `reader.py`: a source's life; `batcher.py`: mailboxes and joining; `change.py`: other
cameras while it runs; `capture.py`: all together.
"""

from spoton_edge.capture.capture import Capture, Format
from spoton_edge.capture.change import Change
from spoton_edge.capture.snapshot import save_snapshot, snapshot
from spoton_edge.capture.source import Source

__all__ = ["Capture", "Change", "Format", "Source", "save_snapshot", "snapshot"]
