"""Who is whom on a site, kept true although messages come late: the service without its network.

Messages are taken in by when what they tell of was captured, in short spans, once all boxes that are heard of have had
the time they usually take. One that comes later is late: the course of things is taken up again from before it, and
answers that turn out otherwise are corrected.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass, field, replace

from spoton_edge.site.course import Course, Told
from spoton_edge.site.messages import Binding, BoxMessage, BoxPlace, Head
from spoton_edge.site.names import Change, Key, as_told
from spoton_edge.site.plan import Rules

log = logging.getLogger(__name__)

SPAN_NS = 50_000_000
KEEP_SPANS = 100  # a branch to go back to every five seconds,
RECENT = 4  # for so many times that; further back every so many times that
SILENT_S = 3.0  # a box not heard of for so long is not waited for
MOST_LAG_S = 0.8  # nor is one that takes longer
SLACK_S = 0.02
LAG_FADES = 0.95  # a message: a box that was slow once is trusted again within half a minute
QUIET_S, PATIENCE_S = 0.2, 2.0  # late messages come in bursts: wait for the end of it, not for ever
BACK_NS = 3_000_000_000
REST = 0.05  # of the time gone back over, before going back again: a box that is late on and on is not to fill a core
FUTURE_S = 5.0
CORRECTIONS = ("merged", "split")


@dataclass(slots=True)
class Heard:
    """What is known of a box's messages."""

    at_s: float = 0.0  # when the last came, by the site's clock
    lag_s: float = 0.0  # how long they take
    offset_s: float | None = None
    told: int = 0
    ahead: bool = False  # so far that it is refused
    late: int = 0
    refused: int = 0


@dataclass(slots=True)
class Answers:
    """What has to be told after a step."""

    bindings: list[Binding] = field(default_factory=list)
    forgotten: list[Key] = field(default_factory=list)
    told: Told | None = None  # the last step


class SiteIdentity:
    """Takes boxes' messages, gives site ids. Not thread-safe. Times are Unix seconds of the site's clock.

    Args:
        rules: the site.
        told: what was told before, by somebody on a box. The first `finish` goes by it.
        places: what was known of the boxes.
        since_s: everything captured since then will be taken in before that, and something from before, so that it is
            known again who is one with whom. An id that was told stands if it is older; what has become of newer ones
            is worked out again, as if this service had never stopped.
        late_s: messages later than this are refused and counted.

    Attributes:
        counts: late, too_late, future, unknown_box, rewinds.
    """

    def __init__(
        self,
        rules: Rules,
        told: Mapping[Key, int] | None = None,
        places: Mapping[str, BoxPlace] | None = None,
        *,
        since_s: float = 0.0,
        late_s: float = 120.0,
    ) -> None:
        self.rules = rules
        self.heard = {name: Heard() for name in rules.boxes}
        self.counts: Counter[str] = Counter()
        self._told, self._since_s = dict(told or {}), since_s
        self._given: dict[Key, int] = {}
        self._course = Course(rules, places or {})
        self._late_spans = int(late_s * 1e9) // SPAN_NS
        self._spans: dict[int, list[tuple[int, BoxMessage]]] = {}
        # Branches as of the end of a span, ascending.
        self._kept: list[tuple[int, Course]] = [(0, self._course.branch())]
        self._done = 0  # the last span that was gone through
        self._unsettled: dict[str, str] = {}  # by box, the uplink that has not measured yet how far its clock is off
        self._late: int | None = None  # the first span that a late message belongs to
        self._late_first_s = self._late_last_s = 0.0
        self._rested_s = 0.0  # by then

    @property
    def places(self) -> Mapping[str, BoxPlace]:
        """Where the boxes say they are."""
        return self._course.places

    @property
    def held(self) -> int:
        """Messages that are kept for going back, and people of boxes that are known."""
        return sum(map(len, self._spans.values())) + len(self._given)

    def take(self, message: BoxMessage, now_s: float) -> None:
        """Take in a message that has come now."""
        heard = self.heard.get(message.head.box)
        if heard is None:
            self.counts["unknown_box"] += 1
            return
        when_s = message.head.time + (message.head.offset_s or 0.0)
        if when_s > now_s + FUTURE_S:
            self.counts["future"] += 1
            heard.refused += 1
            if not heard.ahead:
                log.warning("box %s: its clock is %.0f s ahead; refused: set it", message.head.box, when_s - now_s)
            heard.ahead = True
            return
        heard.ahead = False
        self._mind_clock(message, heard)
        self._settle(message.head, now_s)
        heard.at_s = max(heard.at_s, now_s)
        heard.told += 1
        span = int(when_s * 1e9) // SPAN_NS
        if self._done and span <= self._done - self._late_spans:
            self.counts["too_late"] += 1
            heard.refused += 1
            return
        self._spans.setdefault(span, []).append((int(when_s * 1e9), message))
        lag_s = now_s - when_s
        if lag_s < MOST_LAG_S:
            heard.lag_s = max(lag_s, heard.lag_s * LAG_FADES)
        if span <= self._done:
            self.counts["late"] += 1
            heard.late += 1
            self._go_back(span, now_s)

    def advance(self, now_s: float) -> Answers:
        """Go as far as messages can be expected to have come; what there is to tell."""
        answers = Answers()
        if self._late is not None:
            # A box that is back tells all that it has kept; one that was slow for a moment is soon done.
            back = (self._done - self._late) * SPAN_NS > BACK_NS
            since_s, most_s = (self._late_last_s, PATIENCE_S) if back else (self._late_first_s, QUIET_S)
            if now_s >= self._rested_s and (now_s - since_s >= QUIET_S or now_s - self._late_first_s >= most_s):
                self._rested_s = now_s + REST * (self._done - self._late) * SPAN_NS / 1e9
                self._rewind(answers)
        lags = [heard.lag_s for heard in self.heard.values() if now_s - heard.at_s < SILENT_S]
        self._go_to(int((now_s - max(lags, default=0.0) - SLACK_S) * 1e9) // SPAN_NS - 1, answers)
        return answers

    def finish(self) -> Answers:
        """Go through everything that has come, as after reading what was stored."""
        answers, before = Answers(), self._told or dict(self._given)
        if self._late is not None:
            self._rewind(answers)
        if self._spans:
            self._go_to(max(self._spans), answers)
        last = {(binding.box, binding.run, binding.id): binding for binding in answers.bindings}
        if self._told:
            self._recall(last)
        # What was thought on the way is nobody's business, nor is who has been forgotten.
        at_last, self._given = self._given, before
        answers.bindings = []
        for key, binding in last.items():
            if key in at_last:
                self._tell(answers, Change(key, at_last[key], binding.event), binding.since, binding.gate)
        self._given = at_last
        return answers

    def _recall(self, named: Container[Key]) -> None:
        """Have everybody be called what he was told to be; named: of whom something has come."""
        names = self._course.names.site_id
        newest = [key for key in self._course.newest if key in names]
        changes = as_told(names, self._told, newest, 1e3 * self._since_s)
        away = {key: site_id for key, site_id in self._told.items() if key not in named}  # on a box that is cut off
        for course in (self._course, *(course for _, course in self._kept)):
            course.recall(changes, away, self._since_s)
        self._given, self._told = dict(self._course.names.site_id), {}

    def answers(self) -> dict[Key, int]:
        """Everybody's site id, as it was told."""
        return self._given

    def _go_to(self, last: int, answers: Answers) -> None:
        if not self._done and self._spans:
            self._done = min(self._spans) - 1
        for span in [span for span in sorted(self._spans) if self._done < span <= last]:
            self._keep(span, last)
            self._give(self._course.step(self._spans[span]), span, answers)
            self._done = span
        if self._done:
            self._done = max(self._done, last)
            self._drop()

    def _give(self, told: Told, span: int, answers: Answers) -> None:
        for change, gate in told.changes:
            self._tell(answers, change, span * SPAN_NS / 1e9, gate)
        for key in told.forgotten:
            self._given.pop(key, None)
        answers.forgotten += told.forgotten
        answers.told = told if told.people is not None else answers.told

    def _tell(self, answers: Answers, change: Change, since_s: float, gate: str | None) -> None:
        """Answer, if he was told otherwise; whoever listens has heard nothing of what was thought in between."""
        was = self._given.get(change.key)
        if was == change.site_id:
            return
        self._given[change.key] = change.site_id
        if was is None:
            event = "handed_off" if change.event in CORRECTIONS else change.event
        else:
            event = change.event if change.event in CORRECTIONS else "merged"
        answers.bindings.append(Binding(*change.key, change.site_id, since_s, event, was, gate))

    def _keep(self, span: int, last: int) -> None:
        """Branch now and then, on the way to the `last` span; of what is further back than that, only some are kept."""

        def lasts(number: int) -> bool:
            return number > last // KEEP_SPANS - RECENT or number % RECENT == 0

        if (self._kept[-1][0] + 1) // KEEP_SPANS >= span // KEEP_SPANS or not lasts(span // KEEP_SPANS):
            return
        self._kept.append((span - 1, self._course.branch()))
        self._kept = [entry for k, entry in enumerate(self._kept) if k == 0 or lasts((entry[0] + 1) // KEEP_SPANS)]

    def _drop(self) -> None:
        """What nobody can go back to any more. The oldest branch lies before everything that may still come."""
        oldest = self._done - self._late_spans
        while len(self._kept) > 1 and self._kept[1][0] <= oldest:
            del self._kept[0]
        for span in [span for span in self._spans if span <= min(self._kept[0][0], oldest)]:
            del self._spans[span]

    def _rewind(self, answers: Answers) -> None:
        """Go back to before the first late message, and from there on the way that things really went."""
        late, done = self._late or 0, self._done
        self._late = None
        while len(self._kept) > 1 and self._kept[-1][0] >= late:
            self._kept.pop()
        self.counts["rewinds"] += 1
        self._done, branch = self._kept[-1]
        self._course = branch.branch()
        changes: dict[Key, tuple[int, str, str | None]] = {}
        forgotten: set[Key] = set()
        for span in [span for span in sorted(self._spans) if self._done < span <= done]:
            self._keep(span, done)
            told = self._course.step(self._spans[span])
            changes |= {change.key: (span, change.event, gate) for change, gate in told.changes}
            forgotten |= set(told.forgotten)
            answers.told = told if told.people is not None else answers.told
        self._done = done
        names = self._course.names.site_id
        for key, now in names.items():
            # Who had another id only on the way that things were thought to have gone has his back.
            span, event, gate = changes.get(key, (done, "merged", None))
            event = "merged" if key in self._given else event
            self._tell(answers, Change(key, now, event), span * SPAN_NS / 1e9, gate)
        for key in forgotten - names.keys():
            answers.forgotten.append(key)
            self._given.pop(key, None)

    def _settle(self, head: Head, now_s: float) -> None:
        """A box's clock turns out to be wrong: what its uplink told before that was known belongs elsewhere."""
        offset_s = head.offset_s
        if offset_s is None:
            self._unsettled[head.box] = head.link
            return
        if self._unsettled.get(head.box) != head.link:
            return
        del self._unsettled[head.box]
        if abs(offset_s) <= self.rules.sync_window_s:
            return
        for span in list(self._spans):
            moved = [message for _, message in self._spans[span] if _is_unsettled(message.head, head)]
            if not moved:
                continue
            self._spans[span] = [entry for entry in self._spans[span] if not _is_unsettled(entry[1].head, head)]
            self._go_back(span, now_s)
            for message in moved:
                settled = replace(message.head, offset_s=offset_s, doubt_s=head.doubt_s)
                when_ns = int((settled.time + offset_s) * 1e9)
                self._spans.setdefault(when_ns // SPAN_NS, []).append((when_ns, replace(message, head=settled)))
                self._go_back(when_ns // SPAN_NS, now_s)

    def _go_back(self, span: int, now_s: float) -> None:
        """Have the course of things taken up again from before a span, soon, if it was gone through."""
        if span <= self._done:
            self._late_first_s = now_s if self._late is None else self._late_first_s
            self._late_last_s = now_s
            self._late = span if self._late is None else min(self._late, span)

    def _mind_clock(self, message: BoxMessage, heard: Heard) -> None:
        offset_s, window_s = message.head.offset_s, self.rules.sync_window_s
        was, heard.offset_s = heard.offset_s, offset_s
        if offset_s is not None and (abs(offset_s) > window_s) != (was is not None and abs(was) > window_s):
            off = abs(offset_s) > window_s
            box = message.head.box
            if off:
                log.warning("box %s: its clock is off by %.0f ms; corrected, and doubted: set it", box, -1e3 * offset_s)
            else:
                log.info("box %s: its clock is right again", box)


def _is_unsettled(head: Head, known: Head) -> bool:
    return head.offset_s is None and (head.box, head.link) == (known.box, known.link)
