/* One binary for every CPU: a function marked SPOTON_DISPATCH is compiled for x86-64 with and without AVX2, and
 * the loader picks. Where the compiler or the C library cannot do that, it is compiled once. */
#ifndef SPOTON_DISPATCH_H
#define SPOTON_DISPATCH_H

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(SPOTON_NO_DISPATCH)
#define SPOTON_DISPATCH __attribute__((target_clones("avx2", "default")))
#else
#define SPOTON_DISPATCH
#endif

#endif
