"""The life of a global track in words: each view taken, gate, distance, cosine, margin, merges, splits."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence

from spoton_edge.types import Event, GlobalTracks

DECISION = "decided"  # the kind of what an associator notes about an id and does not publish


class Chronicle:
    """Collects what happens to some ids while they live, so that it can be told when they have ended."""

    def __init__(self, ids: Iterable[int]) -> None:
        self.lives: dict[int, list[Event]] = {identity: [] for identity in ids}
        self._noted: dict[int, Event] = {}  # by id, the last decision taken in
        self._views: dict[int, set[tuple[int, int]]] = {identity: set() for identity in self.lives}

    def note(
        self, captured_ns: int, tracks: GlobalTracks, events: Sequence[Event], decisions: Mapping[int, Sequence[Event]]
    ) -> None:
        """Take in one step: the people, what happened, and for each id the decisions kept of it now, oldest first."""
        owner = tracks.global_id[tracks.views.row]
        for identity, life in self.lives.items():
            kept = decisions.get(identity, ())
            known = [index for index, event in enumerate(kept) if event is self._noted.get(identity)]
            fresh = list(kept[known[-1] + 1 :] if known else kept)
            if kept:
                self._noted[identity] = kept[-1]
            told = [event for event in events if identity in (event.global_id, event.other)]
            mine = owner == identity
            views = set(zip(tracks.views.camera[mine].tolist(), tracks.views.track_id[mine].tolist(), strict=True))
            # A view may have been taken before the person had an id: then no decision tells of it.
            decided = {(event.camera, event.detail) for event in fresh}
            quiet = [view for view in sorted(views - self._views[identity]) if (view[0], track(view[1])) not in decided]
            fresh += [Event(DECISION, captured_ns, identity, camera=view[0], detail=track(view[1])) for view in quiet]
            self._views[identity] |= views
            life += merge(fresh, told)


class Annals:
    """What happened to everybody of late, for a daemon that may be asked about anybody; bounded."""

    def __init__(self, *, people: int = 2048, events: int = 64) -> None:
        self._people, self._events = people, events
        self._lives: OrderedDict[int, deque[Event]] = OrderedDict()

    def note(self, events: Iterable[Event]) -> None:
        """Take in the events of one step; whoever had none for the longest makes room."""
        for event in events:
            for identity in {event.global_id, event.other} - {-1}:
                self._lives.setdefault(identity, deque(maxlen=self._events)).append(event)
                self._lives.move_to_end(identity)
        while len(self._lives) > self._people:
            self._lives.popitem(last=False)

    def of(self, identity: int, decisions: Sequence[Event]) -> list[Event]:
        """The life of one person, oldest first, with the decisions that are kept of it; empty: nobody had that id."""
        return merge(decisions, self._lives.get(identity, ()))


def track(track_id: int) -> str:
    """How a decision names the tracklet that it is about."""
    return f"track {track_id}"


def merge(decisions: Iterable[Event], events: Iterable[Event]) -> list[Event]:
    """Both in the order of time; a decision that was told as an event is told once."""
    told = {id(event.reason) for event in events if event.reason is not None}
    life = [*events, *(event for event in decisions if event.reason is None or id(event.reason) not in told)]
    return sorted(life, key=lambda event: event.captured_ns)


def sentence(event: Event, cameras: Sequence[str]) -> str:
    """What happened, in words, after the moment; cameras: names in the order of the config."""
    here = cameras[event.camera] if event.camera >= 0 else ""
    match event.kind:
        case "decided":
            text = f"seen by {here}" + (f", {event.detail}" if event.detail else "")
        case "appeared":
            text = f"appeared in {here}" if here else "appeared"
        case "handed_off" if event.reason is not None and event.reason.gate == "restart":
            return f"found again in {here} after a restart"
        case "handed_off":
            came = cameras[event.from_camera] if event.from_camera >= 0 else ""
            text = f"came back in {here}" if came == here else f"handed over from {came} to {here}"
        case "merged":
            text = f"is the same as {event.other}: {event.other} ends, {event.global_id} stays"
        case "split":
            text = f"is two people: {event.global_id} stays, the other is {event.other}"
        case "exchanged":
            text = f"{event.global_id} and {event.other} had been taken for one another since they met"
        case "lost":
            text = f"lost, last seen by {here}" if here else "lost"
        case _:
            text = event.kind
    return text + reasons(event)


def reasons(event: Event) -> str:
    """The figures behind a decision, as far as there are any."""
    reason = event.reason
    if reason is None:
        return ""
    figures = [
        "" if reason.gate == "new" else f"gate {reason.gate}",
        "" if reason.distance_m is None else f"{reason.distance_m:.2f} m",
        "" if reason.cosine is None else f"cosine {reason.cosine:.2f}",
        "" if reason.margin is None else f"margin {reason.margin:.1f} nats to the runner-up",
    ]
    told = ", ".join(figure for figure in figures if figure)
    return f" ({told})" if told else ""


def life(identity: int, events: Sequence[Event], cameras: Sequence[str], moment: Callable[[int], str]) -> list[str]:
    """A heading and a line for each event; moment: how a capture time in ns is written."""
    lines = [f"person {identity}"]
    for event in events:
        lines.append(f"  {moment(event.captured_ns):>18}  {sentence(event, cameras)}")
    return lines
