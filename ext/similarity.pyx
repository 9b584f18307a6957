"""Cosines between crops and galleries, only where the gate is open. The twin is in `tests/reference_identity.py`."""

cdef extern from "similarity.h" nogil:
    void spoton_dot4(
        const float *a, const float *b0, const float *b1, const float *b2, const float *b3, long n, float *out
    )


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
    cdef Py_ssize_t i, k, q, row, entry, kind, waiting
    cdef Py_ssize_t n = rows.shape[1]
    cdef Py_ssize_t[4] at
    cdef float[4] four
    cdef const float *crop
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
            crop = &rows[row, 0]
            waiting = 0
            for k in range(prototypes.shape[1]):
                if prototype_camera[entry, k] >= 0:
                    at[waiting] = k
                    waiting += 1
                if waiting == 4 or (k + 1 == prototypes.shape[1] and waiting):
                    for q in range(waiting, 4):
                        at[q] = at[0]  # what is too much is computed with the rest, and changes nothing
                    spoton_dot4(
                        crop, &prototypes[entry, at[0], 0], &prototypes[entry, at[1], 0], &prototypes[entry, at[2], 0],
                        &prototypes[entry, at[3], 0], n, four,
                    )
                    for q in range(waiting):
                        kind = 0 if prototype_camera[entry, at[q]] == camera[row] else 1
                        best[i, kind] = max(best[i, kind], four[q])
                    waiting = 0
