"""ByteTrack for one camera and for many: checks at the border, then one call without the GIL.

Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box", ECCV 2022. The arithmetic is in
`ext/c/bytetrack.c`; its slow, obvious twin is `ByteTrack` in `tests/reference.py`.
"""

cimport cython
from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_SIMPLE, PyBUF_WRITABLE
from cpython.buffer cimport PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

cdef extern from "crew.h" nogil:
    ctypedef struct crew:
        pass
    ctypedef void (*crew_work)(void *job, int item, int worker) noexcept nogil
    crew *crew_start(int threads)
    void crew_run(crew *crew, crew_work work, void *job, int items)
    void crew_stop(crew *crew)

cdef extern from "bytetrack.h" nogil:
    ctypedef struct bytetrack_rules:
        float high_score, low_score, new_score
        double match_limit, second_match_limit, new_match_limit, duplicate_limit, pixel
    ctypedef struct bytetrack:
        int n_active
        int64_t max_lost_frames
    ctypedef struct bytetrack_scratch:
        pass
    void bytetrack_init(bytetrack *camera, int64_t max_lost_frames)
    void bytetrack_forget(bytetrack *camera)
    int bytetrack_reserve(bytetrack *camera, bytetrack_scratch *scratch, int n)
    void bytetrack_update(bytetrack *camera, bytetrack_scratch *scratch, const bytetrack_rules *rules,
                          const float *xyxy, const float *score, int n)
    void bytetrack_predict(bytetrack *camera)
    void bytetrack_copy(const bytetrack *camera, int64_t *track_id, float *xyxy, float *score, uint8_t *state)
    void bytetrack_free(bytetrack *camera)
    void bytetrack_scratch_free(bytetrack_scratch *scratch)
    int64_t bytetrack_check(const float *xyxy, const float *score, int64_t rows, int *column)

cdef object empty = np.empty
cdef object I8 = np.dtype(np.int64), F4 = np.dtype(np.float32), U1 = np.dtype(np.uint8)

cdef enum:
    MOST_BOXES = 1 << 24
    MOST_CAMERAS = 32767  # numbered in 16 bits
    MOST_THREADS = 256


# ---- what comes in -------------------------------------------------------------------------------------------------

@cython.freelist(8)
cdef class _Array:
    """A borrowed C-contiguous NumPy array of the wanted buffer format and dimensions."""

    cdef Py_buffer view
    cdef bint held

    def __cinit__(self, array, char kind, int ndim, str name, str wanted):
        try:
            PyObject_GetBuffer(array, &self.view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT)
            self.held = True
        except (BufferError, TypeError, ValueError):
            raise _unfit(array, name, wanted) from None
        if self.view.ndim != ndim or self.view.format[0] != kind or self.view.format[1] != 0:
            raise _unfit(array, name, wanted)

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)


cdef _unfit(object array, str name, str wanted):
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", type(array).__name__)
    return ValueError(f"{name} must be a C-contiguous array of {wanted}, not {dtype} of shape {shape}")


@cython.freelist(8)
cdef class _Boxes:
    """Detections, checked: what the tracker may read without the GIL."""

    cdef _Array xyxy_array, score_array
    cdef const float *xyxy
    cdef const float *score
    cdef int rows

    def __cinit__(self, xyxy, score):
        cdef _Array boxes = _Array(xyxy, c"f", 2, "xyxy", "float32 (N, 4)")
        cdef _Array scores = _Array(score, c"f", 1, "score", "float32 (N,)")
        cdef Py_ssize_t rows = boxes.view.shape[0]
        cdef int64_t bad
        cdef int column = 0
        if boxes.view.shape[1] != 4:
            raise _unfit(xyxy, "xyxy", "float32 (N, 4)")
        if scores.view.shape[0] != rows:
            raise ValueError(f"{rows} boxes but {scores.view.shape[0]} scores")
        if rows > MOST_BOXES:
            raise ValueError(f"{rows} boxes in one call; at most {MOST_BOXES}")
        self.xyxy_array, self.score_array, self.rows = boxes, scores, <int>rows
        self.xyxy, self.score = <const float *>boxes.view.buf, <const float *>scores.view.buf
        bad = bytetrack_check(self.xyxy, self.score, rows, &column)
        if bad >= 0:
            raise _bad_value(xyxy[bad], score[bad], bad, column)


cdef _bad_value(object box, object score, int64_t row, int column):
    if column < 4:
        name = ("x1", "y1", "x2", "y2")[column]
        return ValueError(f"xyxy row {row}, column {column} ({name}): {box[column]} is not a pixel coordinate")
    if column == 4:
        return ValueError(f"score row {row}: {score} is not a score")
    name, low, high = ("x", box[0], box[2]) if column == 5 else ("y", box[1], box[3])
    return ValueError(f"xyxy row {row}, column {column - 3} ({name}2): {high} is less than {name}1 = {low}")


cdef class _Rules:
    """ByteTrack's numbers, checked; the defaults are the published ones."""

    cdef bytetrack_rules c
    cdef double buffer_s

    def __cinit__(
        self, *, double high_score=0.5, double low_score=0.1, double new_score=0.6, double match_limit=0.8,
        double second_match_limit=0.5, double new_match_limit=0.7, double duplicate_limit=0.15, double buffer_s=1.0,
        bint pascal_iou=True,
    ):
        for name, value in (("high_score", high_score), ("low_score", low_score), ("new_score", new_score)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be within 0 and 1, not {value}")
        for name, value in (
            ("match_limit", match_limit), ("second_match_limit", second_match_limit),
            ("new_match_limit", new_match_limit), ("duplicate_limit", duplicate_limit),
        ):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must be within 0 and 1, not {value}")
        if low_score > high_score:
            raise ValueError(f"low_score {low_score} must not be above high_score {high_score}")
        if not 0 <= buffer_s <= 1e6:
            raise ValueError(f"buffer_s must be within 0 and 1e6 seconds, not {buffer_s}")
        self.buffer_s = buffer_s
        self.c.high_score, self.c.low_score, self.c.new_score = <float>high_score, <float>low_score, <float>new_score
        self.c.match_limit, self.c.second_match_limit = match_limit, second_match_limit
        self.c.new_match_limit, self.c.duplicate_limit = new_match_limit, duplicate_limit
        self.c.pixel = 1 if pascal_iou else 0

    cdef int64_t max_lost_frames(self, double frame_rate) except -1:
        """As published: int(frame_rate / 30 * track_buffer), where a track_buffer of 30 is a second."""
        if not 0 < frame_rate <= 1e6:
            raise ValueError(f"frame_rate must be above 0 and at most 1e6, not {frame_rate}")
        return <int64_t>(frame_rate / 30.0 * (self.buffer_s * 30.0))


# ---- what comes out ------------------------------------------------------------------------------------------------

cdef class Tracks:
    """Active tracks, row for row: `track_id` i8 (T,), `xyxy` f4 (T, 4) px, `score` f4 (T,) of the last detection,
    `state` u1 (T,): 0 seen in this frame, 1 predicted. The arrays are the caller's."""

    cdef readonly object track_id, xyxy, score, state
    cdef int64_t *id_at
    cdef float *xyxy_at
    cdef float *score_at
    cdef uint8_t *state_at

    def __cinit__(self, Py_ssize_t rows):
        self.track_id, self.xyxy = empty(rows, I8), empty((rows, 4), F4)
        self.score, self.state = empty(rows, F4), empty(rows, U1)
        self.id_at, self.xyxy_at = <int64_t *>_memory(self.track_id), <float *>_memory(self.xyxy)
        self.score_at, self.state_at = <float *>_memory(self.score), <uint8_t *>_memory(self.state)

    def __len__(self):
        return len(self.track_id)


cdef class BatchTracks(Tracks):
    """Tracks of every camera of a batch, in the batch's order, with `camera` i2 (T,) and `offsets` i4 (B + 1,)."""

    cdef readonly object camera, offsets


cdef void *_memory(object array) except? NULL:
    """Where an array's elements are; good while the array lives."""
    cdef Py_buffer view
    PyObject_GetBuffer(array, &view, PyBUF_SIMPLE | PyBUF_WRITABLE)
    PyBuffer_Release(&view)
    return view.buf


# ---- the two faces -------------------------------------------------------------------------------------------------

cdef class ByteTracker:
    """ByteTrack for one camera, equal to the published implementation in ids and boxes.

    `frame_rate` in 1/s and `buffer_s` decide for how many frames a lost track is kept. `pascal_iou=False` takes plain
    IoU instead of the published one, which counts a box from x1 to x2 as x2 - x1 + 1 wide. Not for two threads at once.
    """

    cdef bytetrack camera
    cdef bytetrack_scratch scratch
    cdef _Rules rules
    cdef bint busy

    def __cinit__(self, double frame_rate=30.0, **thresholds):
        self.rules = _Rules(**thresholds)
        bytetrack_init(&self.camera, self.rules.max_lost_frames(frame_rate))

    def __dealloc__(self):
        bytetrack_free(&self.camera)
        bytetrack_scratch_free(&self.scratch)

    def update(self, xyxy, score):
        """Advances one frame on detections xyxy f4 (N, 4) px, score f4 (N,) and returns the `Tracks` seen in it.

        A ValueError names the row and column of NaN, infinity or an inverted box, or the array of wrong dtype or shape; the
        tracker is then as it was. A box of no height is ignored.
        """
        cdef _Boxes boxes = _Boxes(xyxy, score)
        self.enter()
        try:
            if bytetrack_reserve(&self.camera, &self.scratch, boxes.rows):
                raise MemoryError(f"no memory to track {boxes.rows} boxes")
            with nogil:
                bytetrack_update(&self.camera, &self.scratch, &self.rules.c, boxes.xyxy, boxes.score, boxes.rows)
            return self.tracks()
        finally:
            self.busy = False

    def predict(self):
        """Advances one frame without detections: the `Tracks` where the Kalman filter expects them, state 1."""
        self.enter()
        try:
            with nogil:
                bytetrack_predict(&self.camera)
            return self.tracks()
        finally:
            self.busy = False

    cdef int enter(self) except -1:
        if self.busy:
            raise RuntimeError("this tracker is at work in another thread")
        self.busy = True
        return 0

    cdef Tracks tracks(self):
        cdef Tracks tracks = Tracks(self.camera.n_active)
        bytetrack_copy(&self.camera, tracks.id_at, tracks.xyxy_at, tracks.score_at, tracks.state_at)
        return tracks


cdef struct Job:
    bytetrack *cameras
    bytetrack_scratch *scratch
    const bytetrack_rules *rules
    const int16_t *which
    const int32_t *offsets
    const float *xyxy
    const float *score


cdef void _update_camera(void *argument, int item, int worker) noexcept nogil:
    cdef Job *job = <Job *>argument
    cdef int first = job.offsets[item]
    bytetrack_update(&job.cameras[job.which[item]], &job.scratch[worker], job.rules, job.xyxy + 4 * first,
                     job.score + first, job.offsets[item + 1] - first)


cdef class MultiCameraTracker:
    """ByteTrack for many cameras, each with its own tracks and ids, updated by one call that holds no GIL.

    `frame_rates` in 1/s has one entry a camera; the thresholds, the same for all, are those of `ByteTracker`. With
    `threads` > 1 the cameras of a batch are shared out over so many threads, the calling one included.
    """

    cdef bytetrack *cameras
    cdef bytetrack_scratch *scratch
    cdef crew *crew
    cdef _Rules rules
    cdef int count, threads
    cdef bint busy
    cdef object every_camera
    cdef uint8_t *named

    def __cinit__(self, frame_rates, *, int threads=1, **thresholds):
        cdef int i
        frame_rates = list(frame_rates)
        if not 0 < len(frame_rates) <= MOST_CAMERAS:
            raise ValueError(f"frame_rates must name 1 to {MOST_CAMERAS} cameras, not {len(frame_rates)}")
        if not 0 < threads <= MOST_THREADS:
            raise ValueError(f"threads must be within 1 and {MOST_THREADS}, not {threads}")
        self.rules = _Rules(**thresholds)
        limits = [self.rules.max_lost_frames(rate) for rate in frame_rates]
        self.cameras = <bytetrack *>calloc(len(frame_rates), sizeof(bytetrack))
        self.scratch = <bytetrack_scratch *>calloc(threads, sizeof(bytetrack_scratch))
        self.named = <uint8_t *>calloc(len(frame_rates), 1)
        if not self.cameras or not self.scratch or not self.named:
            raise MemoryError("no memory for the cameras")
        self.count, self.threads = len(frame_rates), threads
        self.every_camera = np.arange(self.count, dtype=np.int16)
        for i in range(self.count):
            bytetrack_init(&self.cameras[i], limits[i])
        if threads > 1:
            self.crew = crew_start(threads)
            if not self.crew:
                raise MemoryError(f"cannot start {threads} threads")

    def __dealloc__(self):
        cdef int i
        crew_stop(self.crew)
        for i in range(self.count):
            bytetrack_free(&self.cameras[i])
        for i in range(self.threads):
            bytetrack_scratch_free(&self.scratch[i])
        free(self.cameras)
        free(self.scratch)
        free(self.named)

    def update(self, detections, camera=None):
        """Advances the cameras of a batch by one frame and returns their `BatchTracks`.

        `detections` has xyxy f4 (N, 4) px, score f4 (N,) and offsets i4 (B + 1,): rows offsets[b] .. offsets[b + 1] - 1
        belong to `camera[b]` (i2 (B,), each at most once; None: every camera in order). Other cameras stand still. Errors
        are those of `ByteTracker.update`; no camera is then changed.
        """
        cdef _Boxes boxes = _Boxes(detections.xyxy, detections.score)
        cdef _Array which = self.which(camera)
        cdef _Array offsets = _Array(detections.offsets, c"i", 1, "offsets", "int32 (B + 1,)")
        cdef int items = <int>which.view.shape[0], i, k
        cdef Job job = Job(self.cameras, self.scratch, &self.rules.c, <const int16_t *>which.view.buf,
                           <const int32_t *>offsets.view.buf, boxes.xyxy, boxes.score)
        _check_offsets(job.offsets, offsets.view.shape[0], items, boxes.rows)
        self.enter()
        try:
            for i in range(items):
                for k in range(self.threads):
                    if bytetrack_reserve(&self.cameras[job.which[i]], &self.scratch[k],
                                         job.offsets[i + 1] - job.offsets[i]):
                        raise MemoryError(f"no memory to track {job.offsets[i + 1] - job.offsets[i]} boxes")
            with nogil:
                if self.crew != NULL and items > 1:
                    crew_run(self.crew, _update_camera, &job, items)
                else:
                    for i in range(items):
                        _update_camera(&job, i, 0)
            return self.tracks(job.which, items)
        finally:
            self.busy = False

    def predict(self, camera=None):
        """Advances cameras (i2 (B,), None: every one) by a frame without detections; see `ByteTracker.predict`."""
        cdef _Array array = self.which(camera)
        cdef const int16_t *which = <const int16_t *>array.view.buf
        cdef int items = <int>array.view.shape[0], i
        self.enter()
        try:
            with nogil:
                for i in range(items):
                    bytetrack_predict(&self.cameras[which[i]])
            return self.tracks(which, items)
        finally:
            self.busy = False

    def forget(self, int camera):
        """Drops every track of a camera, which starts anew; its ids go on counting."""
        if not 0 <= camera < self.count:
            raise ValueError(f"camera {camera} is not one of {self.count}")
        self.enter()
        bytetrack_forget(&self.cameras[camera])
        self.busy = False

    def reconfigure(self, frame_rates, **thresholds):
        """Takes new numbers, and cameras in addition (they come last); tracks and ids stay as they are.

        As at the making; a ValueError or MemoryError leaves the tracker as it was.
        """
        cdef bytetrack *cameras
        cdef uint8_t *named
        cdef int i, count
        frame_rates = list(frame_rates)
        count = len(frame_rates)
        if not self.count <= count <= MOST_CAMERAS:
            raise ValueError(f"frame_rates must name {self.count} to {MOST_CAMERAS} cameras, not {count}")
        rules = _Rules(**thresholds)
        limits = [rules.max_lost_frames(rate) for rate in frame_rates]
        self.enter()
        cameras = <bytetrack *>calloc(count, sizeof(bytetrack))
        named = <uint8_t *>calloc(count, 1)
        if not cameras or not named:
            free(cameras)
            free(named)
            self.busy = False
            raise MemoryError("no memory for the cameras")
        memcpy(cameras, self.cameras, self.count * sizeof(bytetrack))  # their memory is elsewhere and moves along
        for i in range(count):
            if i < self.count:
                cameras[i].max_lost_frames = limits[i]
            else:
                bytetrack_init(&cameras[i], limits[i])
        free(self.cameras)
        free(self.named)
        self.cameras, self.named, self.count, self.rules = cameras, named, count, rules
        self.every_camera = np.arange(count, dtype=np.int16)
        self.busy = False

    cdef int enter(self) except -1:
        if self.busy:
            raise RuntimeError("this tracker is at work in another thread")
        self.busy = True
        return 0

    cdef _Array which(self, camera):
        """The cameras of a batch, each known and named once."""
        cdef _Array array = _Array(self.every_camera if camera is None else camera, c"h", 1, "camera", "int16 (B,)")
        cdef const int16_t *which = <const int16_t *>array.view.buf
        cdef int i
        memset(self.named, 0, self.count)
        for i in range(array.view.shape[0]):
            if not 0 <= which[i] < self.count:
                raise ValueError(f"camera row {i}: camera {which[i]} is not one of {self.count}")
            if self.named[which[i]]:
                raise ValueError(f"camera row {i}: camera {which[i]} is named twice")
            self.named[which[i]] = 1
        return array

    cdef BatchTracks tracks(self, const int16_t *which, int items):
        cdef BatchTracks tracks
        cdef int i, at, rows = 0
        for i in range(items):
            rows += self.cameras[which[i]].n_active
        tracks = BatchTracks(rows)
        tracks.camera, tracks.offsets = np.empty(rows, np.int16), np.empty(items + 1, np.int32)
        cdef int16_t *camera = <int16_t *>_memory(tracks.camera)
        cdef int32_t *offsets = <int32_t *>_memory(tracks.offsets)
        offsets[0] = 0
        for i in range(items):
            at = offsets[i]
            bytetrack_copy(&self.cameras[which[i]], tracks.id_at + at, tracks.xyxy_at + 4 * at,
                           tracks.score_at + at, tracks.state_at + at)
            offsets[i + 1] = at + self.cameras[which[i]].n_active
            while at < offsets[i + 1]:
                camera[at] = which[i]
                at += 1
        return tracks


cdef int _check_offsets(const int32_t *offsets, Py_ssize_t length, int items, int rows) except -1:
    cdef int i
    if length != items + 1:
        raise ValueError(f"offsets has {length} entries; {items} cameras need {items + 1}")
    if offsets[0] != 0 or offsets[items] != rows:
        raise ValueError(f"offsets runs from {offsets[0]} to {offsets[items]}; it must run from 0 to {rows}, the boxes")
    for i in range(items):
        if offsets[i + 1] < offsets[i]:
            raise ValueError(f"offsets row {i + 1}: {offsets[i + 1]} is less than {offsets[i]} before it")
    return 0
