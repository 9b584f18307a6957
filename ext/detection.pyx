"""Raw detector output to boxes, GIL-free."""

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
    int spoton_nms(const spoton_candidates *candidates, int count, float max_iou)


cdef class YoloxDecoder:
    """Decodes YOLOX heads of one input size and keeps one class. Owns its workspace; one thread at a time.

    width, height: network pixels, multiples of 32; person: class index; min_score: objectness * class probability;
    max_iou: above it the lower-scored of two boxes is dropped. `bad_rows` counts candidates that were not finite.
    """

    cdef readonly int bad_rows
    cdef int width, height, person
    cdef float min_score, max_iou
    cdef float[:, ::1] xyxy
    cdef float[::1] score
    cdef int32_t[::1] order

    def __init__(self, int width, int height, *, int person=0, float min_score, float max_iou):
        if width < 32 or height < 32 or width % 32 or height % 32:
            raise ValueError(f"input {width}x{height} is not a multiple of 32")
        cells = sum((width // stride) * (height // stride) for stride in (8, 16, 32))
        self.width, self.height, self.person = width, height, person
        self.min_score, self.max_iou = min_score, max_iou
        self.bad_rows = 0
        self.xyxy = np.empty((cells, 4), np.float32)
        self.score = np.empty(cells, np.float32)
        self.order = np.empty(cells, np.int32)

    def decode(self, const float[:, ::1] raw not None):
        """One image's raw output f4 (anchors, 5 + classes) to (xyxy f4 (N, 4) in network pixels, score f4 (N,)).

        Best first, fresh arrays. Raises ValueError where the shape does not belong to this input size.
        """
        cdef spoton_candidates candidates
        cdef int count, kept = 0, bad = 0
        candidates.xyxy, candidates.score, candidates.order = &self.xyxy[0, 0], &self.score[0], &self.order[0]
        candidates.capacity = <int>self.score.shape[0]
        with nogil:
            count = spoton_decode_yolox(&raw[0, 0], <int>raw.shape[0], <int>raw.shape[1], self.width, self.height,
                                        self.person, self.min_score, &candidates, &bad)
            if count > 0:
                kept = spoton_nms(&candidates, count, self.max_iou)
        if count < 0:
            raise ValueError(f"output ({raw.shape[0]}, {raw.shape[1]}) is not a YOLOX head of {self.width}x{self.height}")
        self.bad_rows += bad
        order = np.asarray(self.order)[:kept]
        return np.asarray(self.xyxy)[order], np.asarray(self.score)[order]
