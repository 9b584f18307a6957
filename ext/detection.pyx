"""Raw detector output to boxes, GIL-free: one decoder a family of networks, non-maximum suppression where one is due."""

import numpy as np

from libc.stdint cimport int32_t

cdef extern from "detection.h" nogil:
    ctypedef struct spoton_candidates:
        float *xyxy
        float *score
        int32_t *order
        int capacity

    int spoton_decode_yolox(const float *raw, int anchors, int columns, int width, int height, int person,
                            float min_score, spoton_candidates *out, int *bad)
    int spoton_decode_yolov8(const float *raw, int rows, int anchors, int person, float min_score,
                             spoton_candidates *out, int *bad)
    int spoton_decode_detr(const float *boxes, int box_stride, const float *scores, int score_stride, int queries,
                           int classes, int logits, int width, int height, int person, float min_score,
                           spoton_candidates *out, int *bad)
    int spoton_take_class(const float *boxes, int box_stride, const float *scores, int score_stride,
                          const float *classes, int class_stride, int count, int person, float min_score,
                          spoton_candidates *out, int *bad)
    void spoton_rank(const spoton_candidates *candidates, int count)
    int spoton_nms(const spoton_candidates *candidates, int count, float max_iou)


cdef class Candidates:
    """Room for the candidates of one image; grows to the largest output seen. One thread at a time.

    `bad_rows` counts candidates that were dropped because they were not finite.
    """

    cdef readonly int bad_rows
    cdef spoton_candidates view
    cdef float[:, ::1] xyxy
    cdef float[::1] score
    cdef int32_t[::1] order

    def __init__(self):
        self.bad_rows = 0
        self.view.capacity = 0

    cdef reserve(self, Py_ssize_t rows):
        if rows > self.view.capacity:
            self.xyxy = np.empty((rows, 4), np.float32)
            self.score = np.empty(rows, np.float32)
            self.order = np.empty(rows, np.int32)
            self.view.xyxy, self.view.score, self.view.order = &self.xyxy[0, 0], &self.score[0], &self.order[0]
            self.view.capacity = <int>rows

    cdef rows(self, int count, int bad):
        """The first `count` rows in `order`, as fresh arrays."""
        self.bad_rows += bad
        if count == 0:
            return np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        order = np.asarray(self.order)[:count]
        return np.asarray(self.xyxy)[order], np.asarray(self.score)[order]


cdef class Decoder:
    """What the decoders have in common: they keep one class and give (xyxy f4 (N, 4) in network pixels, score f4 (N,)),
    best first, fresh arrays.

    width, height: network pixels; person: class index; min_score: least probability; max_iou: above it the
    lower-scored of two boxes is dropped.
    """

    cdef int width, height, person
    cdef float min_score, max_iou
    cdef Candidates candidates

    def __init__(self, int width, int height, *, int person=0, float min_score, float max_iou):
        if width < 1 or height < 1 or person < 0:
            raise ValueError(f"input {width}x{height}, class {person}")
        self.width, self.height, self.person = width, height, person
        self.min_score, self.max_iou = min_score, max_iou
        self.candidates = Candidates()

    @property
    def bad_rows(self):
        return self.candidates.bad_rows

    cdef suppressed(self, int count, int bad):
        cdef int kept = 0
        with nogil:
            if count > 0:
                kept = spoton_nms(&self.candidates.view, count, self.max_iou)
        return self.candidates.rows(kept, bad)

    cdef ranked(self, int count, int bad):
        with nogil:
            if count > 0:
                spoton_rank(&self.candidates.view, count)
        return self.candidates.rows(count, bad)


cdef class YoloxDecoder(Decoder):
    """YOLOX heads (Ge et al. 2021) of strides 8, 16, 32, undecoded; the input is a multiple of 32."""

    def __init__(self, int width, int height, *, int person=0, float min_score, float max_iou):
        super().__init__(width, height, person=person, min_score=min_score, max_iou=max_iou)
        if width < 32 or height < 32 or width % 32 or height % 32:
            raise ValueError(f"input {width}x{height} is not a multiple of 32")

    def decode(self, const float[:, ::1] raw not None):
        """One image's output f4 (anchors, 5 + classes). Raises ValueError where it is not of this input size."""
        cdef int count, bad = 0
        self.candidates.reserve(raw.shape[0])
        with nogil:
            count = spoton_decode_yolox(&raw[0, 0], <int>raw.shape[0], <int>raw.shape[1], self.width, self.height,
                                        self.person, self.min_score, &self.candidates.view, &bad)
        if count < 0:
            raise ValueError(f"output ({raw.shape[0]}, {raw.shape[1]}) is not a YOLOX head of {self.width}x{self.height}")
        return self.suppressed(count, bad)


cdef class Yolov8Decoder(Decoder):
    """Heads as YOLOv8 and YOLO11 are exported: boxes in network pixels, probabilities, no objectness."""

    def decode(self, const float[:, ::1] raw not None):
        """One image's output f4 (4 + classes, anchors). Raises ValueError where it has no such class."""
        cdef int count, bad = 0
        self.candidates.reserve(raw.shape[1])
        with nogil:
            count = spoton_decode_yolov8(&raw[0, 0], <int>raw.shape[0], <int>raw.shape[1], self.person, self.min_score,
                                         &self.candidates.view, &bad)
        if count < 0:
            raise ValueError(f"output ({raw.shape[0]}, {raw.shape[1]}) has no class {self.person} after 4 rows of boxes")
        return self.suppressed(count, bad)


cdef class DetrDecoder(Decoder):
    """Queries of RT-DETR and D-FINE (Zhao et al. 2024), one a person: boxes as shares of the input, no suppression.

    logits: whether scores are before the sigmoid.
    """

    cdef int logits

    def __init__(self, int width, int height, *, int person=0, float min_score, float max_iou=1.0, bint logits=True):
        super().__init__(width, height, person=person, min_score=min_score, max_iou=max_iou)
        self.logits = logits

    def decode(self, const float[:, :] boxes not None, const float[:, :] scores not None):
        """One image's boxes f4 (queries, 4) and scores f4 (queries, classes), rows of numbers side by side. Raises
        ValueError on other shapes."""
        cdef int count, bad = 0
        if boxes.shape[1] != 4 or boxes.shape[0] != scores.shape[0] or boxes.strides[1] != 4 or scores.strides[1] != 4:
            raise ValueError(f"boxes {boxes.shape[0]}x{boxes.shape[1]}, scores {scores.shape[0]}x{scores.shape[1]}")
        self.candidates.reserve(boxes.shape[0])
        with nogil:
            count = spoton_decode_detr(&boxes[0, 0], <int>(boxes.strides[0] // 4), &scores[0, 0],
                                       <int>(scores.strides[0] // 4), <int>boxes.shape[0], <int>scores.shape[1],
                                       self.logits, self.width, self.height, self.person, self.min_score,
                                       &self.candidates.view, &bad)
        if count < 0:
            raise ValueError(f"scores of {scores.shape[1]} classes have no class {self.person}")
        return self.ranked(count, bad)


cdef class ChosenDecoder(Decoder):
    """Graphs that end in suppression: boxes in network pixels, scores, class numbers."""

    def decode(self, const float[:, :] boxes not None, const float[:] scores not None, const float[:] classes not None,
               int count=-1):
        """One image's boxes f4 (rows, 4) xyxy, scores f4 (rows,), classes f4 (rows,); count: rows that are meant, -1:
        all. Raises ValueError on other shapes."""
        cdef int rows = <int>boxes.shape[0], kept, bad = 0
        if boxes.shape[1] != 4 or scores.shape[0] != rows or classes.shape[0] != rows or boxes.strides[1] != 4:
            raise ValueError(f"boxes {rows}x{boxes.shape[1]}, {scores.shape[0]} scores, {classes.shape[0]} classes")
        if count > rows:
            raise ValueError(f"{count} of {rows} rows")
        if rows == 0:
            return self.candidates.rows(0, 0)
        self.candidates.reserve(rows)
        with nogil:
            kept = spoton_take_class(&boxes[0, 0], <int>(boxes.strides[0] // 4), &scores[0],
                                     <int>(scores.strides[0] // 4), &classes[0], <int>(classes.strides[0] // 4),
                                     rows if count < 0 else count, self.person, self.min_score, &self.candidates.view,
                                     &bad)
        return self.ranked(kept, bad)
