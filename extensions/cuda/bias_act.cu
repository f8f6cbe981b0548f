// y = clamp(lrelu((x * scale + noise + bias) * gain)) in one pass over memory, and its backward pass in another.
#include "kernels.cuh"

namespace ul {

namespace {

constexpr int THREADS = 256;
constexpr int PIXELS = 256;  // of one row (n, c) that a warp handles at a time in the backward pass
constexpr int GROUP = 8;     // channels that it goes through, summing the gradient of noise in registers

template <class T>
struct Numbers {  // the arguments as T
  const T *x, *bias, *scale, *noise, *dy;
  T *y, *dx, *dnoise;
  int64_t n, c, hw, noise_n;
  T slope, gain, clamp;

  explicit Numbers(const ul_bias_act_args& a)
      : x(static_cast<const T*>(a.x)), bias(static_cast<const T*>(a.bias)), scale(static_cast<const T*>(a.scale)),
        noise(static_cast<const T*>(a.noise)), dy(static_cast<const T*>(a.dy)), y(static_cast<T*>(a.y)),
        dx(static_cast<T*>(a.dx)), dnoise(static_cast<T*>(a.dnoise)), n(a.n), c(a.c), hw(a.hw), noise_n(a.noise_n),
        slope(T(a.slope)), gain(T(a.gain)), clamp(a.clamp < 0 ? T(INFINITY) : T(a.clamp)) {}
};

// V numbers a thread and step: 16 bytes, or 1 where rows do not begin at such addresses. Index: 32 bits where they
// suffice, because 64-bit divisions are slow.
template <class T, class Index, int V>
__global__ void __launch_bounds__(THREADS) forward_kernel(Numbers<T> a) {
  const Index hw = Index(a.hw), channels = Index(a.c), vectors = Index(a.n) * channels * hw / V;
  for (Index i = blockIdx.x * Index(THREADS) + threadIdx.x; i < vectors; i += gridDim.x * Index(THREADS)) {
    const Index row = i * V / hw, pixel = i * V - row * hw, sample = row / channels;
    const T factor = (a.scale == nullptr ? T(1) : a.scale[row]) * a.gain;
    const T shift = a.bias == nullptr ? T(0) : a.bias[row - sample * channels] * a.gain;
    Pack<T, V> values = load<V>(a.x + int64_t(i) * V), noise = {};
    if (a.noise != nullptr) noise = load<V>(a.noise + (a.noise_n == 1 ? 0 : int64_t(sample) * a.hw) + pixel);
    for (int j = 0; j < V; ++j) {
      T v = values.v[j] * factor + noise.v[j] * a.gain + shift;
      v = v < 0 ? v * a.slope : v;
      v = v < -a.clamp ? -a.clamp : v;
      values.v[j] = v > a.clamp ? a.clamp : v;  // NaN stays NaN
    }
    store(a.y + int64_t(i) * V, values);
  }
}

// What sums leave behind for a second kernel, which adds them in a fixed order: no result depends on chance.
template <class T>
struct Parts {
  T *plain, *times_x;  // (n * c, chunks): sums of g, and of g * x; NULL: not wanted
  T* noise;            // (groups, noise_n, hw)
  int64_t chunks, groups;
  bool together;       // a warp goes through all samples, because they share their noise
};

// A warp handles PIXELS pixels of GROUP channels. g = dy through clamp, activation and gain.
template <class T, int V>
__global__ void __launch_bounds__(THREADS) backward_kernel(Numbers<T> a, Parts<T> parts) {
  constexpr int STEPS = PIXELS / (32 * V);
  const int lane = threadIdx.x % 32;
  const int64_t tasks = parts.chunks * parts.groups * (parts.together ? 1 : a.n);
  const int64_t warps = int64_t(gridDim.x) * (THREADS / 32);
  for (int64_t task = (int64_t(blockIdx.x) * THREADS + threadIdx.x) / 32; task < tasks; task += warps) {
    const int64_t chunk = task % parts.chunks, group = task / parts.chunks % parts.groups;
    const int64_t first = task / (parts.chunks * parts.groups), last = parts.together ? a.n : first + 1;
    Pack<T, V> noise[STEPS] = {};
    for (int64_t n = first; n < last; ++n) {
      for (int64_t c = group * GROUP; c < smaller((group + 1) * GROUP, a.c); ++c) {
        const int64_t row = n * a.c + c;
        const T scale = a.scale == nullptr ? T(1) : a.scale[row];
        T plain = 0, times_x = 0;
#pragma unroll
        for (int step = 0; step < STEPS; ++step) {
          const int64_t pixel = chunk * PIXELS + (step * 32 + lane) * V, at = row * a.hw + pixel;
          if (pixel >= a.hw) continue;
          const Pack<T, V> y = load<V>(a.y + at);
          Pack<T, V> g = load<V>(a.dy + at), x = {};
          if (parts.times_x != nullptr) x = load<V>(a.x + at);
          for (int j = 0; j < V; ++j) {
            const T size = y.v[j] < 0 ? -y.v[j] : y.v[j];
            const T value = size < a.clamp ? g.v[j] * (y.v[j] < 0 ? a.slope * a.gain : a.gain) : T(0);
            plain += value;
            times_x += value * x.v[j];
            noise[step].v[j] += value;
            g.v[j] = value * scale;
          }
          if (a.dx != nullptr) store(a.dx + at, g);
        }
        if (parts.plain != nullptr) plain = warp_sum(plain);
        if (parts.times_x != nullptr) times_x = warp_sum(times_x);
        if (lane == 0 && parts.plain != nullptr) parts.plain[row * parts.chunks + chunk] = plain;
        if (lane == 0 && parts.times_x != nullptr) parts.times_x[row * parts.chunks + chunk] = times_x;
      }
    }
    if (parts.noise == nullptr) continue;
    T* into = parts.noise + (group * a.noise_n + (parts.together ? 0 : first)) * a.hw;
#pragma unroll
    for (int step = 0; step < STEPS; ++step) {
      const int64_t pixel = chunk * PIXELS + (step * 32 + lane) * V;
      if (pixel < a.hw) store(into + pixel, noise[step]);
    }
  }
}

// into[i] = the sum of parts[j * stride + i * count + k] over j < repeats and k < count; a block each.
template <class T>
__global__ void __launch_bounds__(THREADS)
sum_kernel(const T* parts, int64_t repeats, int64_t stride, int64_t count, T* into, int64_t size) {
  __shared__ T sums[THREADS / 32];
  for (int64_t i = blockIdx.x; i < size; i += gridDim.x) {
    T total = 0;
    for (int64_t j = threadIdx.x; j < repeats * count; j += THREADS) {
      total += parts[j / count * stride + i * count + j % count];
    }
    total = warp_sum(total);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = total;
    __syncthreads();
    if (threadIdx.x == 0) {
      total = 0;
      for (int warp = 0; warp < THREADS / 32; ++warp) total += sums[warp];
      into[i] = total;
    }
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(THREADS) sum_groups_kernel(const T* parts, int64_t groups, T* into, int64_t size) {
  for (int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x; i < size; i += int64_t(gridDim.x) * THREADS) {
    T total = 0;
    for (int64_t group = 0; group < groups; ++group) total += parts[group * size + i];
    into[i] = total;
  }
}

template <class T>
bool vectors_fit(const ul_bias_act_args& a) {
  bool fit = a.hw % (16 / int64_t(sizeof(T))) == 0;
  for (const void* tensor : {a.x, a.noise, static_cast<const void*>(a.y), a.dy, static_cast<const void*>(a.dx),
                             static_cast<const void*>(a.dnoise), static_cast<const void*>(a.workspace)}) {
    fit = fit && aligned_to_16(tensor);
  }
  return fit;
}

}  // namespace

template <class T>
int bias_act(const char* function, const ul_bias_act_args& a) {
  const int64_t count = a.n * a.c * a.hw;
  if (count == 0) return 0;
  constexpr int V = 16 / sizeof(T);
  const bool vectors = vectors_fit<T>(a), small = count < (int64_t(1) << 31);
  auto* kernel = vectors ? (small ? forward_kernel<T, uint32_t, V> : forward_kernel<T, int64_t, V>)
                         : (small ? forward_kernel<T, uint32_t, 1> : forward_kernel<T, int64_t, 1>);
  UL_LAUNCH(kernel, blocks_for(count / (vectors ? V : 1), THREADS), THREADS, 0, stream_of(a), Numbers<T>(a));
  return checked(function, cudaGetLastError());
}

template <class T>
int64_t bias_act_backward_workspace(const ul_bias_act_args& a) {
  const int64_t sums = a.n * a.c * ceil_div(a.hw, PIXELS), groups = ceil_div(a.c, GROUP);
  return 2 * aligned(sums * sizeof(T)) + aligned(groups * a.noise_n * a.hw * sizeof(T));
}

template <class T>
int bias_act_backward(const char* function, const ul_bias_act_args& a) {
  T *dbias = static_cast<T*>(a.dbias), *dscale = static_cast<T*>(a.dscale), *dnoise = static_cast<T*>(a.dnoise);
  if (a.n * a.c * a.hw == 0) {
    UL_TRY(function, clear(function, a, dbias, a.c * sizeof(T)));
    UL_TRY(function, clear(function, a, dscale, a.n * a.c * sizeof(T)));
    return clear(function, a, dnoise, a.noise_n * a.hw * sizeof(T));
  }
  UL_TRY(function, has_workspace(function, a, bias_act_backward_workspace<T>(a)));
  Parts<T> parts{};
  parts.chunks = ceil_div(a.hw, PIXELS), parts.groups = ceil_div(a.c, GROUP);
  parts.together = dnoise != nullptr && a.noise_n == 1;
  const int64_t rows = a.n * a.c, sums = aligned(rows * parts.chunks * sizeof(T));
  char* space = static_cast<char*>(a.workspace);
  if (dbias != nullptr) parts.plain = reinterpret_cast<T*>(space);
  if (dscale != nullptr) parts.times_x = reinterpret_cast<T*>(space + sums);
  if (dnoise != nullptr) parts.noise = parts.groups == 1 ? dnoise : reinterpret_cast<T*>(space + 2 * sums);
  auto* kernel = vectors_fit<T>(a) ? backward_kernel<T, 16 / sizeof(T)> : backward_kernel<T, 1>;
  const int64_t tasks = parts.chunks * parts.groups * (parts.together ? 1 : a.n);
  UL_LAUNCH(kernel, blocks_for(tasks, THREADS / 32), THREADS, 0, stream_of(a), Numbers<T>(a), parts);
  UL_TRY(function, cudaGetLastError());
  if (dbias != nullptr) {
    auto* sum = sum_kernel<T>;
    UL_LAUNCH(sum, blocks_for(a.c, 1), THREADS, 0, stream_of(a), parts.plain, a.n, a.c * parts.chunks, parts.chunks,
              dbias, a.c);
    UL_TRY(function, cudaGetLastError());
  }
  if (dscale != nullptr) {
    auto* sum = sum_kernel<T>;
    UL_LAUNCH(sum, blocks_for(rows, 1), THREADS, 0, stream_of(a), parts.times_x, int64_t(1), int64_t(0), parts.chunks,
              dscale, rows);
    UL_TRY(function, cudaGetLastError());
  }
  if (dnoise != nullptr && parts.groups > 1) {
    auto* sum = sum_groups_kernel<T>;
    const int64_t size = a.noise_n * a.hw;
    UL_LAUNCH(sum, blocks_for(size, THREADS), THREADS, 0, stream_of(a), parts.noise, parts.groups, dnoise, size);
    UL_TRY(function, cudaGetLastError());
  }
  return 0;
}

template int bias_act<float>(const char*, const ul_bias_act_args&);
template int bias_act<double>(const char*, const ul_bias_act_args&);
template int bias_act_backward<float>(const char*, const ul_bias_act_args&);
template int bias_act_backward<double>(const char*, const ul_bias_act_args&);
template int64_t bias_act_backward_workspace<float>(const ul_bias_act_args&);
template int64_t bias_act_backward_workspace<double>(const ul_bias_act_args&);

}  // namespace ul
