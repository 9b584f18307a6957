/* Inner products whose additions are done in 16 fixed lanes: vector code on every machine, the same sums on all. */
#include "similarity.h"

#include <string.h>

#define LANES 16

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define DISPATCH __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define DISPATCH
#endif

/* Spelled out as a vector, as compilers keep four arrays of lanes in memory; wider than a machine's own it is split. */
typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));

#define SUM(lane, out)                                                                               \
    do {                                                                                             \
        float half[LANES / 2];                                                                       \
        for (int k = 0; k < LANES / 2; k++) half[k] = (lane)[k] + (lane)[k + LANES / 2];              \
        (out) = ((half[0] + half[4]) + (half[2] + half[6])) + ((half[1] + half[5]) + (half[3] + half[7])); \
    } while (0)

DISPATCH
void spoton_dot4(const float *a, const float *b0, const float *b1, const float *b2, const float *b3, long n,
                 float out[4]) {
    lanes x, y0, y1, y2, y3, l0 = {0}, l1 = {0}, l2 = {0}, l3 = {0};
    long i = 0;
    for (; i + LANES <= n; i += LANES) {
        memcpy(&x, a + i, sizeof x);
        memcpy(&y0, b0 + i, sizeof y0);
        memcpy(&y1, b1 + i, sizeof y1);
        memcpy(&y2, b2 + i, sizeof y2);
        memcpy(&y3, b3 + i, sizeof y3);
        l0 += x * y0;
        l1 += x * y1;
        l2 += x * y2;
        l3 += x * y3;
    }
    for (int k = 0; i + k < n; k++) {
        l0[k] += a[i + k] * b0[i + k];
        l1[k] += a[i + k] * b1[i + k];
        l2[k] += a[i + k] * b2[i + k];
        l3[k] += a[i + k] * b3[i + k];
    }
    SUM(l0, out[0]);
    SUM(l1, out[1]);
    SUM(l2, out[2]);
    SUM(l3, out[3]);
}
