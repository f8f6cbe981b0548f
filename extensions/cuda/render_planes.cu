// The forward pass of the renderer. How it is laid out: render_planes.cuh.
#include "render_planes.cuh"

namespace ul {

namespace {

constexpr int MOST_WARPS = 6;  // of a block; two such blocks leave each thread 168 registers

template <class T>
struct Forward : Render<T> {
  const T *coarse_depths, *draws;
  T *colours, *depth, *opacity;

  explicit Forward(const ul_render_planes_args& a)
      : Render<T>(a), coarse_depths(static_cast<const T*>(a.coarse_depths)), draws(static_cast<const T*>(a.draws)),
        colours(static_cast<T*>(a.colours)), depth(static_cast<T*>(a.depth)), opacity(static_cast<T*>(a.opacity)) {}
};

// A ray's numbers in shared memory, `total` of each kind.
template <class T>
struct Ray {
  static constexpr int KINDS = 6;
  T *depth, *density, *sorted, *sorted_density, *weight;
  int* order;

  UL_DEVICE Ray(T* memory, int total, int ray) {
    depth = memory + int64_t(ray) * KINDS * total;
    density = depth + total, sorted = density + total, sorted_density = sorted + total;
    weight = sorted_density + total;
    order = reinterpret_cast<int*>(weight + total);
  }
};

// Density and colours of `count` samples, from `begin` on, of each of the block's rays; by the whole block.
template <class T>
__device__ void look(const Forward<T>& a, const Decoder<T>& net, Gathering<T>& own, const Slot<T>& slot, T* rays_memory,
                     int64_t first_ray, int rays, int begin, int count) {
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  for (int tile = warp; tile * 32 < count * rays; tile += warps) {
    const Sample sample(tile, count, rays);
    const Ray<T> ray(rays_memory, a.total, sample.ray);
    const int place = begin + sample.place;
    own.aim(a, first_ray + sample.ray, ray.depth[place], sample.is);
    T features[IN], out[OUT];
    own.gather(a, features);
    net.decode(features, out);
    if (!sample.is) continue;
    ray.density[place] = out[DENSITY];
#pragma unroll
    for (int c = 0; c < COLOURS; ++c) {
      slot.at(c, sample.ray * a.total + place) = logistic(out[c]) * a.stretch - a.margin;
    }
  }
}

// Depths behind the coarse ones, drawn where the coarse weights are by inverting their distribution: volume.importance.
template <class T>
__device__ void draw(const Forward<T>& a, const Ray<T>& ray, int64_t index) {
  const int lane = threadIdx.x % 32, inner = a.coarse - 3;
  const T eps = T(1e-5), *w = ray.weight;
  T *cdf = ray.sorted, whole = 0, before = 0;
  each_interval(ray.depth, ray.density, a.coarse,
                [&](int i, T alpha, T through, T) { ray.weight[i] = alpha * through; });
  __syncwarp();
  auto smooth = [&](int i) {  // of the larger of each two neighbours, the mean of each two neighbours
    return (larger(w[i - 1], w[i]) + larger(w[i], w[i + 1])) / 2 + T(0.01) + eps;
  };
  for (int i = 1 + lane; i <= inner; i += 32) whole += smooth(i);
  whole = warp_sum(whole);
  if (lane == 0) cdf[0] = 0;
  for (int first = 1; first <= inner; first += 32) {
    T sum = first + lane <= inner ? smooth(first + lane) / whole : T(0);
    for (int step = 1; step < 32; step *= 2) {
      const T other = __shfl_up_sync(EVERY_LANE, sum, step);
      if (lane >= step) sum += other;
    }
    if (first + lane <= inner) cdf[first + lane] = before + sum;
    before += __shfl_sync(EVERY_LANE, sum, 31);
  }
  __syncwarp();
  for (int k = lane; k < a.fine; k += 32) {
    const T u = a.draws[index * a.fine + k];
    int low = 0, high = inner + 1;  // the first number of cdf that is larger than u
    while (low < high) {
      const int half = (low + high) / 2;
      if (cdf[half] > u) high = half; else low = half + 1;
    }
    const int below = low > 0 ? low - 1 : 0, above = low < inner ? low : inner;
    T width = cdf[above] - cdf[below];
    if (width < eps) width = 1;
    const T start = (ray.depth[below] + ray.depth[below + 1]) / 2, end = (ray.depth[above] + ray.depth[above + 1]) / 2;
    const T drawn = start + (u - cdf[below]) / width * (end - start);
    ray.depth[a.coarse + k] = drawn;
    a.depths[index * a.total + a.coarse + k] = drawn;
  }
}

template <class T>
__device__ void composite(const Forward<T>& a, const Ray<T>& ray, const Slot<T>& slot, int of_block, int64_t index) {
  const int lane = threadIdx.x % 32;
  sort_samples(ray.depth, ray.density, a.total, ray.order, ray.sorted, ray.sorted_density);
  T opacity = 0, depth = 0;
  each_interval(ray.sorted, ray.sorted_density, a.total, [&](int i, T alpha, T through, T) {
    const T weight = alpha * through;
    ray.weight[i] = weight;
    opacity += weight;
    depth += weight * (ray.sorted[i] + ray.sorted[i + 1]) / 2;
  });
  opacity = warp_sum(opacity);
  depth = warp_sum(depth);
  __syncwarp();
  T* share = ray.density;  // of each sample, in the order of their looking; densities are not needed any more
  for (int i = lane; i < a.total; i += 32) {
    const T before = i > 0 ? ray.weight[i - 1] : T(0), behind = i + 1 < a.total ? ray.weight[i] : T(0);
    share[ray.order[i]] = (before + behind) / 2;
  }
  __syncwarp();
  T mine = 0;
#pragma unroll 4
  for (int c = 0; c < COLOURS; ++c) {
    T sum = 0;
    for (int i = lane; i < a.total; i += 32) sum += share[i] * slot.at(c, of_block * a.total + i);
    sum = warp_sum(sum);
    if (lane == c) mine = sum;
  }
  a.colours[index * COLOURS + lane] = mine;
  if (lane == 0) {
    a.opacity[index] = opacity;
    a.depth[index] = depth / opacity;
  }
}

template <class T>
int64_t fixed_bytes() { return sizeof(Decoder<T>); }
template <class T>
int64_t warp_bytes(int64_t total) {
  return ceil_div(sizeof(Gathering<T>) + Ray<T>::KINDS * total * sizeof(T), 16) * 16;
}

template <class T>
__global__ void __launch_bounds__(32 * MOST_WARPS, sizeof(T) == sizeof(float) ? 2 : 1) render_kernel(Forward<T> a) {
  UL_DYNAMIC_SHARED(memory);
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  Decoder<T>& net = *reinterpret_cast<Decoder<T>*>(memory);
  Gathering<T>* gatherings = reinterpret_cast<Gathering<T>*>(memory + sizeof(Decoder<T>));
  T* rays_memory = reinterpret_cast<T*>(gatherings + warps);
  const Slot<T> slot(a.slots, int64_t(warps) * a.total, 1);
  const Ray<T> ray(rays_memory, a.total, warp);
  net.fill(a);
  for (int64_t first = int64_t(blockIdx.x) * warps; first < a.all_rays; first += int64_t(gridDim.x) * warps) {
    const int rays = int(smaller<int64_t>(warps, a.all_rays - first));
    const int64_t index = first + warp;
    const bool works = warp < rays;
    for (int i = threadIdx.x % 32; works && i < a.coarse; i += 32) {
      ray.depth[i] = a.depths[index * a.total + i] = a.coarse_depths[index * a.coarse + i];
    }
    __syncthreads();
    look(a, net, gatherings[warp], slot, rays_memory, first, rays, 0, a.coarse);
    __syncthreads();
    if (a.fine > 0) {
      if (works) draw(a, ray, index);
      __syncthreads();
      look(a, net, gatherings[warp], slot, rays_memory, first, rays, a.coarse, a.fine);
      __syncthreads();
    }
    if (works) composite(a, ray, slot, warp, index);
  }
}

template <class T>
int64_t slots_size(const Plan& plan, int64_t total) {
  return plan.blocks * plan.warps * total * COLOURS * int64_t(sizeof(T));
}

template <class T>
int plan_forward(const char* function, const ul_render_planes_args& a, Plan& plan) {
  return make_plan(function, render_kernel<T>, MOST_WARPS, fixed_bytes<T>(), warp_bytes<T>(a.coarse + a.fine),
                   a.n * a.rays, plan);
}

}  // namespace

template <class T>
int64_t render_planes_workspace(const ul_render_planes_args& a) {
  Plan plan{};
  if (a.n * a.rays == 0 || plan_forward<T>("ul_render_planes_workspace", a, plan) != 0) return 0;
  return merged_size<T>(a.n, IN, a.side) + slots_size<T>(plan, a.coarse + a.fine);
}

template <class T>
int render_planes(const char* function, const ul_render_planes_args& a) {
  if (a.n * a.rays == 0) return 0;
  Plan plan{};
  UL_TRY(function, plan_forward<T>(function, a, plan));
  const int64_t merged_bytes = merged_size<T>(a.n, IN, a.side);
  UL_TRY(function, has_workspace(function, a, merged_bytes + slots_size<T>(plan, a.coarse + a.fine)));
  T* merged = static_cast<T*>(a.workspace);
  const T* planes = static_cast<const T*>(a.planes);
  UL_TRY(function, pack_planes(function, stream_of(a), planes, a.n, IN, a.side, merged));
  Forward<T> arguments(a);
  arguments.merged = merged;
  arguments.slots = reinterpret_cast<T*>(static_cast<char*>(a.workspace) + merged_bytes);
  auto* kernel = render_kernel<T>;
  UL_LAUNCH(kernel, unsigned(plan.blocks), unsigned(32 * plan.warps), size_t(plan.shared), stream_of(a), arguments);
  return checked(function, cudaGetLastError());
}

template int render_planes<float>(const char*, const ul_render_planes_args&);
template int render_planes<double>(const char*, const ul_render_planes_args&);
template int64_t render_planes_workspace<float>(const ul_render_planes_args&);
template int64_t render_planes_workspace<double>(const ul_render_planes_args&);

}  // namespace ul
