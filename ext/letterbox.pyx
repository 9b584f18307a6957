"""Pictures to network input: letterbox whole frames, crop and stretch people. GIL-free, same bytes on every CPU."""

import numpy as np

from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc

cdef extern from "resize.h" nogil:
    ctypedef struct spoton_normalisation:
        float scale[3]
        float bias[3]
        int reverse

    size_t spoton_resize_workspace(int out_width)
    int spoton_resize(const uint8_t *source, ptrdiff_t stride, int width, int height, float *target, int plane_width,
                      int plane_height, int out_width, int out_height, const spoton_normalisation *normalisation,
                      void *workspace)
    void spoton_pad(float *target, int plane_width, int plane_height, int out_width, int out_height, const float *value)


cdef class Normalisation:
    """What a network wants of its pixels: plane = (value - mean) / std in the network's order of colours.

    mean, std: three numbers each, in grey levels 0..255; colour: "bgr" or "rgb", the order of the network's planes
    (frames are BGR).
    """

    cdef spoton_normalisation value

    def __init__(self, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), str colour="bgr"):
        if colour not in ("bgr", "rgb"):
            raise ValueError(f"colour is {colour!r}, not 'bgr' or 'rgb'")
        for channel in range(3):
            if not std[channel] > 0:
                raise ValueError(f"std[{channel}] is {std[channel]}, not positive")
            self.value.scale[channel] = 1.0 / std[channel]
            self.value.bias[channel] = -mean[channel] / std[channel]
        self.value.reverse = colour == "rgb"


def letterbox(const uint8_t[:, :, :] image not None, float[:, :, ::1] tensor not None, Normalisation normalisation not None,
              float pad=114.0, bint stretch=False):
    """Fit a BGR picture u8 (H, W, 3) into the planes f4 (3, h, w) at the top left, keeping its aspect ratio.

    The rest of the planes becomes the grey level `pad`, normalised like the picture; with `stretch` there is no rest.
    Rows of the picture may be strided, pixels may not. Returns the scale: network pixels per picture pixel, first x,
    then y (they differ by rounding to whole pixels only, unless stretched). Raises ValueError on wrong shapes.
    """
    cdef int height = <int>image.shape[0], width = <int>image.shape[1]
    cdef int plane_height = <int>tensor.shape[1], plane_width = <int>tensor.shape[2]
    if tensor.shape[0] != 3 or plane_height < 1 or plane_width < 1:
        raise ValueError("tensor is not (3, h, w)")
    check_picture(image)
    cdef double scale = min(plane_width / <double>width, plane_height / <double>height)
    cdef int out_width = max(1, min(plane_width, <int>(width * scale + 0.5)))
    cdef int out_height = max(1, min(plane_height, <int>(height * scale + 0.5)))
    if stretch:
        out_width, out_height = plane_width, plane_height
    cdef float around[3]
    for channel in range(3):
        around[channel] = pad * normalisation.value.scale[channel] + normalisation.value.bias[channel]
    cdef void *workspace = malloc(spoton_resize_workspace(out_width))
    if workspace == NULL:
        raise MemoryError
    with nogil:
        spoton_resize(&image[0, 0, 0], image.strides[0], width, height, &tensor[0, 0, 0], plane_width, plane_height,
                      out_width, out_height, &normalisation.value, workspace)
        spoton_pad(&tensor[0, 0, 0], plane_width, plane_height, out_width, out_height, around)
    free(workspace)
    return out_width / <double>width, out_height / <double>height


def crop(const uint8_t[:, :, :] image not None, const float[:, ::1] xyxy not None, float[:, :, :, ::1] tensor not None,
         Normalisation normalisation not None):
    """Cut the boxes f4 (N, 4) px out of a BGR picture u8 (H, W, 3) and stretch each to the planes f4 (N, 3, h, w).

    Boxes are rounded to whole pixels and cut at the frame's edge; one that leaves no pixel gives zeros. Raises
    ValueError on wrong shapes or boxes that are not finite.
    """
    cdef Py_ssize_t n = xyxy.shape[0], i
    cdef int height = <int>image.shape[0], width = <int>image.shape[1]
    cdef int plane_height = <int>tensor.shape[2], plane_width = <int>tensor.shape[3]
    cdef int x1, y1, x2, y2
    cdef float nothing[3]
    nothing[0] = nothing[1] = nothing[2] = 0
    if xyxy.shape[1] != 4 or tensor.shape[0] != n or tensor.shape[1] != 3:
        raise ValueError("want boxes (N, 4) and a tensor (N, 3, h, w)")
    check_picture(image)
    if not np.isfinite(xyxy).all():
        raise ValueError("a box is not finite")
    if n == 0:
        return
    cdef void *workspace = malloc(spoton_resize_workspace(plane_width))
    if workspace == NULL:
        raise MemoryError
    with nogil:
        for i in range(n):
            x1, x2 = clamp(xyxy[i, 0], width), clamp(xyxy[i, 2], width)
            y1, y2 = clamp(xyxy[i, 1], height), clamp(xyxy[i, 3], height)
            if x2 > x1 and y2 > y1:
                spoton_resize(&image[y1, x1, 0], image.strides[0], x2 - x1, y2 - y1, &tensor[i, 0, 0, 0], plane_width,
                              plane_height, plane_width, plane_height, &normalisation.value, workspace)
            else:
                spoton_pad(&tensor[i, 0, 0, 0], plane_width, plane_height, 0, 0, nothing)
    free(workspace)


cdef int clamp(float position, int limit) noexcept nogil:
    return 0 if position < 0 else limit if position > limit else <int>(position + 0.5)


cdef check_picture(const uint8_t[:, :, :] image):
    if image.shape[0] < 1 or image.shape[1] < 1 or image.shape[2] != 3:
        raise ValueError("picture is not (H, W, 3)")
    if image.strides[2] != 1 or image.strides[1] != 3:
        raise ValueError("the pixels of a row are not side by side")
    if image.shape[0] > 16384 or image.shape[1] > 16384:
        raise ValueError("picture is larger than 16384 pixels")
