"""The numbers of the identity stage, each with what it means; nats are natural-log units of evidence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Policy:
    """Derived from how people, detectors and trackers behave in general; none is fitted to a site."""

    # Matching tracklets to tracks.
    gate: float = 25.0  # squared Mahalanobis distance, 2 degrees of freedom: five standard deviations
    side_gate: float = 6.0  # of a box cut by the picture's side, 95 in 100: another may just come in where one goes
    stranger_per_m2: float = 0.005  # density of boxes that are nobody known, per camera and frame
    # A single-camera tracker's word counts only where it knows more than the floor does: where foot points are far
    # less sure than boxes are wide, and no other box of the camera continues the tracklet nearly as well.
    habit_nats: float = 4.6  # then it goes astray in one frame of a hundred
    habit_margin: float = 0.4  # of IoU, by which the tracklet's own box must lead; all counts at as much again
    habit_sd_m: float = 0.35  # of the foot point; all counts at twice as much
    # Always, where a tracklet is somebody who has an id already, one level below: who has another there is another.
    steady_tracklets: bool = False
    sweeps: int = 2  # rounds in which each camera looks again, at where the others put people
    leads: int = 4  # attempts at it, in each of which another camera begins
    # Whether somebody is there.
    hit_nats: float = 1.5  # what a view says for a person's being there,
    miss_nats: float = 0.6  # and a camera that ought to see him and does not says against it;
    shadow: float = 0.25  # a box that somebody known explains as well counts for so much of a view
    evidence_s: float = 0.2  # frames nearer to each other than this repeat each other's mistakes
    sure_nats: float = 2.5  # a candidate is a person
    inner_nats: float = 3.0  # and so much more where nobody can have come to unseen
    settle_s: float = 2.0  # at the start people may be anywhere
    most_nats: float = 6.0
    # Out of sight.
    coast_s: float = 3.0
    coast_sd_m: float = 1.0
    leave_s: float = 0.2  # unseen, and in nobody's view
    # Taking up an old id.
    newcomer_per_m2: float = 0.01  # where somebody new turns up: anywhere on a site of 100 m^2
    returner_share: float = 0.2  # of those who come in, how many were here within `forget_s`
    link_share: float = 1.0  # who left by a link comes in at its end as often as newcomers do
    posterior_nats: float = 2.2  # an old id is given at odds of 9 to 1 or better
    doubt_nats: float = -1.0  # above this an old id is possible enough to wait for evidence
    rethink_s: float = 4.0  # how long after he got a new id somebody may yet turn out to have an old one,
    rethink_nats: float = 5.0  # at those odds, times the sixteen looks at him in that time
    hold_s: float = 1.0  # how long a sure candidate may wait for it
    # One person or two.
    twin_m: float = 0.2  # tracks of one person differ by their cameras' bias
    tell_apart_nats: float = 3.0  # a camera that sees two tracks side by side says that they are two people
    most_tell_apart_nats: float = 20.0
    one_nats: float = 8.0  # cameras that see only one of them say that they are one; at so much they are
    # How tall people are.
    stature_sd_m: float = 0.02  # one person's readings by so much, however many they are: shoes, hair, bearing
    stature_odd: float = 0.1  # of somebody who bends or sits, or is boxed badly
    stature_late: float = 8.0  # readings, `evidence_s` apart, that count as what somebody has been lately
    stature_enough: float = 6.0  # so many at least
    stature_most: float = 150.0  # and as what he is
    exchange_nats: float = 5.0  # the most that meeting clearly apart says against having been exchanged then
