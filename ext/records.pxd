"""The rows of the identity stage's tables, as NumPy lays them out: the dtypes of the same names in `spoton_edge`.

A buffer whose dtype differs from its struct is refused at the border, so the two cannot drift apart unnoticed.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t

cdef struct TrackRecord:  # global_track.TRACK
    int64_t uid
    int64_t global_id
    int64_t born_ns
    int64_t seen_ns
    double seen_xy[2]
    double seen_sd
    int64_t whole_ns
    double whole_xy[2]
    double whole_sd
    double whole_velocity[2]
    double whole_velocity_sd
    int16_t seen_camera
    double seen_foot[2]
    int16_t first_camera
    double first_foot[2]
    double first_xy[2]
    double first_sd
    double sureness
    int64_t hits
    int16_t best_view
    int32_t entry
    double tall
    double tall_n
    double late_tall
    double late_n
    double read_m
    int64_t reads

cdef struct TrackletEntry:  # tracklet_book.ENTRY
    int64_t key
    int64_t uid
    int16_t camera
    int64_t first_ns
    int64_t seen_ns
    int64_t embedded_ns
    int32_t disagreed
    float box[4]
    float score
    uint8_t fresh
    double margin

cdef struct TwinPair:  # twins.PAIR
    int64_t older
    int64_t newer
    double nats
    double kept

cdef struct HeightReadings:  # stature.READINGS
    double readings[2]
    double variance[2]
    double odd[2]
    double sway
    double swayed


cdef inline Py_ssize_t row_of(const TrackRecord *record, Py_ssize_t count, int64_t uid) noexcept nogil:
    """The row of a uid, -1: it is not there. Uids ascend."""
    cdef Py_ssize_t low = 0, high = count, middle
    while low < high:
        middle = low + (high - low) // 2
        if record[middle].uid < uid:
            low = middle + 1
        else:
            high = middle
    return low if low < count and record[low].uid == uid else -1
