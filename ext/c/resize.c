#include "resize.h"

#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__)
#define SPOTON_AVX2
#include <immintrin.h>
#endif

enum { WEIGHT_BITS = 8, WEIGHT_ONE = 1 << WEIGHT_BITS, SUM_ONE = WEIGHT_ONE * WEIGHT_ONE };

/* An output pixel lies between two neighbours in a row of the source: `weight` / 256 of the way from the pixel whose
 * first channel is at `offset` to the next. */
typedef struct {
    int32_t offset;
    int32_t weight;
} tap;

/* One row of the output: the two source rows that it lies between, and how far from the first. */
typedef struct {
    const uint8_t *above, *below; /* equal where weight is 0: behind the last row there is none */
    int weight;
    float *planes[3]; /* in the order of the source's channels */
} line;

/* What becomes of the sums, by channel of the source. */
typedef struct {
    float scale[3], bias[3];
} finish;

/* The source position of output pixel `i` in 1/256 pixel, rounded down, held within the source; exact in 64 bits. */
static int32_t position_of(int i, int length, int out_length) {
    const int64_t position = ((2 * (int64_t)i + 1) * length * WEIGHT_ONE / out_length - WEIGHT_ONE) / 2;
    const int64_t last = (int64_t)(length - 1) * WEIGHT_ONE;
    return (int32_t)(position < 0 ? 0 : position > last ? last : position);
}

size_t spoton_resize_workspace(int out_width) { return (size_t)out_width * sizeof(tap); }

/* Pixels `x` to `end` of a line. The sums have at most 24 bits, so floats hold them exactly; only scale and bias round. */
static void resize_pixels(const line *row, const tap *taps, int x, int end, const finish *f) {
    const int upper = WEIGHT_ONE - row->weight, lower = row->weight;
    for (; x < end; x++) {
        const int right = taps[x].weight, left = WEIGHT_ONE - right;
        /* At weight 0 the neighbour is not read: behind the last pixel there is none. */
        const uint8_t *a = row->above + taps[x].offset, *b = row->below + taps[x].offset;
        const int next = right ? 3 : 0;
        for (int c = 0; c < 3; c++) {
            const int sum = (a[c] * left + a[c + next] * right) * upper + (b[c] * left + b[c + next] * right) * lower;
            row->planes[c][x] = (float)sum * f->scale[c] + f->bias[c];
        }
    }
}

#ifdef SPOTON_AVX2
enum { READ = 8 }; /* bytes read at a tap: two pixels of three, and two that are not used */

/* Two source pixels and their neighbours, `one` in the low half and `two` in the high, blended across: 32-bit sums with
 * 8 fractional bits, three channels and a lane that is not used. `weights` are pairs (left, right), the same for every
 * channel of a half. */
__attribute__((target("avx2"))) static inline __m256i across(const uint8_t *one, const uint8_t *two, __m256i weights) {
    const __m128i order = _mm_setr_epi8(0, 3, 1, 4, 2, 5, -1, -1, 8, 11, 9, 12, 10, 13, -1, -1);
    const __m128i pixels = _mm_unpacklo_epi64(_mm_loadl_epi64((const void *)one), _mm_loadl_epi64((const void *)two));
    return _mm256_madd_epi16(_mm256_cvtepu8_epi16(_mm_shuffle_epi8(pixels, order)), weights);
}

__attribute__((target("avx2"))) static inline __m256i weights_of(const tap *one, const tap *two) {
    /* left and right as two 16-bit numbers: right << 16 | (256 - right) */
    const int a = one->weight * 0xffff + WEIGHT_ONE, b = two->weight * 0xffff + WEIGHT_ONE;
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_set1_epi32(a)), _mm_set1_epi32(b), 1);
}

/* Pixels one and two of a line as floats, finished. */
__attribute__((target("avx2"))) static inline __m256 two_pixels(const line *row, const tap *one, const tap *two,
                                                                __m256 upper, __m256 lower, __m256 scale, __m256 bias) {
    const __m256i weights = weights_of(one, two);
    __m256 sum = _mm256_mul_ps(
        _mm256_cvtepi32_ps(across(row->above + one->offset, row->above + two->offset, weights)), upper);
    if (row->weight) {
        const __m256i below = across(row->below + one->offset, row->below + two->offset, weights);
        sum = _mm256_add_ps(sum, _mm256_mul_ps(_mm256_cvtepi32_ps(below), lower));
    }
    return _mm256_add_ps(_mm256_mul_ps(sum, scale), bias);
}

/* Pixels 0 to `end` of a line, eight at a time; returns how many are done. Pixels x and x + 4 share a vector, so that
 * transposing within its halves gives eight neighbours of one channel. */
__attribute__((target("avx2"))) static int resize_pixels_avx2(const line *row, const tap *taps, int end,
                                                              const finish *f) {
    const __m128 scale4 = _mm_setr_ps(f->scale[0], f->scale[1], f->scale[2], 0);
    const __m128 bias4 = _mm_setr_ps(f->bias[0], f->bias[1], f->bias[2], 0);
    const __m256 scale = _mm256_set_m128(scale4, scale4), bias = _mm256_set_m128(bias4, bias4);
    const __m256 upper = _mm256_set1_ps((float)(WEIGHT_ONE - row->weight)), lower = _mm256_set1_ps((float)row->weight);
    int x = 0;
    for (; x + 8 <= end; x += 8) {
        const tap *t = taps + x;
        const __m256 p04 = two_pixels(row, t, t + 4, upper, lower, scale, bias);
        const __m256 p15 = two_pixels(row, t + 1, t + 5, upper, lower, scale, bias);
        const __m256 p26 = two_pixels(row, t + 2, t + 6, upper, lower, scale, bias);
        const __m256 p37 = two_pixels(row, t + 3, t + 7, upper, lower, scale, bias);
        const __m256 low01 = _mm256_unpacklo_ps(p04, p15), low23 = _mm256_unpacklo_ps(p26, p37);
        const __m256 high01 = _mm256_unpackhi_ps(p04, p15), high23 = _mm256_unpackhi_ps(p26, p37);
        _mm256_storeu_ps(row->planes[0] + x, _mm256_shuffle_ps(low01, low23, 0x44));
        _mm256_storeu_ps(row->planes[1] + x, _mm256_shuffle_ps(low01, low23, 0xee));
        _mm256_storeu_ps(row->planes[2] + x, _mm256_shuffle_ps(high01, high23, 0x44));
    }
    return x;
}
#endif

int spoton_resize(const uint8_t *source, ptrdiff_t stride, int width, int height, float *target, int plane_width,
                  int plane_height, int out_width, int out_height, const spoton_normalisation *normalisation,
                  void *workspace) {
    if (width < 1 || height < 1 || out_width < 1 || out_height < 1 || out_width > plane_width ||
        out_height > plane_height)
        return -1;
    tap *taps = workspace;
    for (int x = 0; x < out_width; x++) {
        const int32_t position = position_of(x, width, out_width);
        taps[x].offset = 3 * (position >> WEIGHT_BITS);
        taps[x].weight = position & (WEIGHT_ONE - 1);
    }
#ifdef SPOTON_AVX2
    int safe = 0; /* taps whose read stays within the row; offsets rise */
    if (__builtin_cpu_supports("avx2"))
        for (safe = out_width; safe > 0 && taps[safe - 1].offset + READ > 3 * width; safe--) continue;
#endif
    const size_t plane = (size_t)plane_width * (size_t)plane_height;
    finish f;
    size_t start[3];
    for (int channel = 0; channel < 3; channel++) {
        const int p = normalisation->reverse ? 2 - channel : channel;
        f.scale[channel] = normalisation->scale[p] / SUM_ONE; /* a power of two is exact */
        f.bias[channel] = normalisation->bias[p];
        start[channel] = (size_t)p * plane;
    }
    for (int y = 0; y < out_height; y++) {
        const int32_t position = position_of(y, height, out_height);
        line row = {.above = source + (position >> WEIGHT_BITS) * stride, .weight = position & (WEIGHT_ONE - 1)};
        row.below = row.weight ? row.above + stride : row.above;
        for (int channel = 0; channel < 3; channel++)
            row.planes[channel] = target + start[channel] + (size_t)y * (size_t)plane_width;
        int done = 0;
#ifdef SPOTON_AVX2
        if (safe) done = resize_pixels_avx2(&row, taps, safe, &f);
#endif
        resize_pixels(&row, taps, done, out_width, &f);
    }
    return 0;
}

void spoton_pad(float *target, int plane_width, int plane_height, int out_width, int out_height, const float *value) {
    for (int p = 0; p < 3; p++) {
        float *plane = target + (size_t)p * (size_t)plane_width * (size_t)plane_height;
        for (int y = 0; y < plane_height; y++) {
            float *row = plane + (size_t)y * (size_t)plane_width;
            for (int x = y < out_height ? out_width : 0; x < plane_width; x++) row[x] = value[p];
        }
    }
}
