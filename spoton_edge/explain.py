"""The life of a global track in words: each view taken, gate, distance, cosine, margin, merges, splits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from spoton_edge.types import Event

DECISION = "decided"  # the kind of what an associator notes about an id and does not publish


class Chronicle:
    """Collects what happens to some ids while they live, so that it can be told when they have ended."""

    def __init__(self, ids: Iterable[int]) -> None:
        self.lives: dict[int, list[Event]] = {identity: [] for identity in ids}
        self._noted: dict[int, Event] = {}

    def note(self, events: Sequence[Event], decisions: dict[int, Sequence[Event]]) -> None:
        """Take in the events of one step, and for each id all decisions that are kept of it now, oldest first."""
        for identity, life in self.lives.items():
            kept = decisions.get(identity, ())
            known = [index for index, event in enumerate(kept) if event is self._noted.get(identity)]
            fresh = list(kept[known[-1] + 1 :] if known else kept)
            if kept:
                self._noted[identity] = kept[-1]
            told = [event for event in events if identity in (event.global_id, event.other)]
            life += merge(fresh, told)


def merge(decisions: Sequence[Event], events: Sequence[Event]) -> list[Event]:
    """Both in the order of time; a decision that was told as an event is told once."""
    told = {id(event.reason) for event in events if event.reason is not None}
    life = [*(event for event in decisions if id(event.reason) not in told), *events]
    return sorted(life, key=lambda event: event.captured_ns)


def sentence(event: Event, cameras: Sequence[str]) -> str:
    """What happened, in words, after the moment; cameras: names in the order of the config."""
    here = cameras[event.camera] if event.camera >= 0 else ""
    match event.kind:
        case "decided":
            text = f"seen by {here}" + (f", {event.detail}" if event.detail else "")
        case "appeared":
            text = f"appeared in {here}" if here else "appeared"
        case "handed_off":
            came = cameras[event.from_camera] if event.from_camera >= 0 else ""
            text = f"came back in {here}" if came == here else f"handed over from {came} to {here}"
        case "merged":
            text = f"is the same as {event.other}: {event.other} ends, {event.global_id} stays"
        case "split":
            text = f"is two people: {event.global_id} stays, the other is {event.other}"
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


def life(identity: int, events: Sequence[Event], cameras: Sequence[str], moment: dict[int, str]) -> list[str]:
    """A heading and a line for each event; moment: capture time in ns -> how it is written."""
    lines = [f"person {identity}"]
    for event in events:
        lines.append(f"  {moment.get(event.captured_ns, ''):>18}  {sentence(event, cameras)}")
    return lines
