#include "resize.h"

#include <string.h>

#include "dispatch.h"

enum { WEIGHT_BITS = 8, WEIGHT_ONE = 1 << WEIGHT_BITS };

/* Where an output pixel lies between two source pixels: `first` + `weight` / 256. */
typedef struct {
    int32_t first;
    int32_t second;
    int32_t weight;
} tap;

/* The source position of output pixel `i`, in 1/256 pixel, rounded down; exact in 64-bit whole numbers. */
static tap tap_of(int i, int length, int out_length) {
    const int64_t position = ((2 * (int64_t)i + 1) * length * WEIGHT_ONE / out_length - WEIGHT_ONE) / 2;
    tap t = {0, 0, 0};
    if (position > 0) {
        t.first = (int32_t)(position >> WEIGHT_BITS);
        t.weight = (int32_t)(position & (WEIGHT_ONE - 1));
    }
    if (t.first >= length - 1) {
        t.first = length - 1;
        t.weight = 0;
    }
    t.second = t.weight == 0 ? t.first : t.first + 1;
    return t;
}

static size_t row_bytes(int width) {
    return (3 * (size_t)width * sizeof(uint16_t) + 63) / 64 * 64;
}

size_t spoton_resize_workspace(int width, int out_width) {
    return row_bytes(width) + (size_t)out_width * sizeof(tap);
}

/* Blends two rows of bytes; the sum has 8 fractional bits. The whole width is blended although only the taps are
 * read later, because this loop runs at the speed of memory. */
SPOTON_DISPATCH static void blend_rows(const uint8_t *restrict above, const uint8_t *restrict below, int weight,
                                       uint16_t *restrict blended, int bytes) {
    const uint16_t upper = (uint16_t)(WEIGHT_ONE - weight), lower = (uint16_t)weight;
    for (int i = 0; i < bytes; i++) blended[i] = (uint16_t)(above[i] * upper + below[i] * lower);
}

/* One output row of three planes from one blended row. */
SPOTON_DISPATCH static void resize_row(const uint16_t *restrict row, const tap *restrict taps, int out_width,
                                       float *restrict p0, float *restrict p1, float *restrict p2,
                                       const float *restrict scale, const float *restrict bias) {
    const float s0 = scale[0], s1 = scale[1], s2 = scale[2], b0 = bias[0], b1 = bias[1], b2 = bias[2];
    for (int x = 0; x < out_width; x++) {
        const uint16_t *left = row + 3 * taps[x].first, *right = row + 3 * taps[x].second;
        const int32_t wr = taps[x].weight, wl = WEIGHT_ONE - wr;
        p0[x] = (float)(left[0] * wl + right[0] * wr) * s0 + b0;
        p1[x] = (float)(left[1] * wl + right[1] * wr) * s1 + b1;
        p2[x] = (float)(left[2] * wl + right[2] * wr) * s2 + b2;
    }
}

/* The same for a picture that keeps its width: no taps, so that the compiler can use whole vectors. */
SPOTON_DISPATCH static void copy_row(const uint16_t *restrict row, int out_width, float *restrict p0,
                                     float *restrict p1, float *restrict p2, const float *restrict scale,
                                     const float *restrict bias) {
    const float s0 = scale[0], s1 = scale[1], s2 = scale[2], b0 = bias[0], b1 = bias[1], b2 = bias[2];
    for (int x = 0; x < out_width; x++) {
        p0[x] = (float)(row[3 * x] * WEIGHT_ONE) * s0 + b0;
        p1[x] = (float)(row[3 * x + 1] * WEIGHT_ONE) * s1 + b1;
        p2[x] = (float)(row[3 * x + 2] * WEIGHT_ONE) * s2 + b2;
    }
}

int spoton_resize(const uint8_t *source, ptrdiff_t stride, int width, int height, float *target, int plane_width,
                  int plane_height, int out_width, int out_height, const spoton_normalisation *normalisation,
                  void *workspace) {
    if (width < 1 || height < 1 || out_width < 1 || out_height < 1 || out_width > plane_width ||
        out_height > plane_height)
        return -1;
    uint16_t *blended = workspace;
    tap *taps = (tap *)(void *)((char *)workspace + row_bytes(width));
    for (int x = 0; x < out_width; x++) taps[x] = tap_of(x, width, out_width);

    /* The fixed-point sum carries 16 fractional bits; a power of two scales exactly. */
    const float unit = 1.0f / (WEIGHT_ONE * WEIGHT_ONE);
    const size_t plane = (size_t)plane_width * (size_t)plane_height;
    float scale[3], bias[3];
    float *planes[3];
    for (int channel = 0; channel < 3; channel++) {
        const int c = normalisation->reverse ? 2 - channel : channel;
        scale[channel] = normalisation->scale[c] * unit;
        bias[channel] = normalisation->bias[c];
        planes[channel] = target + (size_t)c * plane;
    }
    for (int y = 0; y < out_height; y++) {
        const tap t = tap_of(y, height, out_height);
        const size_t offset = (size_t)y * (size_t)plane_width;
        float *p0 = planes[0] + offset, *p1 = planes[1] + offset, *p2 = planes[2] + offset;
        blend_rows(source + t.first * stride, source + t.second * stride, t.weight, blended, 3 * width);
        if (width == out_width)
            copy_row(blended, out_width, p0, p1, p2, scale, bias);
        else
            resize_row(blended, taps, out_width, p0, p1, p2, scale, bias);
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
