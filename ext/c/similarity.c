/* Inner products whose additions are done in 16 fixed lanes: vector code on every machine, the same sums on all. */
#include "similarity.h"

#define LANES 16

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define DISPATCH __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define DISPATCH
#endif

static inline float sum(const float lane[LANES]) {
    float half[LANES / 2];
    for (int k = 0; k < LANES / 2; k++) half[k] = lane[k] + lane[k + LANES / 2];
    return ((half[0] + half[4]) + (half[2] + half[6])) + ((half[1] + half[5]) + (half[3] + half[7]));
}

DISPATCH
float spoton_dot(const float *a, const float *b, long n) {
    float lane[LANES] = {0};
    long i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) lane[k] += a[i + k] * b[i + k];
    for (int k = 0; i + k < n; k++) lane[k] += a[i + k] * b[i + k];
    return sum(lane);
}

DISPATCH
void spoton_dot4(const float *a, const float *b0, const float *b1, const float *b2, const float *b3, long n,
                 float out[4]) {
    float l0[LANES] = {0}, l1[LANES] = {0}, l2[LANES] = {0}, l3[LANES] = {0};
    long i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int k = 0; k < LANES; k++) l0[k] += a[i + k] * b0[i + k];
        for (int k = 0; k < LANES; k++) l1[k] += a[i + k] * b1[i + k];
        for (int k = 0; k < LANES; k++) l2[k] += a[i + k] * b2[i + k];
        for (int k = 0; k < LANES; k++) l3[k] += a[i + k] * b3[i + k];
    }
    for (int k = 0; i + k < n; k++) {
        l0[k] += a[i + k] * b0[i + k];
        l1[k] += a[i + k] * b1[i + k];
        l2[k] += a[i + k] * b2[i + k];
        l3[k] += a[i + k] * b3[i + k];
    }
    out[0] = sum(l0);
    out[1] = sum(l1);
    out[2] = sum(l2);
    out[3] = sum(l3);
}
