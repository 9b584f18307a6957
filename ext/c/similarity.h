#ifndef SPOTON_SIMILARITY_H
#define SPOTON_SIMILARITY_H

/* Inner products of one float vector of length n with four; the order of additions is fixed, so the results are too. */
void spoton_dot4(const float *a, const float *b0, const float *b1, const float *b2, const float *b3, long n,
                 float out[4]);

#endif
