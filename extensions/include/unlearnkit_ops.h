/* The C ABI between unlearnkit.ops (Python, ctypes) and its native kernels. No torch or Python header is needed, so one
 * library serves every version of both. A library holds the kernels of one device; all libraries export these names.
 *
 * Rules
 * - Every argument is a struct whose first member is its own size in bytes: a library refuses a struct it does not know.
 * - Tensors are contiguous (row-major), of `dtype`, on the library's device; the caller has checked shapes and types and
 *   keeps them alive until the call returns (CUDA: until the stream has passed it). NULL: not given, or not wanted.
 * - A function returns 0, or another number after which ul_last_error() says why (per thread). Nothing is thrown, and
 *   nothing is written beyond the outputs and the workspace. Nothing is allocated on a CUDA device: the caller gives
 *   `workspace` of at least the bytes that ul_*_workspace() returns for the same struct (pointers are not looked at).
 * - Results do not depend on the number of threads (CPU).
 */
#ifndef UNLEARNKIT_OPS_H
#define UNLEARNKIT_OPS_H

#include <stdint.h>

#if defined(_WIN32)
#define UL_API __declspec(dllexport)
#else
#define UL_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define UL_ABI_VERSION 1

enum { UL_F32 = 0, UL_F64 = 1 };

/* What every argument struct begins with. */
#define UL_COMMON                                                                             \
  int64_t size;           /* sizeof the whole struct */                                       \
  int64_t dtype;          /* UL_F32 or UL_F64: of every tensor */                             \
  int64_t threads;        /* CPU: at most so many threads, at least 1; CUDA: not used */      \
  void* stream;           /* CUDA: the cudaStream_t to launch on; CPU: not used */            \
  void* workspace;        /* scratch memory, aligned to 64 bytes */                           \
  int64_t workspace_size; /* its bytes */

/* y = clamp(lrelu((x * scale + noise + bias) * gain)); every factor and summand but x may be left out.
 * The backward pass derives the masks from y: slope where y < 0, nothing where |y| >= clamp. */
typedef struct {
  UL_COMMON
  int64_t n, c, hw;    /* x, y, dy, dx: (n, c, hw) */
  int64_t noise_n;     /* samples of noise: 1 (shared by all) or n */
  double slope;        /* of lrelu for negative numbers; 1: linear */
  double gain;         /* positive */
  double clamp;        /* limit of |y|; negative: none */
  const void* x;       /* backward: read only if dscale is wanted */
  const void* bias;    /* (c) */
  const void* scale;   /* (n, c) */
  const void* noise;   /* (noise_n, hw) */
  void* y;             /* forward: written; backward: read */
  const void* dy;
  void* dx;
  void* dbias;         /* (c) */
  void* dscale;        /* (n, c) */
  void* dnoise;        /* (noise_n, hw) */
} ul_bias_act_args;

/* Zeros between the values (up), zeros around them (pad, negative: cut off), true convolution with the filter (it is
 * flipped), every down-th value, times gain. Its own backward pass, with up and down exchanged. */
typedef struct {
  UL_COMMON
  int64_t planes;         /* x: (planes, h, w); y: (planes, out_h, out_w) */
  int64_t h, w, out_h, out_w;
  int64_t fh, fw;         /* kernel: (fh, fw) */
  int64_t up, down;
  int64_t left, top;      /* padding in front; what is missing behind follows from out_h and out_w */
  double gain;
  const void* x;
  const void* kernel;
  void* y;
} ul_upfirdn2d_args;

/* distance[n] = mean over places of the sum over channels of weights * (a / (|a| + eps) - b / (|b| + eps))^2, |.| along
 * the channels: a stage of LPIPS. Where |a| is 0, its derivative counts as 0. */
typedef struct {
  UL_COMMON
  int64_t n, c, hw;      /* a, b, da, db: (n, c, hw) */
  int64_t channels_last; /* 1: (n, hw, c), on the CPU only */
  double eps;
  const void* a;
  const void* b;
  const void* weights;   /* (c) */
  void* distance;        /* (n) */
  const void* ddistance; /* (n) */
  void* da;              /* NULL: not wanted */
  void* db;              /* NULL: not wanted */
} ul_unit_distance_args;

/* features[m] = (plane_xy(x, y) + plane_xz(x, z) + plane_zx(z, x)) / 3 at the points times `scale`; bilinear, zeros
 * outside, pixel centres as torch.nn.functional.grid_sample(align_corners=False). Plane p is read at (column, row). */
typedef struct {
  UL_COMMON
  int64_t n, channels, side, points;
  double scale;           /* 2 / box_warp */
  const void* planes;     /* (n, 3, channels, side, side) */
  const void* points_xyz; /* (n, points, 3) */
  void* features;         /* (n, points, channels) */
  const void* dfeatures;
  void* dplanes;          /* backward: written whole */
} ul_sample_planes_args;

/* EG3D's renderer along each ray, decoder included: samples at `coarse_depths`, then at depths drawn where the coarse
 * weights are, everything composited in order of depth. See unlearnkit/ops/volume.py for the formulas.
 *   hidden = softplus(w1 features + b1); out = w2 hidden + b2; density = out[0];
 *   colour = sigmoid(out[1..32]) * (1 + 2 margin) - margin
 * `depth` is sum(weight * middle) / sum(weight): NaN where nothing was hit, not clamped. Depths, rays and draws have no
 * gradient. */
enum { UL_PLANE_CHANNELS = 32, UL_HIDDEN = 64, UL_COLOURS = 32 };

typedef struct {
  UL_COMMON
  int64_t n, side, rays, coarse, fine; /* coarse >= 4 where fine > 0, else >= 2; fine >= 0; coarse + fine <= 1024 */
  double scale;                        /* 2 / box_warp */
  double margin;
  const void* planes;        /* (n, 3, 32, side, side) */
  const void* w1;            /* (64, 32) */
  const void* b1;            /* (64) */
  const void* w2;            /* (33, 64) */
  const void* b2;            /* (33) */
  const void* origins;       /* (n, rays, 3) */
  const void* directions;    /* (n, rays, 3) */
  const void* coarse_depths; /* (n, rays, coarse), rising along each ray; forward only */
  const void* draws;         /* (n, rays, fine) in [0, 1); forward only */
  void* depths;              /* (n, rays, coarse + fine), the coarse ones first; forward: written; backward: read */
  void* colours;             /* (n, rays, 32) */
  void* depth;               /* (n, rays) */
  void* opacity;             /* (n, rays) */
  const void* dcolours;      /* backward; each of the three may be NULL: zero */
  const void* ddepth;
  const void* dopacity;
  void* dplanes;             /* written whole; NULL: not wanted */
  void* dw1;                 /* all four, or NULL: not wanted */
  void* db1;
  void* dw2;
  void* db2;
} ul_render_planes_args;

UL_API int ul_abi_version(void);        /* UL_ABI_VERSION of the library */
UL_API const char* ul_device(void);     /* "cpu" or "cuda" */
UL_API const char* ul_variant(void);    /* what was chosen on this computer, for people: "avx512", "sm_90", ... */
UL_API const char* ul_last_error(void); /* of this thread; "" if there was none */

UL_API int ul_bias_act(const ul_bias_act_args*);
UL_API int ul_bias_act_backward(const ul_bias_act_args*);
UL_API int ul_upfirdn2d(const ul_upfirdn2d_args*);
UL_API int ul_unit_distance(const ul_unit_distance_args*);
UL_API int ul_unit_distance_backward(const ul_unit_distance_args*);
UL_API int ul_sample_planes(const ul_sample_planes_args*);
UL_API int ul_sample_planes_backward(const ul_sample_planes_args*);
UL_API int ul_render_planes(const ul_render_planes_args*);
UL_API int ul_render_planes_backward(const ul_render_planes_args*);

/* Bytes of workspace for the forward (backward = 0) or backward pass. */
UL_API int64_t ul_bias_act_workspace(const ul_bias_act_args*, int backward);
UL_API int64_t ul_upfirdn2d_workspace(const ul_upfirdn2d_args*, int backward);
UL_API int64_t ul_unit_distance_workspace(const ul_unit_distance_args*, int backward);
UL_API int64_t ul_sample_planes_workspace(const ul_sample_planes_args*, int backward);
UL_API int64_t ul_render_planes_workspace(const ul_render_planes_args*, int backward);

#ifdef __cplusplus
}
#endif
#endif
