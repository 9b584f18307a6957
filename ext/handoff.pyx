"""The gate between the last sights of people who are gone and the first of newcomers, for all pairs in one GIL-free call.

`spoton_edge/handoff.py` explains it; the twin is in `tests/reference_identity.py`.
"""

from libc.math cimport hypot, isfinite, sqrt

from records cimport int16_t, int64_t, uint8_t

import numpy as np

NO_GATE, WALK_GATE, FIRST_LINK = -2, -1, 0
ANYWHERE, QUADRANT, POLYGON = 0, 1, 2  # kinds of zones

cdef enum:
    _NO_GATE = -2
    _WALK_GATE = -1
    _ANYWHERE = 0
    _QUADRANT = 1


cdef bint in_zone(int kind, const double *corner, Py_ssize_t corners, double u, double v) noexcept nogil:
    """A quadrant is the picture's middle and the signs of the way into it; a polygon goes by the even-odd rule."""
    cdef Py_ssize_t i, j = corners - 1
    cdef bint odd = False
    if kind == _ANYWHERE:
        return True
    if kind == _QUADRANT:
        return (u < corner[0]) == (corner[2] < 0) and (v < corner[1]) == (corner[3] < 0)
    for i in range(corners):
        if (corner[2 * i + 1] > v) != (corner[2 * j + 1] > v):
            if u < (corner[2 * j] - corner[2 * i]) * (v - corner[2 * i + 1]) / (
                corner[2 * j + 1] - corner[2 * i + 1]
            ) + corner[2 * i]:
                odd = not odd
        j = i
    return odd


cdef check_sights(camera, foot, seen_ns, xy, sd_m):
    if not len(camera) == len(foot) == len(seen_ns) == len(xy) == len(sd_m) or foot.shape[1] != 2 or xy.shape[1] != 2:
        raise ValueError("camera, foot (n, 2), seen_ns, xy (n, 2) and sd_m must have the same number of rows")


def gates(
    const int16_t[:] lost_camera not None,
    const double[:, :] lost_foot not None,
    const int64_t[:] lost_ns not None,
    const double[:, :] lost_xy not None,
    const double[:] lost_sd not None,
    const int16_t[:] new_camera not None,
    const double[:, :] new_foot not None,
    const int64_t[:] new_ns not None,
    const double[:, :] new_xy not None,
    const double[:] new_sd not None,
    const int16_t[:, ::1] link_cameras not None,
    const double[:, ::1] travel_s not None,
    const uint8_t[:, ::1] zone_kind not None,
    const int[::1] zone_start not None,
    const double[:, ::1] zone_corner not None,
    double max_speed_mps,
):
    """Which gate is open from each lost (L,) to each new sight (N,): (L, N) of NO_GATE, WALK_GATE or a link's number.

    link_cameras (K, 2) from and to; travel_s (K, 2) least and most; zone_kind (K, 2) of the zone that is left and of
    the one that is entered, whose corners are zone_corner[zone_start[2 k]: zone_start[2 k + 1]] and the next.
    """
    cdef Py_ssize_t left = lost_camera.shape[0], newcomers = new_camera.shape[0], links = link_cameras.shape[0], i, j, k, z
    cdef double gap_s, distance
    cdef bint placed, same, near, linked
    cdef int gate
    check_sights(lost_camera, lost_foot, lost_ns, lost_xy, lost_sd)
    check_sights(new_camera, new_foot, new_ns, new_xy, new_sd)
    if link_cameras.shape[1] != 2 or travel_s.shape[1] != 2 or zone_kind.shape[1] != 2 or zone_corner.shape[1] != 2:
        raise ValueError("links have two cameras, times and zones each, corners two numbers")
    if travel_s.shape[0] != links or zone_kind.shape[0] != links or zone_start.shape[0] != 2 * links + 1:
        raise ValueError("link_cameras, travel_s, zone_kind and zone_start must be of the same links")
    for z in range(2 * links):
        if not 0 <= zone_start[z] <= zone_start[z + 1] <= zone_corner.shape[0]:
            raise ValueError("zone_start must ascend within zone_corner")
        if zone_kind[z // 2, z % 2] == _QUADRANT and zone_start[z + 1] - zone_start[z] != 2:
            raise ValueError("a quadrant is a middle and a way")
    out_ = np.empty((left, newcomers), np.int16)
    cdef int16_t[:, ::1] out = out_
    cdef const double *corner = &zone_corner[0, 0] if zone_corner.shape[0] else NULL
    cdef uint8_t[:, ::1] leaves = np.empty((links, left + 1), np.uint8)
    cdef uint8_t[:, ::1] enters = np.empty((links, newcomers + 1), np.uint8)
    with nogil:
        for k in range(links):
            z = zone_start[2 * k]
            for i in range(left):
                leaves[k, i] = lost_camera[i] == link_cameras[k, 0] and in_zone(
                    zone_kind[k, 0], corner + 2 * z, zone_start[2 * k + 1] - z, lost_foot[i, 0], lost_foot[i, 1]
                )
            z = zone_start[2 * k + 1]
            for j in range(newcomers):
                enters[k, j] = new_camera[j] == link_cameras[k, 1] and in_zone(
                    zone_kind[k, 1], corner + 2 * z, zone_start[2 * k + 2] - z, new_foot[j, 0], new_foot[j, 1]
                )
        for i in range(left):
            linked = False
            for k in range(links):
                linked = linked or link_cameras[k, 0] == lost_camera[i]
            for j in range(newcomers):
                gap_s = <double>(new_ns[j] - lost_ns[i]) * 1e-9
                distance = sqrt(
                    (new_xy[j, 0] - lost_xy[i, 0]) * (new_xy[j, 0] - lost_xy[i, 0])
                    + (new_xy[j, 1] - lost_xy[i, 1]) * (new_xy[j, 1] - lost_xy[i, 1])
                )
                placed = isfinite(distance)
                near = not placed or distance <= max_speed_mps * max(gap_s, 0.0) + 3.0 * hypot(lost_sd[i], new_sd[j])
                same = lost_camera[i] == new_camera[j]
                gate = _WALK_GATE if (same or (placed and not linked)) and near and gap_s > 0 else _NO_GATE
                for k in range(links):
                    if leaves[k, i] and enters[k, j] and near and not same and travel_s[k, 0] <= gap_s <= travel_s[k, 1]:
                        gate = <int>k
                out[i, j] = <int16_t>gate
    return out_
