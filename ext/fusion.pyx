"""The ground-plane Kalman filter of all global tracks: predict and update. GIL-free, in place.

A track is x, y, vx, vy (m, m/s) with covariance (4, 4). Velocity is an Ornstein-Uhlenbeck process: people keep going
for a while, then stop or turn, so that the speed of somebody unseen does not stay what it was. The twin is in
`tests/reference_identity.py`.
"""

from libc.math cimport exp, sqrt

from ground_kalman cimport ground_absorb, ground_innovate, ground_innovation


def predict(
    double[:, ::1] state not None,
    double[:, :, ::1] cov not None,
    const double[::1] dt_s not None,
    double speed_sd_mps,
    double keep_s,
):
    """Move tracks (M, 4), (M, 4, 4) on by dt_s (M,); speeds have the given spread and keep their value for `keep_s`."""
    cdef Py_ssize_t i, a, b
    cdef double t, f, g, qxx, qxv, qvv
    cdef double var = speed_sd_mps * speed_sd_mps
    cdef double p[4][4]
    if state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4:
        raise ValueError("a track has 4 numbers and a 4 x 4 covariance")
    if cov.shape[0] != state.shape[0] or dt_s.shape[0] != state.shape[0]:
        raise ValueError("state, cov and dt_s must have the same number of rows")
    with nogil:
        for i in range(state.shape[0]):
            t = dt_s[i]
            if t <= 0:
                continue
            f = exp(-t / keep_s)
            g = keep_s * (1 - f)
            qxx = var * keep_s * keep_s * (2 * t / keep_s - 3 + 4 * f - f * f)
            qxv = var * keep_s * (1 - f) * (1 - f)
            qvv = var * (1 - f * f)
            for a in range(2):
                state[i, a] += g * state[i, 2 + a]
                state[i, 2 + a] *= f
            for a in range(4):
                for b in range(4):
                    p[a][b] = cov[i, a, b]
            for a in range(2):
                for b in range(2):
                    cov[i, a, b] = p[a][b] + g * (p[a + 2][b] + p[a][b + 2]) + g * g * p[a + 2][b + 2]
                    cov[i, a, b + 2] = f * (p[a][b + 2] + g * p[a + 2][b + 2])
                    cov[i, b + 2, a] = cov[i, a, b + 2]
                    cov[i, a + 2, b + 2] = f * f * p[a + 2][b + 2]
            for a in range(2):
                cov[i, a, a] += qxx
                cov[i, a, a + 2] += qxv
                cov[i, a + 2, a] += qxv
                cov[i, a + 2, a + 2] += qvv


def update(
    double[:, ::1] state not None,
    double[:, :, ::1] cov not None,
    const int[::1] track not None,
    const double[:, ::1] xy not None,
    const double[:, ::1] r not None,
    const double[::1] lag_s not None,
    double limit,
    double max_speed_mps,
    unsigned char[::1] taken not None,
):
    """Feed foot points (n, 2) to the tracks (n,) they belong to; rows of one track must lie together, the surest first.

    taken (n,) is 0 where a view lies beyond `limit` of the track, or of a view taken before: it is left out, not
    averaged in.
    """
    cdef Py_ssize_t i, j, q
    cdef double ex, ey, sxx, sxy, syy, det
    cdef double speed
    cdef ground_innovation n
    if track.shape[0] != xy.shape[0] or r.shape[0] != xy.shape[0] or lag_s.shape[0] != xy.shape[0]:
        raise ValueError("track, xy, r and lag_s must have the same number of rows")
    if taken.shape[0] != xy.shape[0] or xy.shape[1] != 2 or r.shape[1] != 3:
        raise ValueError("wrong shapes")
    if state.shape[1] != 4 or cov.shape[1] != 4 or cov.shape[2] != 4 or cov.shape[0] != state.shape[0]:
        raise ValueError("a track has 4 numbers and a 4 x 4 covariance")
    for i in range(track.shape[0]):
        if not 0 <= track[i] < state.shape[0]:
            raise ValueError(f"no track {track[i]}")
    with nogil:
        for i in range(track.shape[0]):
            j = track[i]
            n = ground_innovate(&state[j, 0], &cov[j, 0, 0], &xy[i, 0], &r[i, 0], lag_s[i])
            taken[i] = n.d2 <= limit
            for q in range(i - 1, -1, -1):
                if track[q] != j or not taken[i]:
                    break
                if taken[q]:
                    ex = xy[i, 0] - xy[q, 0] + (lag_s[i] - lag_s[q]) * state[j, 2]
                    ey = xy[i, 1] - xy[q, 1] + (lag_s[i] - lag_s[q]) * state[j, 3]
                    sxx = r[i, 0] + r[q, 0]
                    sxy = r[i, 1] + r[q, 1]
                    syy = r[i, 2] + r[q, 2]
                    det = sxx * syy - sxy * sxy
                    taken[i] = syy * ex * ex - 2 * sxy * ex * ey + sxx * ey * ey <= limit * det
            if not taken[i]:
                continue
            ground_absorb(&state[j, 0], &cov[j, 0, 0], n, &r[i, 0])
            speed = sqrt(state[j, 2] * state[j, 2] + state[j, 3] * state[j, 3])
            if speed > max_speed_mps:
                state[j, 2] *= max_speed_mps / speed
                state[j, 3] *= max_speed_mps / speed
