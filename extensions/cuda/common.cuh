// What every kernel here may call: errors, launches, sums over a warp, elementary functions.
#pragma once

#include <cmath>
#include <cstdint>

#include "unlearnkit_ops.h"

#ifdef UL_CUDA_ON_HOST  // tests run the kernels on a CPU: tests/extensions/cuda_on_host.h
#include "cuda_on_host.h"
#else
#include <cuda_runtime.h>
#define UL_LAUNCH(kernel, grid, block, shared, stream, ...) kernel<<<grid, block, shared, stream>>>(__VA_ARGS__)
#define UL_DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#define UL_MOST_BLOCKS (1 << 20)
#endif

#define UL_DEVICE __device__ __forceinline__

// Leaves the function with an error code where a CUDA call, or another function of this kind, fails.
#define UL_TRY(function, status)                                          \
  do {                                                                    \
    if (int code = ul::checked(function, status)) return code;            \
  } while (0)

namespace ul {

// ---------------------------------------------------------------- on the host

int fail(const char* function, const char* why);         // remembers why; returns 1
int checked(const char* function, cudaError_t status);   // 0, or fails with CUDA's words
inline int checked(const char*, int code) { return code; }

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
inline int64_t aligned(int64_t bytes) { return ceil_div(bytes, 256) * 256; }

// Every kernel strides over its work, so a grid may be smaller than the work.
inline unsigned blocks_for(int64_t work, int64_t per_block) {
  const int64_t blocks = ceil_div(work, per_block);
  return unsigned(blocks < UL_MOST_BLOCKS ? blocks : UL_MOST_BLOCKS);
}

template <class Args>
cudaStream_t stream_of(const Args& a) { return static_cast<cudaStream_t>(a.stream); }

template <class Args>
int has_workspace(const char* function, const Args& a, int64_t bytes) {
  if (bytes == 0 || (a.workspace != nullptr && a.workspace_size >= bytes)) return 0;
  return fail(function, "the workspace is smaller than ul_*_workspace() says");
}

inline bool aligned_to_16(const void* pointer) { return reinterpret_cast<uintptr_t>(pointer) % 16 == 0; }

// Zeros, if the tensor is wanted and not empty.
template <class Args>
int clear(const char* function, const Args& a, void* tensor, int64_t bytes) {
  if (tensor == nullptr || bytes == 0) return 0;
  return checked(function, cudaMemsetAsync(tensor, 0, size_t(bytes), stream_of(a)));
}

// ---------------------------------------------------------------- on the device

constexpr unsigned EVERY_LANE = 0xffffffffu;

// N numbers that are loaded and stored at once: 16 bytes if N is 16 / sizeof(T).
template <class T, int N>
struct alignas(N * sizeof(T) < 16 ? N * sizeof(T) : 16) Pack {
  T v[N];
};

template <int N, class T>
UL_DEVICE Pack<T, N> load(const T* from) { return *reinterpret_cast<const Pack<T, N>*>(from); }
template <int N, class T>
UL_DEVICE void store(T* to, const Pack<T, N>& value) { *reinterpret_cast<Pack<T, N>*>(to) = value; }

// The sum over the lanes of a warp, in every lane, in an order that is always the same.
template <class T>
UL_DEVICE T warp_sum(T value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(EVERY_LANE, value, step);
  return value;
}

template <class T>
UL_DEVICE T larger(T a, T b) { return a > b ? a : b; }
template <class T>
UL_DEVICE T smaller(T a, T b) { return a < b ? a : b; }

UL_DEVICE double exponential(double x) { return exp(x); }
UL_DEVICE float exponential(float x) { return expf(x); }
UL_DEVICE double log_of_1_plus(double x) { return log1p(x); }
UL_DEVICE float log_of_1_plus(float x) { return log1pf(x); }

// For the decoder, which takes 64 + 32 of them a sample: a few instructions each. The logarithm's absolute error is
// below 4e-7 between 1 and 2 (CUDA C++ Programming Guide, intrinsic functions). In float64 exact, for tests.
#ifdef __CUDA_ARCH__
UL_DEVICE float quick_exponential(float x) { return __expf(x); }
UL_DEVICE float quick_log(float x) { return __logf(x); }
UL_DEVICE float quick_ratio(float a, float b) { return __fdividef(a, b); }
#else
UL_DEVICE float quick_exponential(float x) { return expf(x); }
UL_DEVICE float quick_log(float x) { return logf(x); }
UL_DEVICE float quick_ratio(float a, float b) { return a / b; }
#endif
UL_DEVICE double quick_exponential(double x) { return exp(x); }
UL_DEVICE double quick_ratio(double a, double b) { return a / b; }
UL_DEVICE float quick_log_of_1_plus(float x) { return quick_log(1 + x); }
UL_DEVICE double quick_log_of_1_plus(double x) { return log1p(x); }

template <class T>
UL_DEVICE T softplus(T x) { return larger(x, T(0)) + log_of_1_plus(exponential(x > 0 ? -x : x)); }

template <class T>
UL_DEVICE T logistic(T x) {
  const T e = quick_exponential(x > 0 ? -x : x), near = quick_ratio(T(1), 1 + e);
  return x > 0 ? near : e * near;
}

// softplus and its derivative, the logistic function, from one exponential.
template <class T>
UL_DEVICE T quick_softplus(T x, T& slope) {
  const T e = quick_exponential(x > 0 ? -x : x), near = quick_ratio(T(1), 1 + e);
  slope = x > 0 ? near : e * near;
  return larger(x, T(0)) + quick_log_of_1_plus(e);
}

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 600  // older GPUs add no float64 at once
UL_DEVICE void add(double* to, double value) {
  auto* bits = reinterpret_cast<unsigned long long*>(to);
  unsigned long long seen = *bits, assumed;
  do {
    assumed = seen;
    const double sum = value + __longlong_as_double((long long)assumed);
    seen = atomicCAS(bits, assumed, (unsigned long long)__double_as_longlong(sum));
  } while (assumed != seen);
}
#else
UL_DEVICE void add(double* to, double value) { atomicAdd(to, value); }
#endif
UL_DEVICE void add(float* to, float value) { atomicAdd(to, value); }

}  // namespace ul
