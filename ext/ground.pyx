"""Foot points of boxes -> metres with covariance, for every camera of a batch in one GIL-free pass.

`spoton_edge/ground_plane.py` explains the model and fills the table; `tests/reference_identity.py` has the slow twin.
"""

from libc.math cimport NAN, fabs, isfinite, sqrt

import numpy as np

# A camera's row in the table: 9 of image -> floor, 12 of world -> image, the picture's size, whether
# there is a plane, how many times the usual doubt there is in heights (0: they cannot be read), how tall people
# look through this calibration (m), how many of them were measured, and 13 of the lens (`lens.Lens.row`; focal
# length 0: it bends nothing).
COLUMNS = 40
# What `model` holds, see ground_plane.FootModel.
MODEL = 13

cdef enum:
    _P = 9
    _WIDTH = 21
    _HEIGHT = 22
    _HAS_PLANE = 23
    _HAS_VERTICAL = 24
    _PEOPLE_M = 25
    _PEOPLE_SEEN = 26
    _LENS = 27
    _COLUMNS = 40

cdef enum:
    SD_U
    SD_V_SEEN
    SD_V_COVERED
    SD_V_CUT
    HEIGHT_M
    SD_HEIGHT_M
    SHOE_M
    SD_CALIBRATION_M
    ASPECT
    SD_SIDE
    EDGE
    COVER
    SURE_SCORE
    MODEL_SIZE

cdef enum:
    SEEN = 0
    COVERED = 1
    CUT = 2
    OUTSIDE = 3
    UNPLACED = 4
    SIDE = 5


cdef struct Point:
    double x, y
    double ju[2]  # d(x, y)/du
    double jv[2]  # d(x, y)/dv
    bint valid


cdef Point floor_point(const double *h, double u, double v) noexcept nogil:
    """The homography and its Jacobian at a pixel; a pixel on or above the horizon is not valid.

    `h` is scaled so that the third coordinate is positive below the horizon.
    """
    cdef Point out
    cdef double x = h[0] * u + h[1] * v + h[2]
    cdef double y = h[3] * u + h[4] * v + h[5]
    cdef double w = h[6] * u + h[7] * v + h[8]
    out.valid = w > 1e-12
    out.x = x / w if out.valid else NAN
    out.y = y / w if out.valid else NAN
    out.ju[0] = (h[0] - h[6] * out.x) / w if out.valid else NAN
    out.ju[1] = (h[3] - h[6] * out.y) / w if out.valid else NAN
    out.jv[0] = (h[1] - h[7] * out.x) / w if out.valid else NAN
    out.jv[1] = (h[4] - h[7] * out.y) / w if out.valid else NAN
    return out


cdef bint point_at_height(const double *p, double u, double v, double z, double *x, double *y) noexcept nogil:
    """Where on the floor stands what is seen at pixel (u, v) at z metres above it; 2x2 solve of the projection."""
    cdef double a = p[0] - u * p[8]
    cdef double b = p[1] - u * p[9]
    cdef double c = p[4] - v * p[8]
    cdef double d = p[5] - v * p[9]
    cdef double e = u * (p[10] * z + p[11]) - (p[2] * z + p[3])
    cdef double f = v * (p[10] * z + p[11]) - (p[6] * z + p[7])
    cdef double det = a * d - b * c
    if fabs(det) < 1e-12:
        return False
    x[0] = (e * d - b * f) / det
    y[0] = (a * f - e * c) / det
    return p[8] * x[0] + p[9] * y[0] + p[10] * z + p[11] > 0


cdef double height_of(const double *p, double x, double y, double v) noexcept nogil:
    """How far above the floor point (x, y) the picture's row v is, in m; NaN where rows do not tell."""
    cdef double below = p[6] - v * p[10]
    return (v * (p[8] * x + p[9] * y + p[11]) - (p[4] * x + p[5] * y + p[7])) / below if fabs(below) > 1e-12 else NAN


cdef bint bend(const double *lens, double x, double y, double *out, double *j) noexcept nogil:
    """Normalised straight point -> bent, with the Jacobian j = dx/dx, dx/dy = dy/dx, dy/dy; see lens.py."""
    cdef double r2 = x * x + y * y
    cdef double over = 1 + r2 * (lens[4] + r2 * (lens[5] + r2 * lens[8]))
    cdef double under = 1 + r2 * (lens[9] + r2 * (lens[10] + r2 * lens[11]))
    cdef double radial = over / under
    cdef double slope = (
        lens[4] + r2 * (2 * lens[5] + 3 * r2 * lens[8])
        - radial * (lens[9] + r2 * (2 * lens[10] + 3 * r2 * lens[11]))
    ) / under
    out[0] = x * radial + 2 * lens[6] * x * y + lens[7] * (r2 + 2 * x * x)
    out[1] = y * radial + lens[6] * (r2 + 2 * y * y) + 2 * lens[7] * x * y
    j[0] = radial + 2 * x * x * slope + 2 * lens[6] * y + 6 * lens[7] * x
    j[1] = 2 * x * y * slope + 2 * lens[6] * x + 2 * lens[7] * y
    j[2] = radial + 2 * y * y * slope + 6 * lens[6] * y + 2 * lens[7] * x
    return r2 <= lens[12] * lens[12]


cdef bint straighten(const double *lens, double *u, double *v) noexcept nogil:
    """A pixel of the picture to the straight one, in place, by Newton's method; False where the lens sees nothing."""
    cdef double x, y, seen_x, seen_y, ex, ey, det
    cdef double bent[2]
    cdef double j[3]
    cdef int step
    if lens[0] == 0:
        return True
    x = seen_x = (u[0] - lens[2]) / lens[0]
    y = seen_y = (v[0] - lens[3]) / lens[1]
    for step in range(12):
        bend(lens, x, y, bent, j)
        ex = bent[0] - seen_x
        ey = bent[1] - seen_y
        if fabs(ex) + fabs(ey) < 1e-12:
            break
        det = j[0] * j[2] - j[1] * j[1]
        x -= (j[2] * ex - j[1] * ey) / det
        y -= (j[0] * ey - j[1] * ex) / det
    if not bend(lens, x, y, bent, j) or not fabs(bent[0] - seen_x) + fabs(bent[1] - seen_y) < 1e-9:
        return False
    u[0] = x * lens[0] + lens[2]
    v[0] = y * lens[1] + lens[3]
    return True


cdef bint seen_at(const double *plane, double x, double y, double *u, double *v) noexcept nogil:
    """The pixel of the picture in which a place of the floor is seen; False behind the camera or beyond the lens."""
    cdef const double *p = plane + _P
    cdef const double *lens = plane + _LENS
    cdef double w = p[8] * x + p[9] * y + p[11]
    cdef double bent[2]
    cdef double j[3]
    if w <= 0:
        return False
    u[0] = (p[0] * x + p[1] * y + p[3]) / w
    v[0] = (p[4] * x + p[5] * y + p[7]) / w
    if lens[0] == 0:
        return True
    if not bend(lens, (u[0] - lens[2]) / lens[0], (v[0] - lens[3]) / lens[1], bent, j):
        return False
    u[0] = bent[0] * lens[0] + lens[2]
    v[0] = bent[1] * lens[1] + lens[3]
    return True


cdef bint inside(const double *polygon, Py_ssize_t corners, double u, double v) noexcept nogil:
    """Even-odd rule; a region without corners holds everything."""
    cdef Py_ssize_t i, j = corners - 1
    cdef bint odd = corners == 0
    for i in range(corners):
        if (polygon[2 * i + 1] > v) != (polygon[2 * j + 1] > v):
            if u < (polygon[2 * j] - polygon[2 * i]) * (v - polygon[2 * i + 1]) / (
                polygon[2 * j + 1] - polygon[2 * i + 1]
            ) + polygon[2 * i]:
                odd = not odd
        j = i
    return odd


cdef double foot_covered(const float *xyxy, const short *camera, Py_ssize_t rows, Py_ssize_t i) noexcept nogil:
    """The largest share of box i's lower third that a nearer box of the same camera covers."""
    cdef const float *box = xyxy + 4 * i
    cdef Py_ssize_t j
    cdef double most = 0.0
    cdef double top = box[3] - (box[3] - box[1]) / 3.0
    cdef double area = (box[2] - box[0]) * (box[3] - top)
    if area <= 0:
        return 0.0
    # Rows lie camera after camera: walk out from i while the camera is the same.
    for j in range(i - 1, -1, -1):
        if camera[j] != camera[i]:
            break
        most = max(most, overlap(box, xyxy + 4 * j, top) / area)
    for j in range(i + 1, rows):
        if camera[j] != camera[i]:
            break
        most = max(most, overlap(box, xyxy + 4 * j, top) / area)
    return most


cdef inline double overlap(const float *box, const float *other, double top) noexcept nogil:
    if other[3] <= box[3]:  # its feet are farther up the picture: it stands behind
        return 0.0
    cdef double w = min(box[2], other[2]) - max(box[0], other[0])
    cdef double h = min(box[3], other[3]) - max(top, <double>other[1])
    return w * h if w > 0 and h > 0 else 0.0


def project(
    const short[::1] camera not None,
    const float[:, ::1] xyxy not None,
    const float[::1] score not None,
    double[:, ::1] table not None,
    const double[:, ::1] corners not None,
    const int[::1] offsets not None,
    const double[::1] model not None,
    double[:, ::1] xy not None,
    double[:, ::1] cov not None,
    double[::1] tall not None,
    unsigned char[::1] foot not None,
):
    """Place the boxes of all cameras; rows of one camera must lie together.

    table    (C, COLUMNS) one row a camera, whose last two columns learn how tall people look; corners (n, 2), offsets (C + 1,) its region's polygon
    model    (MODEL,) see `ground_plane.FootModel`
    xy, cov  (T, 2) m, (T, 3) m^2 xx, xy, yy; tall (T,) m, from the floor to the box's top; foot (T,) FootPoint: written
             in place, NaN where a box cannot be placed, or its top and its feet are not both seen
    """
    cdef Py_ssize_t rows = camera.shape[0]
    cdef Py_ssize_t i
    if xyxy.shape[0] != rows or score.shape[0] != rows or tall.shape[0] != rows:
        raise ValueError("camera, xyxy, score and tall must have the same number of rows")
    if xy.shape[0] != rows or cov.shape[0] != rows or foot.shape[0] != rows:
        raise ValueError("xy, cov and foot must have a row for each box")
    if xyxy.shape[1] != 4 or xy.shape[1] != 2 or cov.shape[1] != 3 or table.shape[1] != _COLUMNS:
        raise ValueError("wrong number of columns")
    if model.shape[0] != MODEL_SIZE or offsets.shape[0] != table.shape[0] + 1:
        raise ValueError("model must have MODEL numbers, offsets one more than there are cameras")
    for i in range(rows):
        if not 0 <= camera[i] < table.shape[0]:
            raise ValueError(f"camera {camera[i]} has no row in the table of {table.shape[0]}")
    with nogil:
        for i in range(rows):
            place(camera, xyxy, score, table, corners, offsets, model, i, &xy[i, 0], &cov[i, 0], &tall[i], &foot[i])


cdef void place(
    const short[::1] camera,
    const float[:, ::1] xyxy,
    const float[::1] score,
    double[:, ::1] table,
    const double[:, ::1] corners,
    const int[::1] offsets,
    const double[::1] model,
    Py_ssize_t i,
    double *xy,
    double *cov,
    double *tall,
    unsigned char *foot,
) noexcept nogil:
    cdef Py_ssize_t c = camera[i]
    cdef double *plane = &table[c, 0]
    cdef double u = 0.5 * (xyxy[i, 0] + xyxy[i, 2])
    cdef double v = xyxy[i, 3]
    cdef double box_height = xyxy[i, 3] - xyxy[i, 1]
    cdef double head_u, head_v = xyxy[i, 1]
    cdef double edge = model[EDGE] * plane[_HEIGHT], side = model[EDGE] * plane[_WIDTH]
    cdef bint cut_left = xyxy[i, 0] <= side, cut_right = xyxy[i, 2] >= plane[_WIDTH] - side
    cdef double su = model[SD_U] * box_height
    cdef double sd_v = model[SD_V_SEEN]
    cdef double sv, length, doubt, xx, xy_, yy, jx, jy, hx, hy, x1, y1, a, b, d, det
    cdef Point p
    xy[0] = xy[1] = cov[0] = cov[1] = cov[2] = tall[0] = NAN
    foot[0] = UNPLACED
    if plane[_HAS_PLANE] == 0 or not isfinite(u + v + box_height) or box_height <= 0:
        return
    if not inside(&corners[offsets[c], 0] if offsets[c + 1] > offsets[c] else NULL, offsets[c + 1] - offsets[c], u, v):
        foot[0] = OUTSIDE
        return
    foot[0] = SEEN
    if v >= plane[_HEIGHT] - edge:
        foot[0] = CUT
        # A box that goes on below the picture is the detector's guess at the whole body.
        sd_v = model[SD_V_CUT] if v <= plane[_HEIGHT] + edge else model[SD_V_COVERED]
    elif score[i] < model[SURE_SCORE] or foot_covered(&xyxy[0, 0], &camera[0], camera.shape[0], i) > model[COVER]:
        foot[0] = COVERED
        sd_v = model[SD_V_COVERED]
    # Of who is cut by the picture's side the middle lies half a person's width from the edge that is seen; and what is
    # left of him, an arm or a leg, ends anywhere.
    if cut_left or cut_right:
        if foot[0] == SEEN:
            foot[0] = SIDE
        su = model[SD_SIDE] * box_height
        sd_v = max(sd_v, model[SD_SIDE])
        if not cut_right:
            u = min(u, xyxy[i, 2] - 0.5 * model[ASPECT] * box_height)
        elif not cut_left:
            u = max(u, xyxy[i, 0] + 0.5 * model[ASPECT] * box_height)
    head_u = u
    # What is left is geometry, and that is done in straight pixels.
    if not straighten(plane + _LENS, &u, &v) or not straighten(plane + _LENS, &head_u, &head_v):
        foot[0] = UNPLACED
        return
    p = floor_point(plane, u, v)
    if not p.valid:
        foot[0] = UNPLACED
        return
    # The box ends at the nearer shoe: the body's axis is farther away, along the floor's image of "down the picture".
    length = sqrt(p.jv[0] * p.jv[0] + p.jv[1] * p.jv[1])
    if length > 0:
        p.x -= model[SHOE_M] * p.jv[0] / length
        p.y -= model[SHOE_M] * p.jv[1] / length
    sv = sd_v * box_height
    xx = su * su * p.ju[0] * p.ju[0] + sv * sv * p.jv[0] * p.jv[0]
    xy_ = su * su * p.ju[0] * p.ju[1] + sv * sv * p.jv[0] * p.jv[1]
    yy = su * su * p.ju[1] * p.ju[1] + sv * sv * p.jv[1] * p.jv[1]
    # A covered box may yet be a whole body, by the detector's guess: what reads its height must know how it guesses.
    if foot[0] != CUT and plane[_HAS_VERTICAL] != 0 and xyxy[i, 1] > edge:
        tall[0] = height_of(plane + _P, p.x, p.y, head_v)
        if not 1.0 < tall[0] < 2.5:
            tall[0] = NAN
        elif foot[0] == SEEN:
            # How tall people look is learned: the calibration's vertical is a guess, and so is the detector's idea of
            # a head.
            plane[_PEOPLE_SEEN] += 1
            plane[_PEOPLE_M] += max(-0.2, min(0.2, tall[0] - plane[_PEOPLE_M])) / min(plane[_PEOPLE_SEEN] + 20, 2000)
    # Feet that are not seen: the head, at the height of people, says where they are. Both say something: weigh them.
    if (foot[0] == COVERED or foot[0] == CUT) and plane[_HAS_VERTICAL] != 0 and xyxy[i, 1] > edge:
        doubt = model[SD_HEIGHT_M] * (plane[_HAS_VERTICAL] if plane[_PEOPLE_SEEN] < 100 else 1.0)
        if point_at_height(plane + _P, head_u, head_v, plane[_PEOPLE_M], &hx, &hy) and point_at_height(
            plane + _P, head_u, head_v, plane[_PEOPLE_M] + doubt, &x1, &y1
        ):
            jx = x1 - hx
            jy = y1 - hy
            # Across the line of sight the head is as sure as the foot; along it, as sure as the height is.
            a = su * su * p.ju[0] * p.ju[0] + jx * jx + 1e-9
            b = su * su * p.ju[0] * p.ju[1] + jx * jy
            d = su * su * p.ju[1] * p.ju[1] + jy * jy + 1e-9
            fuse(&p.x, &p.y, &xx, &xy_, &yy, hx, hy, a, b, d)
    xy[0] = p.x
    xy[1] = p.y
    cov[0] = xx + model[SD_CALIBRATION_M] * model[SD_CALIBRATION_M]
    cov[1] = xy_
    cov[2] = yy + model[SD_CALIBRATION_M] * model[SD_CALIBRATION_M]
    det = xx + yy
    if not isfinite(p.x + p.y + det) or det > 400.0:  # more than 20 m unsure: near the horizon, no place at all
        xy[0] = xy[1] = cov[0] = cov[1] = cov[2] = tall[0] = NAN
        foot[0] = UNPLACED


cdef void fuse(
    double *x, double *y, double *xx, double *xy, double *yy, double hx, double hy, double a, double b, double d
) noexcept nogil:
    """The covariance-weighted mean of two positions, in place of the first."""
    cdef double sa = xx[0] + a, sb = xy[0] + b, sd = yy[0] + d
    cdef double det = sa * sd - sb * sb
    if det <= 0:
        return
    cdef double k00 = (xx[0] * sd - xy[0] * sb) / det
    cdef double k01 = (xy[0] * sa - xx[0] * sb) / det
    cdef double k10 = (xy[0] * sd - yy[0] * sb) / det
    cdef double k11 = (yy[0] * sa - xy[0] * sb) / det
    cdef double ex = hx - x[0], ey = hy - y[0]
    x[0] += k00 * ex + k01 * ey
    y[0] += k10 * ex + k11 * ey
    cdef double nxx = xx[0] - k00 * xx[0] - k01 * xy[0]
    cdef double nxy = xy[0] - k00 * xy[0] - k01 * yy[0]
    cdef double nyy = yy[0] - k10 * xy[0] - k11 * yy[0]
    xx[0] = nxx
    xy[0] = nxy
    yy[0] = nyy


cdef bint in_picture(
    const double *plane, const double *region, Py_ssize_t corners, double x, double y, double *u, double *v
) noexcept nogil:
    """Whether a place of the floor is in a camera's picture and region, and its pixel."""
    if plane[_HAS_PLANE] == 0 or not isfinite(x + y) or not seen_at(plane, x, y, u, v):
        return False
    if fabs(u[0] / plane[_WIDTH] - 0.5) > 0.5 or fabs(v[0] / plane[_HEIGHT] - 0.5) > 0.5:
        return False
    return inside(region, corners, u[0], v[0])


cdef check_planes(const double[:, ::1] table, const double[:, ::1] corners, const int[::1] offsets):
    cdef Py_ssize_t c
    if table.shape[1] != _COLUMNS or corners.shape[1] != 2 or offsets.shape[0] != table.shape[0] + 1:
        raise ValueError("table must be (C, COLUMNS), corners (n, 2) and offsets (C + 1,)")
    for c in range(table.shape[0]):
        if not 0 <= offsets[c] <= offsets[c + 1] <= corners.shape[0]:
            raise ValueError("offsets must ascend within corners")


def sight(
    const double[:, :] xy not None,
    const double[:, ::1] table not None,
    const double[:, ::1] corners not None,
    const int[::1] offsets not None,
    const short[::1] camera not None,
    const float[:, ::1] xyxy not None,
    double margin,
    unsigned char[:, ::1] flags not None,
):
    """What cameras have to do with people who stand at xy (M, 2): flags (M, C), 1 in view, and 2 where a miss has no excuse.

    Excuses are: not in view, or within `margin` of the picture's edge, or behind a box (T, 4) of that camera. Boxes lie
    camera after camera, ascending.
    """
    cdef Py_ssize_t i, c, k, rows = camera.shape[0], cameras = table.shape[0]
    cdef double u = 0, v = 0
    cdef unsigned char flag
    if flags.shape[0] != xy.shape[0] or flags.shape[1] != cameras or xyxy.shape[0] != rows:
        raise ValueError("flags must be (M, C), xyxy (T, 4) with one camera each")
    if xy.shape[1] != 2 or xyxy.shape[1] != 4:
        raise ValueError("wrong number of columns")
    check_planes(table, corners, offsets)
    cdef int[::1] first = np.zeros(cameras + 1, np.int32)  # box of each camera
    for k in range(rows):
        if not 0 <= camera[k] < cameras or (k and camera[k - 1] > camera[k]):
            raise ValueError("cameras of boxes must ascend, and have a row in the table")
        first[camera[k] + 1] = <int>k + 1
    with nogil:
        for c in range(cameras):
            first[c + 1] = max(first[c], first[c + 1])
        for i in range(xy.shape[0]):
            for c in range(cameras):
                flags[i, c] = 0
                if not in_picture(
                    &table[c, 0], &corners[0, 0] + 2 * offsets[c] if corners.shape[0] else NULL, offsets[c + 1] - offsets[c],
                    xy[i, 0], xy[i, 1], &u, &v,
                ):
                    continue
                flag = 3
                if fabs(u / table[c, _WIDTH] - 0.5) > 0.5 - margin or fabs(v / table[c, _HEIGHT] - 0.5) > 0.5 - margin:
                    flag = 1
                for k in range(first[c], first[c + 1] if flag == 3 else 0):
                    # A box that ends at the foot is somebody in this place, not somebody before it.
                    if xyxy[k, 0] <= u <= xyxy[k, 2] and xyxy[k, 1] <= v <= xyxy[k, 3] - 0.1 * (xyxy[k, 3] - xyxy[k, 1]):
                        flag = 1
                        break
                flags[i, c] = flag


def watched(
    const double[:, :] xy not None,
    const double[:, ::1] table not None,
    const double[:, ::1] corners not None,
    const int[::1] offsets not None,
    unsigned char[::1] out not None,
):
    """Whether places xy (M, 2) are in view of any camera: out (M,)."""
    cdef Py_ssize_t i, c, cameras = table.shape[0]
    cdef double u = 0, v = 0
    if xy.shape[1] != 2 or out.shape[0] != xy.shape[0]:
        raise ValueError("xy must be (M, 2) and out (M,)")
    check_planes(table, corners, offsets)
    with nogil:
        for i in range(xy.shape[0]):
            out[i] = False
            for c in range(cameras):
                if in_picture(
                    &table[c, 0], &corners[0, 0] + 2 * offsets[c] if corners.shape[0] else NULL, offsets[c + 1] - offsets[c],
                    xy[i, 0], xy[i, 1], &u, &v,
                ):
                    out[i] = True
                    break


def learn_bias(
    double[:, ::1] bias not None,
    const double[:, ::1] table not None,
    const short[::1] camera not None,
    const int[::1] track not None,
    const double[:, ::1] xy not None,
    const double[:, ::1] state not None,
    double rate,
    double most_m,
):
    """Move each camera's bias (C, 2) m by `rate` of how far its foot points xy (T, 2) lie from their tracks, at most

    `most_m`; track (T,) is the row in state (M, 4), -1: none. Over the cameras that have a plane biases add up to 0.
    """
    cdef Py_ssize_t i, c, a, rows = camera.shape[0], learned = 0, placed = 0
    cdef double mean[2]
    if track.shape[0] != rows or xy.shape[0] != rows or xy.shape[1] != 2 or state.shape[1] != 4:
        raise ValueError("camera, track and xy (T, 2) must have the same number of rows, state (M, 4)")
    if bias.shape[0] != table.shape[0] or bias.shape[1] != 2 or table.shape[1] != _COLUMNS:
        raise ValueError("bias must be (C, 2) and table (C, COLUMNS)")
    for i in range(rows):
        if not 0 <= camera[i] < bias.shape[0] or track[i] >= state.shape[0]:
            raise ValueError(f"no camera {camera[i]}, or no track {track[i]}")
    with nogil:
        for i in range(rows):
            if track[i] >= 0:
                learned += 1
                for a in range(2):
                    bias[camera[i], a] += rate * max(-most_m, min(most_m, xy[i, a] - state[track[i], a]))
        mean[0] = mean[1] = 0.0
        for c in range(bias.shape[0]):
            if table[c, _HAS_PLANE] > 0:
                placed += 1
                mean[0] += bias[c, 0]
                mean[1] += bias[c, 1]
        for c in range(bias.shape[0] if learned else 0):
            if table[c, _HAS_PLANE] > 0:
                bias[c, 0] -= mean[0] / placed
                bias[c, 1] -= mean[1] / placed


def crowding(const short[::1] camera not None, const float[:, ::1] xyxy not None, float[::1] share not None):
    """The largest share of each box (T,) that another box of its camera covers; rows of one camera must lie together."""
    cdef Py_ssize_t i, j, rows = camera.shape[0]
    cdef double w, h, area
    if xyxy.shape[0] != rows or xyxy.shape[1] != 4 or share.shape[0] != rows:
        raise ValueError("camera, xyxy and share must have the same number of rows")
    with nogil:
        for i in range(rows):
            share[i] = 0
        for i in range(rows):
            for j in range(i + 1, rows):
                if camera[j] != camera[i]:
                    break
                w = min(xyxy[i, 2], xyxy[j, 2]) - max(xyxy[i, 0], xyxy[j, 0])
                h = min(xyxy[i, 3], xyxy[j, 3]) - max(xyxy[i, 1], xyxy[j, 1])
                if w <= 0 or h <= 0:
                    continue
                area = (xyxy[i, 2] - xyxy[i, 0]) * (xyxy[i, 3] - xyxy[i, 1])
                share[i] = max(share[i], <float>(w * h / area)) if area > 0 else 1
                area = (xyxy[j, 2] - xyxy[j, 0]) * (xyxy[j, 3] - xyxy[j, 1])
                share[j] = max(share[j], <float>(w * h / area)) if area > 0 else 1
