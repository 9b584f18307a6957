# A borrowed array of records. Cython's own buffers of structs compare the format's every field at each call, which
# takes longer than most of the work; here only the size of a record is compared, and a test sees to the layout.

from cpython.buffer cimport PyBUF_C_CONTIGUOUS, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer


cdef class Rows:
    """A contiguous one-dimensional array of records of `size` bytes; ValueError for anything else."""

    cdef Py_buffer view
    cdef bint held
    cdef Py_ssize_t count
    cdef void *at

    def __cinit__(self, array, Py_ssize_t size, bint written=False):
        try:
            PyObject_GetBuffer(array, &self.view, PyBUF_C_CONTIGUOUS | (PyBUF_WRITABLE if written else 0))
            self.held = True
        except (BufferError, TypeError, ValueError):
            raise ValueError(f"records must be a contiguous array, not {type(array).__name__}") from None
        if self.view.ndim != 1 or self.view.itemsize != size:
            raise ValueError(f"records have {size} bytes and one dimension, not {self.view.itemsize} and {self.view.ndim}")
        self.count, self.at = self.view.shape[0], self.view.buf

    def __dealloc__(self):
        if self.held:
            PyBuffer_Release(&self.view)
