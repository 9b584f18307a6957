/* Bilinear resize of interleaved 8-bit pictures into planar float tensors, as networks want them. */
#ifndef SPOTON_RESIZE_H
#define SPOTON_RESIZE_H

#include <stddef.h>
#include <stdint.h>

/* What a network wants of its input: plane c of the output is `value * scale[c] + bias[c]`, planes in the order of the
 * source's channels, or reversed (BGR -> RGB) where `reverse` is not 0. */
typedef struct {
    float scale[3];
    float bias[3];
    int reverse;
} spoton_normalisation;

/* Bytes of workspace that spoton_resize needs for targets up to `out_width` wide; any alignment will do. */
size_t spoton_resize_workspace(int out_width);

/* Resizes the `width` x `height` picture at `source` (3 bytes a pixel, `stride` bytes a row) to `out_width` x
 * `out_height` and writes it to the top left of three float planes at `target`, each `plane_height` rows of
 * `plane_width`. The rest of the planes is not touched.
 *
 * Pixel centres are at .5 and the border is repeated, as in OpenCV's INTER_LINEAR. Weights have 8 bits and all sums are
 * whole numbers below 2^24, so the result is the same on every machine.
 * Returns 0, or -1 where a size is not positive or the target does not fit the planes. */
int spoton_resize(const uint8_t *source, ptrdiff_t stride, int width, int height, float *target, int plane_width,
                  int plane_height, int out_width, int out_height, const spoton_normalisation *normalisation,
                  void *workspace);

/* Fills what spoton_resize leaves free, right of and below the picture, with `value[p]` on plane p. */
void spoton_pad(float *target, int plane_width, int plane_height, int out_width, int out_height, const float *value);

#endif
