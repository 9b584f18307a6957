"""Cosines between crops and galleries, only where the gate is open. The twin is in `tests/reference_identity.py`."""

cdef extern from "similarity.h" nogil:
    float spoton_dot(const float *a, const float *b, long n)
    void spoton_dot4(
        const float *a, const float *b0, const float *b1, const float *b2, const float *b3, long n, float *out
    )


def cosine(
    const float[:, ::1] rows not None,
    const float[:, ::1] others not None,
    const unsigned char[:, ::1] open not None,
    float[:, ::1] out not None,
):
    """Inner products of unit vectors rows (T, D), others (N, D) into out (T, N) where open (T, N); the rest of out stays."""
    cdef Py_ssize_t i, j, k, waiting
    cdef Py_ssize_t n = rows.shape[1]
    cdef Py_ssize_t at[4]
    cdef float four[4]
    if others.shape[1] != n:
        raise ValueError("rows and others must be of one dimension")
    if open.shape[0] != rows.shape[0] or open.shape[1] != others.shape[0]:
        raise ValueError("open must be (T, N)")
    if out.shape[0] != rows.shape[0] or out.shape[1] != others.shape[0]:
        raise ValueError("out must be (T, N)")
    if n == 0:
        raise ValueError("vectors without dimension have no cosine")
    with nogil:
        for i in range(rows.shape[0]):
            waiting = 0
            for j in range(others.shape[0]):
                if not open[i, j]:
                    continue
                at[waiting] = j
                waiting += 1
                if waiting == 4:
                    spoton_dot4(
                        &rows[i, 0], &others[at[0], 0], &others[at[1], 0], &others[at[2], 0], &others[at[3], 0], n, four
                    )
                    for k in range(4):
                        out[i, at[k]] = four[k]
                    waiting = 0
            for k in range(waiting):
                out[i, at[k]] = spoton_dot(&rows[i, 0], &others[at[k], 0], n)


def gallery_cosine(
    const float[:, ::1] rows not None,
    const short[::1] camera not None,
    const float[:, :, ::1] prototypes not None,
    const short[:, ::1] prototype_camera not None,
    const int[::1] pair_row not None,
    const int[::1] pair_entry not None,
    float[:, ::1] best not None,
):
    """The best cosine of each open pair (row, gallery entry): best (n, 2) among prototypes of the row's own camera, and

    of all others; -2 where there is none. prototypes (G, K, D), prototype_camera (G, K), -1: empty.
    """
    cdef Py_ssize_t i, k, row, entry, kind
    cdef Py_ssize_t n = rows.shape[1]
    cdef float c
    if prototypes.shape[2] != n or camera.shape[0] != rows.shape[0] or n == 0:
        raise ValueError("rows and prototypes must be of one dimension, and each row of one camera")
    if prototype_camera.shape[0] != prototypes.shape[0] or prototype_camera.shape[1] != prototypes.shape[1]:
        raise ValueError("prototype_camera must be (G, K)")
    if pair_entry.shape[0] != pair_row.shape[0] or best.shape[0] != pair_row.shape[0] or best.shape[1] != 2:
        raise ValueError("pair_row, pair_entry and best must have the same number of rows")
    for i in range(pair_row.shape[0]):
        if not (0 <= pair_row[i] < rows.shape[0] and 0 <= pair_entry[i] < prototypes.shape[0]):
            raise ValueError("a pair names a row or an entry that does not exist")
    with nogil:
        for i in range(pair_row.shape[0]):
            row = pair_row[i]
            entry = pair_entry[i]
            best[i, 0] = best[i, 1] = -2
            for k in range(prototypes.shape[1]):
                if prototype_camera[entry, k] < 0:
                    continue
                c = spoton_dot(&rows[row, 0], &prototypes[entry, k, 0], n)
                kind = 0 if prototype_camera[entry, k] == camera[row] else 1
                if c > best[i, kind]:
                    best[i, kind] = c
