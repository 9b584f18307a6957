"""The list of people as JSON, straight from the arrays; its slow twin is `Encoder._people` and a JSON library.

Numbers are fixed point: rounded to a power of ten, then written as the shortest decimal that reads back the same double,
with one decimal at least ("328.0"). That holds below 1e15 units; a message with more takes the slow way.
"""

from libc.math cimport fabs, isfinite, rint
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy, strlen

cdef extern from "Python.h":
    object PyBytes_FromStringAndSize(const char *text, Py_ssize_t size)
    char *PyBytes_AS_STRING(object text)
    char *PyBytes_AsString(object text) except NULL

cdef enum:
    PERSON_BYTES = 420  # everything but the camera's name: 12 numbers of 24 and the keys
    VIEW_BYTES = 220

cdef double LARGEST = 1e15
cdef const char **STATES = [b"visible", b"coasting", b"lost"]


cdef inline char *put(char *at, const char *text) noexcept nogil:
    cdef size_t size = strlen(text)
    memcpy(at, text, size)
    return at + size


cdef inline char *put_int(char *at, int64_t value) noexcept nogil:
    cdef char digits[20]
    cdef int count = 0
    cdef uint64_t rest = <uint64_t>value
    if value < 0:
        at[0] = c'-'
        at += 1
        rest = 0 - rest
    while True:
        digits[count] = <char>(c'0' + rest % 10)
        count += 1
        rest //= 10
        if rest == 0:
            break
    while count > 0:
        count -= 1
        at[0] = digits[count]
        at += 1
    return at


cdef inline char *put_fixed(char *at, double value, double scale, int decimals, bint *fits) noexcept nogil:
    """A finite number rounded to 1 / scale = 10 ** -decimals."""
    cdef double scaled = rint(value * scale)
    cdef int64_t units, whole, part, unit = <int64_t>scale
    cdef int place
    if fabs(scaled) >= LARGEST:
        fits[0] = False
        return at
    units = <int64_t>scaled
    if units < 0:
        at[0] = c'-'
        at += 1
        units = -units
    whole = units // unit
    part = units - whole * unit
    at = put_int(at, whole)
    at[0] = c'.'
    at += 1
    for place in range(decimals):
        unit //= 10
        at[place] = <char>(c'0' + part // unit)
        part %= unit
    while decimals > 1 and at[decimals - 1] == c'0':
        decimals -= 1
    return at + decimals


cdef inline char *put_name(char *at, const char *const *names, int16_t camera) noexcept nogil:
    return put(at, names[camera]) if camera >= 0 else put(at, b"null")


cdef char *put_view(
    char *at, const char *name, int64_t track_id, const float *box, float score, bint *fits
) noexcept nogil:
    cdef int side
    at = put(at, b'{"camera":')
    at = put(at, name)
    at = put(at, b',"track_id":')
    at = put_int(at, track_id)
    if box != NULL:
        at = put(at, b',"box":[')
        for side in range(4):
            if side:
                at = put(at, b",")
            at = put_fixed(at, box[side] if isfinite(box[side]) else 0.0, 10.0, 1, fits)
        at = put(at, b"]")
    at = put(at, b',"score":')
    at = put_fixed(at, score if isfinite(score) else 0.0, 1000.0, 3, fits)
    return put(at, b"}")


cdef char *put_pair(
    char *at, const char *first, const char *second, double a, double b, bint *fits
) noexcept nogil:
    """Two members that are known together or not at all."""
    cdef bint known = isfinite(a) and isfinite(b)
    at = put(at, first)
    at = put_fixed(at, a, 1000.0, 3, fits) if known else put(at, b"null")
    at = put(at, second)
    return put_fixed(at, b, 1000.0, 3, fits) if known else put(at, b"null")


def people(
    const int64_t[::1] global_id not None,
    const double[:, ::1] xy not None,
    const double[:, ::1] velocity not None,
    const double[:, ::1] cov not None,
    const uint8_t[::1] state not None,
    const double[::1] age_s not None,
    const int16_t[::1] best_view not None,
    const int32_t[::1] row not None,
    const int16_t[::1] camera not None,
    const int64_t[::1] track_id not None,
    const float[:, ::1] xyxy not None,
    const float[::1] score not None,
    tuple names not None,
    bint boxes,
):
    """The JSON of `tracks`, as bytes; None where a number is too large for fixed point.

    The arrays are those of `GlobalTracks` and its `Views`; names are the cameras' by number, as JSON strings.

    Raises:
        ValueError: arrays that do not fit together, or a camera, state or row that does not exist.
    """
    cdef Py_ssize_t count = global_id.shape[0], views = row.shape[0], cameras = len(names), longest = 4, i, view = 0
    cdef const char *texts[256]
    cdef bint fits = True
    cdef char *start
    cdef char *at
    cdef const float *box
    if not (count == xy.shape[0] == velocity.shape[0] == cov.shape[0] == state.shape[0] == age_s.shape[0]
            == best_view.shape[0]):
        raise ValueError("the arrays of the people have different lengths")
    if not views == camera.shape[0] == track_id.shape[0] == xyxy.shape[0] == score.shape[0]:
        raise ValueError("the arrays of the views have different lengths")
    if xy.shape[1] != 2 or velocity.shape[1] != 2 or cov.shape[1] != 3 or xyxy.shape[1] != 4 or cameras > 256:
        raise ValueError("an array has the wrong width, or there are more than 256 cameras")
    for i in range(cameras):
        name = names[i]  # which the tuple keeps alive
        texts[i] = PyBytes_AsString(name)
        longest = max(longest, len(name))
    for i in range(count):
        if state[i] > 2 or not -1 <= best_view[i] < cameras:
            raise ValueError(f"person {i} has a state or a camera that does not exist")
    for i in range(views):
        if not 0 <= camera[i] < cameras or not (row[i - 1] if i else 0) <= row[i] < count:
            raise ValueError(f"view {i} has a camera that does not exist, or a row out of order")

    text = PyBytes_FromStringAndSize(NULL, 2 + count * (PERSON_BYTES + longest) + views * (VIEW_BYTES + longest))
    start = at = PyBytes_AS_STRING(text)
    with nogil:
        at = put(at, b"[")
        for i in range(count):
            at = put(at, b',{"id":' if i else b'{"id":')
            at = put_int(at, global_id[i])
            at = put_pair(at, b',"x":', b',"y":', xy[i, 0], xy[i, 1], &fits)
            at = put_pair(at, b',"vx":', b',"vy":', velocity[i, 0], velocity[i, 1], &fits)
            at = put(at, b',"cov":')
            if isfinite(cov[i, 0]) and isfinite(cov[i, 1]) and isfinite(cov[i, 2]):
                at = put_fixed(put(at, b"["), cov[i, 0], 1e5, 5, &fits)
                at = put_fixed(put(at, b","), cov[i, 1], 1e5, 5, &fits)
                at = put_fixed(put(at, b","), cov[i, 2], 1e5, 5, &fits)
                at = put(at, b"]")
            else:
                at = put(at, b"null")
            at = put(at, b',"state":"')
            at = put(at, STATES[state[i]])
            at = put(at, b'","age_s":')
            at = put_fixed(at, age_s[i], 1000.0, 3, &fits) if isfinite(age_s[i]) else put(at, b"null")
            at = put(at, b',"best_view":')
            at = put_name(at, texts, best_view[i])
            at = put(at, b',"views":[')
            while view < views and row[view] == i:
                if view and row[view - 1] == i:
                    at = put(at, b",")
                box = &xyxy[view, 0] if boxes else NULL
                at = put_view(at, texts[camera[view]], track_id[view], box, score[view], &fits)
                view += 1
            at = put(at, b"]}")
        at = put(at, b"]")
    return text[:at - start] if fits else None
