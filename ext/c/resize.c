#include "resize.h"

#include <string.h>

#include "dispatch.h"

enum { WEIGHT_BITS = 8, WEIGHT_ONE = 1 << WEIGHT_BITS };

/* An output pixel lies between two neighbours in a row of the source: `weight` of the way (a multiple of 1/256) from
 * the pixel whose first channel is at `offset` to the next. */
typedef struct {
    int32_t offset;
    float weight;
} tap;

/* The source position of output pixel `i` in 1/256 pixel, rounded down, held within the source; exact in 64 bits. */
static int32_t position_of(int i, int length, int out_length) {
    const int64_t position = ((2 * (int64_t)i + 1) * length * WEIGHT_ONE / out_length - WEIGHT_ONE) / 2;
    const int64_t last = (int64_t)(length - 1) * WEIGHT_ONE;
    return (int32_t)(position < 0 ? 0 : position > last ? last : position);
}

/* A blended row: one pixel more, because the last one has a neighbour too (of weight 0), and one value more, because
 * pixels are read four values at a time. */
static size_t row_length(int width) { return 3 * (size_t)width + 4; }

size_t spoton_resize_workspace(int width, int out_width) {
    return row_length(width) * sizeof(float) + (size_t)out_width * sizeof(tap);
}

/* Blends two rows of bytes; the result has 8 fractional bits. The whole width is blended although only the taps are
 * read later, because this loop runs at the speed of memory. */
SPOTON_DISPATCH static void blend_rows(const uint8_t *restrict above, const uint8_t *restrict below, int weight,
                                       float *restrict blended, int values) {
    const int upper = WEIGHT_ONE - weight;
    for (int i = 0; i < values; i++) blended[i] = (float)(above[i] * upper + below[i] * weight);
}

/* A pixel as one vector: three channels, and a lane that is not used. */
typedef float pixel __attribute__((vector_size(16)));

static inline pixel load_pixel(const float *at) {
    pixel value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* The sum has at most 24 bits, so floats hold it exactly; only scale and bias round. */
static inline pixel blend_pixel(const float *row, const tap *t, pixel scale, pixel bias) {
    const pixel left = load_pixel(row + t->offset), right = load_pixel(row + t->offset + 3);
    return (left + (right - left) * t->weight) * scale + bias;
}

/* One output row of three planes from one blended row, four pixels at a time: each is blended as a vector of its
 * channels, then the four are transposed. */
SPOTON_DISPATCH static void resize_row(const float *restrict row, const tap *restrict taps, int out_width,
                                       float *restrict p0, float *restrict p1, float *restrict p2,
                                       const float *restrict scale, const float *restrict bias) {
    const pixel s = {scale[0], scale[1], scale[2], 0}, b = {bias[0], bias[1], bias[2], 0};
    int x = 0;
    for (; x + 4 <= out_width; x += 4) {
        const pixel q0 = blend_pixel(row, taps + x, s, b), q1 = blend_pixel(row, taps + x + 1, s, b);
        const pixel q2 = blend_pixel(row, taps + x + 2, s, b), q3 = blend_pixel(row, taps + x + 3, s, b);
        const pixel low01 = __builtin_shufflevector(q0, q1, 0, 4, 1, 5);
        const pixel low23 = __builtin_shufflevector(q2, q3, 0, 4, 1, 5);
        const pixel high01 = __builtin_shufflevector(q0, q1, 2, 6, 3, 7);
        const pixel high23 = __builtin_shufflevector(q2, q3, 2, 6, 3, 7);
        const pixel c0 = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
        const pixel c1 = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
        const pixel c2 = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
        memcpy(p0 + x, &c0, sizeof c0);
        memcpy(p1 + x, &c1, sizeof c1);
        memcpy(p2 + x, &c2, sizeof c2);
    }
    for (; x < out_width; x++) {
        const pixel q = blend_pixel(row, taps + x, s, b);
        p0[x] = q[0];
        p1[x] = q[1];
        p2[x] = q[2];
    }
}

int spoton_resize(const uint8_t *source, ptrdiff_t stride, int width, int height, float *target, int plane_width,
                  int plane_height, int out_width, int out_height, const spoton_normalisation *normalisation,
                  void *workspace) {
    if (width < 1 || height < 1 || out_width < 1 || out_height < 1 || out_width > plane_width ||
        out_height > plane_height)
        return -1;
    float *blended = workspace;
    tap *taps = (tap *)(void *)(blended + row_length(width));
    memset(blended + 3 * (size_t)width, 0, 4 * sizeof *blended);
    for (int x = 0; x < out_width; x++) {
        const int32_t position = position_of(x, width, out_width);
        taps[x].offset = 3 * (position >> WEIGHT_BITS);
        taps[x].weight = (float)(position & (WEIGHT_ONE - 1)) / WEIGHT_ONE;
    }
    const size_t plane = (size_t)plane_width * (size_t)plane_height;
    float scale[3], bias[3];
    float *planes[3];
    for (int channel = 0; channel < 3; channel++) {
        const int c = normalisation->reverse ? 2 - channel : channel;
        scale[channel] = normalisation->scale[c] / WEIGHT_ONE; /* what blend_rows multiplied; a power of two is exact */
        bias[channel] = normalisation->bias[c];
        planes[channel] = target + (size_t)c * plane;
    }
    for (int y = 0; y < out_height; y++) {
        const int32_t position = position_of(y, height, out_height);
        const uint8_t *above = source + (position >> WEIGHT_BITS) * stride;
        const int weight = position & (WEIGHT_ONE - 1);
        blend_rows(above, weight ? above + stride : above, weight, blended, 3 * width);
        const size_t row = (size_t)y * (size_t)plane_width;
        resize_row(blended, taps, out_width, planes[0] + row, planes[1] + row, planes[2] + row, scale, bias);
    }
    return 0;
}

void spoton_pad(float *target, int plane_width, int plane_height, int out_width, int out_height, float value) {
    for (int channel = 0; channel < 3; channel++) {
        float *plane = target + (size_t)channel * (size_t)plane_width * (size_t)plane_height;
        for (int y = 0; y < plane_height; y++) {
            float *row = plane + (size_t)y * (size_t)plane_width;
            for (int x = y < out_height ? out_width : 0; x < plane_width; x++) row[x] = value;
        }
    }
}
