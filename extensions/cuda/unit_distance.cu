// mean over places of sum over channels of weights * (a / (|a| + eps) - b / (|b| + eps))^2. A block of threads handles 32
// places, a lane each; its warps share the channels. The maps are read again from the cache instead of being kept.
#include "kernels.cuh"

namespace ul {

namespace {

constexpr int WARPS = 8, THREADS = 32 * WARPS;

template <class T>
struct Maps {  // the arguments as T
  const T *a, *b, *weights, *ddistance;
  T *da, *db;
  int64_t n, c, hw, groups;  // groups of 32 places of a sample
  T eps;

  explicit Maps(const ul_unit_distance_args& args)
      : a(static_cast<const T*>(args.a)), b(static_cast<const T*>(args.b)), weights(static_cast<const T*>(args.weights)),
        ddistance(static_cast<const T*>(args.ddistance)), da(static_cast<T*>(args.da)), db(static_cast<T*>(args.db)),
        n(args.n), c(args.c), hw(args.hw), groups(ceil_div(args.hw, 32)), eps(T(args.eps)) {}
};

// Rounded, never one operation with what is added to it: so equal maps are at distance 0.
#ifdef UL_CUDA_ON_HOST
template <class T>
UL_DEVICE T rounded_product(T a, T b) { return a * b; }
#else
UL_DEVICE float rounded_product(float a, float b) { return __fmul_rn(a, b); }
UL_DEVICE double rounded_product(double a, double b) { return __dmul_rn(a, b); }
#endif

// The sum over the warps of what each lane has, for every warp, in a fixed order.
template <class T>
UL_DEVICE T sum_over_warps(T value, T* shared) {
  __syncthreads();
  shared[threadIdx.x] = value;
  __syncthreads();
  T total = 0;
  for (int warp = 0; warp < WARPS; ++warp) total += shared[warp * 32 + threadIdx.x % 32];
  return total;
}

// One place of both maps, as a lane sees it: where it lies, and the lengths of its vectors.
template <class T>
struct Place {
  int64_t offset;  // of its first channel
  bool inside;
  T left, right;              // |a|, |b|
  T left_scale, right_scale;  // 1 / (|.| + eps)

  UL_DEVICE Place(const Maps<T>& maps, int64_t task, T* shared) {
    const int64_t pixel = task % maps.groups * 32 + threadIdx.x % 32;
    inside = pixel < maps.hw;
    offset = task / maps.groups * maps.c * maps.hw + pixel;
    T squares_a = 0, squares_b = 0;
    for (int64_t c = threadIdx.x / 32; inside && c < maps.c; c += WARPS) {
      const T a = maps.a[offset + c * maps.hw], b = maps.b[offset + c * maps.hw];
      squares_a += a * a;
      squares_b += b * b;
    }
    left = sqrt(sum_over_warps(squares_a, shared));
    right = sqrt(sum_over_warps(squares_b, shared));
    left_scale = 1 / (left + maps.eps);
    right_scale = 1 / (right + maps.eps);
  }

  UL_DEVICE T difference(const Maps<T>& maps, int64_t c) const {
    const int64_t at = offset + c * maps.hw;
    return rounded_product(maps.a[at], left_scale) - rounded_product(maps.b[at], right_scale);
  }
};

template <class T>
__global__ void __launch_bounds__(THREADS) forward_kernel(Maps<T> maps, T* parts) {
  __shared__ T shared[THREADS];
  for (int64_t task = blockIdx.x; task < maps.n * maps.groups; task += gridDim.x) {
    const Place<T> place(maps, task, shared);
    T total = 0;
    for (int64_t c = threadIdx.x / 32; place.inside && c < maps.c; c += WARPS) {
      const T d = place.difference(maps, c);
      total += maps.weights[c] * d * d;
    }
    total = warp_sum(sum_over_warps(total, shared));
    if (threadIdx.x == 0) parts[task] = total;
  }
}

// A block a sample: the mean of what the groups of places summed up, in a fixed order.
template <class T>
__global__ void __launch_bounds__(THREADS) mean_kernel(const T* parts, T* distance, int64_t n, int64_t groups, T places) {
  __shared__ T shared[THREADS];
  for (int64_t sample = blockIdx.x; sample < n; sample += gridDim.x) {
    T total = 0;
    for (int64_t group = threadIdx.x; group < groups; group += THREADS) total += parts[sample * groups + group];
    total = warp_sum(sum_over_warps(total, shared));
    if (threadIdx.x == 0) distance[sample] = total / places;
  }
}

// With s = 1 / (|x| + eps) and u = weights * difference, of x_c: (u_c - x_c s dot / |x|) s factor, dot = sum u x.
template <class T>
__global__ void __launch_bounds__(THREADS) backward_kernel(Maps<T> maps) {
  __shared__ T shared[THREADS];
  for (int64_t task = blockIdx.x; task < maps.n * maps.groups; task += gridDim.x) {
    const Place<T> place(maps, task, shared);
    T left_dot = 0, right_dot = 0;
    for (int64_t c = threadIdx.x / 32; place.inside && c < maps.c; c += WARPS) {
      const T u = maps.weights[c] * place.difference(maps, c);
      left_dot += u * maps.a[place.offset + c * maps.hw];
      right_dot += u * maps.b[place.offset + c * maps.hw];
    }
    left_dot = sum_over_warps(left_dot, shared);
    right_dot = sum_over_warps(right_dot, shared);
    left_dot = place.left > 0 ? left_dot * place.left_scale / place.left : T(0);
    right_dot = place.right > 0 ? right_dot * place.right_scale / place.right : T(0);
    const T factor = maps.ddistance[task / maps.groups] * 2 / T(maps.hw);
    for (int64_t c = threadIdx.x / 32; place.inside && c < maps.c; c += WARPS) {
      const int64_t at = place.offset + c * maps.hw;
      const T u = maps.weights[c] * place.difference(maps, c), a = maps.a[at], b = maps.b[at];
      if (maps.da != nullptr) maps.da[at] = (u - a * left_dot) * place.left_scale * factor;
      if (maps.db != nullptr) maps.db[at] = (b * right_dot - u) * place.right_scale * factor;
    }
  }
}

}  // namespace

template <class T>
int64_t unit_distance_workspace(const ul_unit_distance_args& a) {
  return aligned(a.n * ceil_div(a.hw, 32) * sizeof(T));
}

template <class T>
int unit_distance(const char* function, const ul_unit_distance_args& a) {
  if (a.n == 0) return 0;
  UL_TRY(function, has_workspace(function, a, unit_distance_workspace<T>(a)));
  const Maps<T> maps(a);
  T* parts = static_cast<T*>(a.workspace);
  if (a.hw > 0) {
    auto* kernel = forward_kernel<T>;
    UL_LAUNCH(kernel, blocks_for(maps.n * maps.groups, 1), THREADS, 0, stream_of(a), maps, parts);
    UL_TRY(function, cudaGetLastError());
  }
  auto* mean = mean_kernel<T>;
  UL_LAUNCH(mean, blocks_for(a.n, 1), THREADS, 0, stream_of(a), parts, static_cast<T*>(a.distance), a.n, maps.groups,
            T(a.hw));
  return checked(function, cudaGetLastError());
}

template <class T>
int unit_distance_backward(const char* function, const ul_unit_distance_args& a) {
  const Maps<T> maps(a);
  if (maps.n * maps.c * maps.hw == 0) return 0;
  auto* kernel = backward_kernel<T>;
  UL_LAUNCH(kernel, blocks_for(maps.n * maps.groups, 1), THREADS, 0, stream_of(a), maps);
  return checked(function, cudaGetLastError());
}

template int unit_distance<float>(const char*, const ul_unit_distance_args&);
template int unit_distance<double>(const char*, const ul_unit_distance_args&);
template int unit_distance_backward<float>(const char*, const ul_unit_distance_args&);
template int unit_distance_backward<double>(const char*, const ul_unit_distance_args&);
template int64_t unit_distance_workspace<float>(const ul_unit_distance_args&);
template int64_t unit_distance_workspace<double>(const ul_unit_distance_args&);

}  // namespace ul
