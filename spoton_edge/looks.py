"""What the tracks look like: who has which gallery entry, what a crop says for and against him, what to learn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spoton_edge._ext import ground
from spoton_edge.gallery import OTHER_CAMERA, SAME_CAMERA, Appearance, Evidence, Gallery
from spoton_edge.global_track import Records
from spoton_edge.impostors import Crop, Impostors
from spoton_edge.tracklet_book import TrackletBook
from spoton_edge.types import F4, F8, I4, FootPoint, Tracklets


class Looks:
    """Galleries of at most `people` people; entries are handed out and taken back."""

    def __init__(self, appearance: Appearance | None, people: int, refresh_s: float) -> None:
        self._gallery = Gallery(people)
        self._evidence = Evidence(appearance)
        self._room = people
        self._free = list(range(people))[::-1]
        self._refresh_ns = int(refresh_s * 1e9)

    def of_another_model(self, appearance: Appearance | None) -> Looks:
        """Empty galleries for as many people, for vectors that cannot be compared with the ones here."""
        return Looks(appearance, self._room, self._refresh_ns / 1e9)

    def inherit(self, before: Looks) -> None:
        """Take over everybody's gallery and what was learned of cosines, from one for as many people."""
        self._gallery, self._evidence, self._free = before._gallery, before._evidence, before._free

    @property
    def people(self) -> int:
        """Whose looks are remembered."""
        return self._room - len(self._free)

    @property
    def telling(self) -> bool:
        """Whether crops are embedded, and by a model that tells people apart."""
        return self._gallery.dimension > 0 and any(self._evidence.tells(kind) for kind in (SAME_CAMERA, OTHER_CAMERA))

    def newest(self, entry: int) -> tuple[F4, int] | None:
        """The prototype that was renewed last (D,), and when; None: -1 is nobody's entry, or there is none."""
        return self._gallery.newest(entry) if entry >= 0 else None

    def compare(self, seen: Tracklets, row: I4, record: Records, column: I4) -> tuple[F8, F4]:
        """Evidence (nats) and cosine of pairs (tracklet, person), (E,); 0 and NaN where nothing can be said."""
        nats, cosine = np.zeros(len(row)), np.full(len(row), np.nan, np.float32)
        if not seen.has_embedding.any():
            return nats, cosine
        entry = record["entry"][column]
        use = np.flatnonzero(seen.has_embedding[row] & (entry >= 0))
        if len(use):
            best = self._gallery.compare(seen.embedding, seen.camera, row[use], entry[use])
            nats[use], cosine[use] = self._weigh(best)
        return nats, cosine

    def between(self, entry: I4, other: I4) -> tuple[F8, F4]:
        """Evidence (nats) that two entries are one person, and the cosine it rests on (NaN: none), of pairs (n,)."""
        return self._weigh(self._gallery.between(entry, other))

    def _weigh(self, best: F4) -> tuple[F8, F4]:
        """Crops of one camera where there are any, else of two, (n, 2)."""
        within = best[:, SAME_CAMERA] > -2
        across = ~within & (best[:, OTHER_CAMERA] > -2)
        nats = np.zeros(len(best))
        nats[within] = self._evidence.nats(SAME_CAMERA, best[within, SAME_CAMERA])
        nats[across] = self._evidence.nats(OTHER_CAMERA, best[across, OTHER_CAMERA])
        cosine = np.where(within, best[:, SAME_CAMERA], best[:, OTHER_CAMERA])
        return nats, np.where(within | across, cosine, np.nan).astype(np.float32)

    def learn(
        self,
        seen: Tracklets,
        match: I4,
        held: I4,
        at: I4,
        book: TrackletBook,
        record: Records,
        impostors: Impostors,
    ) -> bool:
        """Take clear crops of people who are surely who they are in, and learn what cosines are worth; any taken in?"""
        entry, taken = book.entry, False
        embedded = np.flatnonzero(seen.has_embedding & (match >= 0))
        if not len(embedded):
            return False
        doubted = impostors.doubted(record["uid"])
        nats, _ = self.compare(seen, embedded.astype(np.int32), record, match[embedded])
        before = entry["embedded_ns"][at[embedded]]
        often = np.where(
            (nats < 0) | doubted[match[embedded]], 4, 2
        )  # who may not be himself is looked at twice as often
        due = (before == 0) | (seen.captured_ns[embedded] - before >= self._refresh_ns // often)
        share = np.empty(len(seen), np.float32)
        ground.crowding(seen.camera, seen.xyxy, share)
        for i, say in zip(embedded[due].tolist(), nats[due].tolist(), strict=True):
            entry["embedded_ns"][at[i]] = seen.captured_ns[i]
            if share[i] > 0.3 or seen.foot[i] == FootPoint.CUT or not (self._free or record["entry"][match[i]] >= 0):
                continue
            row = int(match[i])
            if record["entry"][row] < 0:
                record["entry"][row] = self._free.pop()
            elif held[i] == row and record["hits"][row] > 2 and not doubted[row]:
                self._sample(seen, match, i, record)
            crop = Crop(seen.embedding[i], int(seen.camera[i]), int(seen.captured_ns[i]))
            if impostors.look(record[row], say, crop):
                self._gallery.add(int(record["entry"][row]), crop.vector, crop.camera, crop.captured_ns)
                taken = True
        return taken

    def open(self, crops: Sequence[Crop]) -> int:
        """A gallery entry with these crops; -1: there is no room."""
        if not self._free:
            return -1
        entry = self._free.pop()
        for crop in crops:
            self._gallery.add(entry, crop.vector, crop.camera, crop.captured_ns)
        return entry

    def _sample(self, seen: Tracklets, match: I4, i: int, record: Records) -> None:
        """Cosines of crop i with its own gallery, and with those of people its camera sees beside it."""
        beside = np.flatnonzero((seen.camera == seen.camera[i]) & (match >= 0) & (match != match[i]))
        others = record["entry"][match[beside]]
        pairs = np.concatenate([[record["entry"][match[i]]], others[others >= 0]]).astype(np.int32)
        own, *beside_him = self._gallery.compare(
            seen.embedding, seen.camera, np.full(len(pairs), i, np.int32), pairs
        ).tolist()
        for kind in (SAME_CAMERA, OTHER_CAMERA):
            self._evidence.learn(kind, False, [best[kind] for best in [own] if best[kind] > -2])
            self._evidence.learn(kind, True, [best[kind] for best in beside_him if best[kind] > -2])

    def join(self, keep: int, drop: int) -> int:
        """Make two entries (-1: none) one; the entry of the person who stays."""
        if keep < 0 or drop < 0:
            return max(keep, drop)
        self._gallery.move(drop, keep)
        self._free.append(drop)
        return keep

    def release(self, entry: int) -> None:
        """Forget what somebody looks like; -1 is nobody."""
        if entry >= 0:
            self._gallery.clear(entry)
            self._free.append(entry)
