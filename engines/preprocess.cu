/* Frames to network input on the GPU: every row of the input is one rectangle of a frame, resized, normalised and
 * written as planes; all rows in one launch.
 *
 * The arithmetic is that of ext/c/resize.c: weights of 8 bits, sums that are whole numbers below 2^24, so that floats
 * hold them exactly and only scale and bias round. Compile without fused multiply-add (--fmad=false) and the float
 * planes equal the CPU's bit for bit. Needs no header; a host compiler takes it too, with the CUDA words defined away.
 */

typedef unsigned char u8;
typedef unsigned short half_bits;

struct picture {
    const u8 *pixels; /* first pixel of the rectangle, 3 bytes a pixel */
    long long stride; /* bytes from row to row */
    int width, height;
    int out_width, out_height; /* what it becomes, at the top left of the planes */
};

struct form {
    float scale[3], bias[3], pad[3]; /* by channel of the frame; scale includes the 1/65536 of the sums */
    int reverse;                     /* whether plane 0 is the frame's channel 2 */
};

#ifdef __CUDACC__
__device__ static half_bits half_of(float value) {
    half_bits bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#endif

__device__ static void store(float *plane, long long at, float value) { plane[at] = value; }
__device__ static void store(half_bits *plane, long long at, float value) { plane[at] = half_of(value); }

/* The source position of output pixel `i` in 1/256 pixel, rounded down, held within the source. */
__device__ static int position_of(int i, int length, int out_length) {
    const long long position = ((2 * (long long)i + 1) * length * 256 / out_length - 256) / 2;
    const long long last = (long long)(length - 1) * 256;
    return (int)(position < 0 ? 0 : position > last ? last : position);
}

template <class T>
__device__ static void prepare(const picture *pictures, const form *f, T *planes, int width, int height) {
    const int x = (int)(blockIdx.x * blockDim.x + threadIdx.x), y = (int)(blockIdx.y * blockDim.y + threadIdx.y);
    if (x >= width || y >= height) return;
    const picture p = pictures[blockIdx.z];
    const long long plane = (long long)width * height;
    T *out = planes + 3 * plane * blockIdx.z;
    const long long at = (long long)y * width + x;
    if (p.width < 1 || p.height < 1) { /* a box that shows nothing */
        for (int c = 0; c < 3; c++) store(out + c * plane, at, 0.0f);
        return;
    }
    if (x >= p.out_width || y >= p.out_height) {
        for (int c = 0; c < 3; c++) store(out + c * plane, at, f->pad[f->reverse ? 2 - c : c]);
        return;
    }
    const int px = position_of(x, p.width, p.out_width), py = position_of(y, p.height, p.out_height);
    const int wx = px & 255, wy = py & 255;
    /* At weight 0 the neighbour is not read: behind the last row or column there is none. */
    const u8 *above = p.pixels + (py >> 8) * p.stride + 3 * (px >> 8);
    const u8 *below = wy ? above + p.stride : above;
    const int next = wx ? 3 : 0;
    for (int c = 0; c < 3; c++) {
        const int upper = above[c] * (256 - wx) + above[c + next] * wx;
        const int lower = below[c] * (256 - wx) + below[c + next] * wx;
        const float sum = (float)(upper * (256 - wy) + lower * wy);
        store(out + (f->reverse ? 2 - c : c) * plane, at, sum * f->scale[c] + f->bias[c]);
    }
}

extern "C" __global__ void prepare_f32(const picture *pictures, const form *f, float *planes, int width, int height) {
    prepare(pictures, f, planes, width, height);
}

extern "C" __global__ void prepare_f16(const picture *pictures, const form *f, half_bits *planes, int width,
                                       int height) {
    prepare(pictures, f, planes, width, height);
}
