"""What people look like: a few prototypes per person, and how much a cosine between crops is worth as evidence.

One running mean is not enough: a person seen from behind is another vector. A gallery entry keeps several prototypes
with the camera each was seen in, because crops of one camera compare far better than crops of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from spoton_edge._ext import similarity
from spoton_edge.types import F4, F8, I2, I4, Bool

SAME_CAMERA, OTHER_CAMERA = 0, 1


@dataclass(frozen=True, slots=True)
class Appearance:
    """Cosine statistics of a Re-ID model, from its manifest: crops of the same person, and of different people."""

    same_mean: float
    same_sd: float
    different_mean: float
    different_sd: float


class Evidence:
    """From cosine to nats: the log likelihood ratio of same against different, for one camera and across cameras.

    Starts from the model's statistics, if they are known, and goes on learning on the site, slowly: a cosine of a
    tracklet with the gallery of the person it is known to be is a sample of "same", one of two people visible at once
    in one camera of "different". Without either it says nothing.
    """

    def __init__(self, prior: Appearance | None, prior_samples: float = 200.0, most_nats: float = 4.0) -> None:
        self._most_nats = most_nats
        self._memory = 5_000.0  # samples: what the site says now counts for more than what it said last month
        # [same camera / other camera][same / different]; a few numbers at a time, for which NumPy is slow
        count, spread = (0.0, [0.0, 0.0]) if prior is None else (prior_samples, [prior.same_sd, prior.different_sd])
        means = [0.0, 0.0] if prior is None else [prior.same_mean, prior.different_mean]
        self._count = [[count, count] for _ in range(2)]
        self._mean = [[*means] for _ in range(2)]
        self._m2 = [[count * (sd * sd) for sd in spread] for _ in range(2)]

    def learn(self, kind: int, different: bool, cosines: Sequence[float]) -> None:
        """Add samples of one kind; kind is SAME_CAMERA or OTHER_CAMERA."""
        if not cosines:
            return
        count, means, m2, at = self._count[kind], self._mean[kind], self._m2[kind], int(different)
        n, mean = float(len(cosines)), sum(cosines) / len(cosines)
        total = count[at] + n
        delta = mean - means[at]
        m2[at] += sum((c - mean) ** 2 for c in cosines) + delta * delta * count[at] * n / total
        means[at] += delta * n / total
        count[at] = total
        if total > self._memory:
            m2[at] *= self._memory / total
            count[at] = self._memory

    def _sd(self, kind: int) -> tuple[float, float]:
        count, m2 = self._count[kind], self._m2[kind]
        return sqrt(m2[0] / max(count[0], 1.0)) + 0.02, sqrt(m2[1] / max(count[1], 1.0)) + 0.02

    def tells(self, kind: int) -> bool:
        """Whether enough is known, and the means of same and different are at least one spread apart."""
        mean = self._mean[kind]
        return bool(min(self._count[kind]) >= 30 and mean[0] - mean[1] >= 0.5 * sum(self._sd(kind)))

    def nats(self, kind: int, cosine: F4) -> F8:
        """The log likelihood ratio of cosines (n,); 0 where the model says nothing."""
        if not len(cosine) or not self.tells(kind):
            return np.zeros(len(cosine))
        mean, sd = self._mean[kind], self._sd(kind)
        # Beyond the two means the tails of the two bells say more about the bells than about people.
        c = np.clip(cosine.astype(np.float64), mean[1] - sd[1], mean[0] + sd[0])
        ratio = -0.5 * ((c - mean[0]) / sd[0]) ** 2 + 0.5 * ((c - mean[1]) / sd[1]) ** 2 + log(sd[1] / sd[0])
        return np.asarray(np.clip(ratio, -self._most_nats, self._most_nats))


class Gallery:
    """Prototypes of at most `people` people, by entry; all memory is taken when the first crop tells its dimension."""

    def __init__(self, people: int = 1024, prototypes: int = 8) -> None:
        self._people = people
        self._prototypes = prototypes
        self._allocate(0)

    def _allocate(self, dimension: int) -> None:
        shape = (self._people, self._prototypes)
        self._vectors = np.zeros((*shape, dimension), np.float32)
        self._camera = np.full(shape, -1, np.int16)
        self._seen_ns = np.zeros(shape, np.int64)
        self._weight = np.zeros(shape, np.float32)

    def __deepcopy__(self, memo: dict[int, object]) -> Gallery:
        """Only entries in use are written, so that the others take no memory."""
        other = Gallery(self._people, self._prototypes)
        other._allocate(self.dimension)
        used = np.flatnonzero((self._camera >= 0).any(axis=1))
        for mine, its in (
            (self._vectors, other._vectors),
            (self._camera, other._camera),
            (self._seen_ns, other._seen_ns),
            (self._weight, other._weight),
        ):
            its[used] = mine[used]
        return other

    @property
    def dimension(self) -> int:
        return self._vectors.shape[2]

    def newest(self, entry: int) -> tuple[F4, int] | None:
        """The prototype of an entry that was renewed last, a unit vector (D,), and when; None: it has none."""
        held = np.flatnonzero(self._camera[entry] >= 0)
        if not len(held):
            return None
        place = held[int(np.argmax(self._seen_ns[entry, held]))]
        return self._vectors[entry, place].copy(), int(self._seen_ns[entry, place])

    def clear(self, entry: int) -> None:
        """Forget a person."""
        self._camera[entry] = -1

    def holds(self, entries: I4) -> Bool:
        """Which entries (n,) have a prototype."""
        return np.asarray((self._camera[entries] >= 0).any(axis=1))

    def move(self, source: int, target: int) -> None:
        """Add the prototypes of one entry to another's, the newest first as far as there is room; clear the first."""
        camera = np.concatenate([self._camera[target], self._camera[source]])
        order = np.argsort(np.where(camera >= 0, -np.concatenate([self._seen_ns[target], self._seen_ns[source]]), 1))
        keep = order[: self._prototypes]
        for table in (self._vectors, self._seen_ns, self._weight):
            table[target] = np.concatenate([table[target], table[source]])[keep]
        self._camera[target] = camera[keep]
        self.clear(source)

    def compare(self, rows: F4, camera: I2, pair_row: I4, pair_entry: I4) -> F4:
        """Best cosine of each pair (row, entry), (n, 2): with prototypes of the row's camera, of others; -2: none."""
        best = np.full((len(pair_row), 2), -2, np.float32)
        if len(pair_row) and rows.shape[1] == self.dimension and self.dimension:
            similarity.gallery_cosine(rows, camera, self._vectors, self._camera, pair_row, pair_entry, best)
        return best

    def add(self, entry: int, vector: F4, camera: int, captured_ns: int, same: float = 0.85) -> None:
        """Take a crop's unit vector in: blended into the prototype of its camera that it equals, else as a new one.

        The place of a new one is a free one, or the least useful: of the camera that has most, the oldest.
        """
        if len(vector) != self.dimension:
            self._allocate(len(vector))
        mine = np.flatnonzero(self._camera[entry] == camera)
        if len(mine):
            cosines = self._vectors[entry, mine] @ vector
            nearest = int(mine[int(np.argmax(cosines))])
            if cosines.max() >= same or len(mine) >= max(self._prototypes // 2, 1):
                weight = min(self._weight[entry, nearest], 9.0)
                blend = self._vectors[entry, nearest] * weight + vector
                self._vectors[entry, nearest] = blend / max(float(np.linalg.norm(blend)), 1e-9)
                self._weight[entry, nearest] += 1
                self._seen_ns[entry, nearest] = captured_ns
                return
        free = np.flatnonzero(self._camera[entry] < 0)
        place = int(free[0]) if len(free) else self._least_useful(entry)
        self._vectors[entry, place] = vector
        self._camera[entry, place] = camera
        self._weight[entry, place] = 1
        self._seen_ns[entry, place] = captured_ns

    def _least_useful(self, entry: int) -> int:
        cameras, counts = np.unique(self._camera[entry], return_counts=True)
        crowded = cameras[int(np.argmax(counts))]
        age = np.where(self._camera[entry] == crowded, self._seen_ns[entry], np.iinfo(np.int64).max)
        return int(np.argmin(age))

    def between(self, entry: I4, other: I4) -> F4:
        """How alike people's prototypes are, of pairs (n,) of entries, (n, 2): of one camera, of two cameras; -2: none.

        The mean, over the prototypes of `entry`, of the best cosine with the other's, as for a crop.
        """
        pair, slot = np.nonzero(self._camera[entry] >= 0)
        rows, camera = self._vectors[entry[pair], slot], self._camera[entry[pair], slot]
        best = self.compare(rows, camera, np.arange(len(pair), dtype=np.int32), other[pair])
        out = np.full((len(entry), 2), -2, np.float32)
        for kind in (SAME_CAMERA, OTHER_CAMERA):
            known = best[:, kind] > -2
            count = np.bincount(pair[known], minlength=len(entry))
            total = np.bincount(pair[known], best[known, kind], minlength=len(entry))
            out[count > 0, kind] = total[count > 0] / count[count > 0]
        return out
