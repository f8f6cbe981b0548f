// Features of points on tri-planes: a warp a point, its lanes the channels.
#include "kernels.cuh"
#include "planes.cuh"

namespace ul {

namespace {

constexpr int THREADS = 256, WARPS = THREADS / 32;

template <class T>
struct Points {
  const T* xyz;     // (n, points, 3)
  int64_t n, points;
  int channels, side;
  T scale;

  explicit Points(const ul_sample_planes_args& a)
      : xyz(static_cast<const T*>(a.points_xyz)), n(a.n), points(a.points), channels(int(a.channels)),
        side(int(a.side)), scale(T(a.scale)) {}

  UL_DEVICE Taps<T> taps(int64_t point) const {
    const T* p = xyz + 3 * point;
    return taps_at(p[0] * scale, p[1] * scale, p[2] * scale, side);
  }

  UL_DEVICE int64_t image_offset(int64_t point) const { return point / points * 2 * side * side * channels; }
};

template <class T>
__global__ void __launch_bounds__(THREADS) sample_kernel(Points<T> a, const T* merged, T* features) {
  const int64_t stride = int64_t(gridDim.x) * WARPS;
  for (int64_t point = (int64_t(blockIdx.x) * THREADS + threadIdx.x) / 32; point < a.n * a.points; point += stride) {
    const Taps<T> taps = a.taps(point);
    const T* image = merged + a.image_offset(point);
    for (int c = threadIdx.x % 32; c < a.channels; c += 32) {
      features[point * a.channels + c] = gather(taps, a.side, a.channels, image + c);
    }
  }
}

// Neighbouring points share pixels, so they add: in no particular order, as PyTorch's own kernel does.
template <class T>
__global__ void __launch_bounds__(THREADS) scatter_kernel(Points<T> a, const T* dfeatures, T* gradient) {
  const int64_t stride = int64_t(gridDim.x) * WARPS;
  for (int64_t point = (int64_t(blockIdx.x) * THREADS + threadIdx.x) / 32; point < a.n * a.points; point += stride) {
    const Taps<T> taps = a.taps(point);
    T* image = gradient + a.image_offset(point);
    for (int c = threadIdx.x % 32; c < a.channels; c += 32) {
      scatter(taps, a.side, a.channels, dfeatures[point * a.channels + c], image + c);
    }
  }
}

}  // namespace

template <class T>
int64_t sample_planes_workspace(const ul_sample_planes_args& a) {
  return merged_size<T>(a.n, a.channels, a.side);
}

template <class T>
int sample_planes(const char* function, const ul_sample_planes_args& a) {
  if (a.n * a.points * a.channels == 0) return 0;
  UL_TRY(function, has_workspace(function, a, sample_planes_workspace<T>(a)));
  T* merged = static_cast<T*>(a.workspace);
  const T* planes = static_cast<const T*>(a.planes);
  UL_TRY(function, pack_planes(function, stream_of(a), planes, a.n, a.channels, a.side, merged));
  auto* kernel = sample_kernel<T>;
  UL_LAUNCH(kernel, blocks_for(a.n * a.points, WARPS), THREADS, 0, stream_of(a), Points<T>(a), merged,
            static_cast<T*>(a.features));
  return checked(function, cudaGetLastError());
}

template <class T>
int sample_planes_backward(const char* function, const ul_sample_planes_args& a) {
  const int64_t count = a.n * 3 * a.channels * a.side * a.side;
  if (count == 0 || a.points == 0) return clear(function, a, a.dplanes, count * sizeof(T));
  UL_TRY(function, has_workspace(function, a, sample_planes_workspace<T>(a)));
  T* gradient = static_cast<T*>(a.workspace);
  UL_TRY(function, clear(function, a, gradient, sample_planes_workspace<T>(a)));
  auto* kernel = scatter_kernel<T>;
  UL_LAUNCH(kernel, blocks_for(a.n * a.points, WARPS), THREADS, 0, stream_of(a), Points<T>(a),
            static_cast<const T*>(a.dfeatures), gradient);
  UL_TRY(function, cudaGetLastError());
  return unpack_planes(function, stream_of(a), gradient, a.n, a.channels, a.side, static_cast<T*>(a.dplanes));
}

template int sample_planes<float>(const char*, const ul_sample_planes_args&);
template int sample_planes<double>(const char*, const ul_sample_planes_args&);
template int sample_planes_backward<float>(const char*, const ul_sample_planes_args&);
template int sample_planes_backward<double>(const char*, const ul_sample_planes_args&);
template int64_t sample_planes_workspace<float>(const ul_sample_planes_args&);
template int64_t sample_planes_workspace<double>(const ul_sample_planes_args&);

}  // namespace ul
