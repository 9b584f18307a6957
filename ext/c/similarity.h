#ifndef SPOTON_SIMILARITY_H
#define SPOTON_SIMILARITY_H

/* Inner product of two float vectors of length n; the order of additions is fixed, so the result is too. */
float spoton_dot(const float *a, const float *b, long n);

/* Inner products of one vector with four, as spoton_dot gives them one by one. */
void spoton_dot4(const float *a, const float *b0, const float *b1, const float *b2, const float *b3, long n,
                 float out[4]);

#endif
