// The backward pass of the renderer. Nothing of a sample was kept but its depth: it is looked at again.
#include "render_planes_backward.cuh"

namespace ul {

namespace {

constexpr int MOST_WARPS = 8;  // of a block; one such block leaves each thread 255 registers

template <class T>
int64_t fixed_bytes() { return sizeof(Decoder<T>) + ceil_div(sizeof(DecoderGradient<T>), 16) * 16; }
template <class T>
int64_t warp_bytes(int64_t total) { return ceil_div(sizeof(Own<T>) + Ray<T>::KINDS * total * sizeof(T), 16) * 16; }

template <class T>
__global__ void __launch_bounds__(32 * MOST_WARPS) backward_kernel(Backward<T> a) {
  UL_DYNAMIC_SHARED(memory);
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  Decoder<T>& net = *reinterpret_cast<Decoder<T>*>(memory);
  Own<T>* owns = reinterpret_cast<Own<T>*>(memory + sizeof(Decoder<T>));
  DecoderGradient<T>& sums = *reinterpret_cast<DecoderGradient<T>*>(owns + warps);
  T* rays_memory = reinterpret_cast<T*>(&sums) + (sizeof(sums) + 15) / 16 * 16 / sizeof(T);
  const Slot<T> slot(a.slots, int64_t(warps) * a.total, 2);
  const Ray<T> ray(rays_memory, a.total, warp);
  net.fill(a);
  for (int i = threadIdx.x; i < sums.COUNT; i += blockDim.x) reinterpret_cast<T*>(&sums)[i] = 0;
  for (int64_t first = int64_t(blockIdx.x) * warps; first < a.all_rays; first += int64_t(gridDim.x) * warps) {
    const int rays = int(smaller<int64_t>(warps, a.all_rays - first));
    const int64_t index = first + warp;
    for (int i = threadIdx.x % 32; warp < rays && i < a.total; i += 32) ray.depth[i] = a.depths[index * a.total + i];
    __syncthreads();
    look_again(a, net, owns[warp], slot, rays_memory, first, rays);
    __syncthreads();
    if (warp < rays) composite_gradient(a, ray, index);
    __syncthreads();
    look_back(a, net, owns[warp], slot, rays_memory, first, rays, sums);
    __syncthreads();  // the next rays take their places
  }
  if (a.parts == nullptr) return;
  T* part = reinterpret_cast<T*>(a.parts + blockIdx.x);
  for (int i = threadIdx.x; i < sums.COUNT; i += blockDim.x) part[i] = reinterpret_cast<T*>(&sums)[i];
}

// Adds the blocks' gradients of the decoder; a thread a number.
template <class T>
__global__ void sum_decoder_kernel(const DecoderGradient<T>* parts, int blocks, T* dw1, T* db1, T* dw2, T* db2) {
  constexpr int B1 = HIDDEN * IN, W2 = B1 + HIDDEN, B2 = W2 + HIDDEN * OUT;
  auto row = [](int c) { return c == DENSITY ? 0 : c + 1; };
  const int stride = int(gridDim.x * blockDim.x);
  for (int i = int(blockIdx.x * blockDim.x + threadIdx.x); i < DecoderGradient<T>::COUNT; i += stride) {
    T total = 0;
    for (int block = 0; block < blocks; ++block) total += reinterpret_cast<const T*>(parts + block)[i];
    if (i < B1) dw1[i] = total;
    else if (i < W2) db1[i - B1] = total;
    else if (i < B2) dw2[row((i - W2) % OUT) * HIDDEN + (i - W2) / OUT] = total;
    else db2[row(i - B2)] = total;
  }
}

struct Space {  // offsets into the workspace
  int64_t gradient, slots, parts, end;
};

template <class T>
int plan_backward(const char* function, const ul_render_planes_args& a, Plan& plan, Space& space) {
  const int64_t total = a.coarse + a.fine;
  UL_TRY(function, make_plan(function, backward_kernel<T>, MOST_WARPS, fixed_bytes<T>(), warp_bytes<T>(total),
                             a.n * a.rays, plan));
  space.gradient = merged_size<T>(a.n, IN, a.side);
  space.slots = 2 * space.gradient;
  space.parts = space.slots + aligned(plan.blocks * plan.warps * total * (COLOURS + IN) * int64_t(sizeof(T)));
  space.end = space.parts + plan.blocks * int64_t(sizeof(DecoderGradient<T>));
  return 0;
}

template <class T>
int clear_all(const char* function, const ul_render_planes_args& a) {  // no rays: no gradients
  UL_TRY(function, clear(function, a, a.dplanes, a.n * 3 * IN * a.side * a.side * sizeof(T)));
  UL_TRY(function, clear(function, a, a.dw1, HIDDEN * IN * sizeof(T)));
  UL_TRY(function, clear(function, a, a.db1, HIDDEN * sizeof(T)));
  UL_TRY(function, clear(function, a, a.dw2, OUT * HIDDEN * sizeof(T)));
  return clear(function, a, a.db2, OUT * sizeof(T));
}

}  // namespace

template <class T>
int64_t render_planes_backward_workspace(const ul_render_planes_args& a) {
  Plan plan{};
  Space space{};
  if (a.n * a.rays == 0 || plan_backward<T>("ul_render_planes_workspace", a, plan, space) != 0) return 0;
  return space.end;
}

template <class T>
int render_planes_backward(const char* function, const ul_render_planes_args& a) {
  if (a.n * a.rays == 0) return clear_all<T>(function, a);
  Plan plan{};
  Space space{};
  UL_TRY(function, plan_backward<T>(function, a, plan, space));
  UL_TRY(function, has_workspace(function, a, space.end));
  char* memory = static_cast<char*>(a.workspace);
  T *merged = reinterpret_cast<T*>(memory), *gradient = reinterpret_cast<T*>(memory + space.gradient);
  auto* parts = reinterpret_cast<DecoderGradient<T>*>(memory + space.parts);
  UL_TRY(function, pack_planes(function, stream_of(a), static_cast<const T*>(a.planes), a.n, IN, a.side, merged));
  if (a.dplanes != nullptr) UL_TRY(function, clear(function, a, gradient, space.gradient));
  Backward<T> arguments(a);
  arguments.merged = merged;
  arguments.slots = reinterpret_cast<T*>(memory + space.slots);
  if (a.dplanes != nullptr) arguments.gradient = gradient;
  if (a.dw1 != nullptr) arguments.parts = parts;
  auto* kernel = backward_kernel<T>;
  UL_LAUNCH(kernel, unsigned(plan.blocks), unsigned(32 * plan.warps), size_t(plan.shared), stream_of(a), arguments);
  UL_TRY(function, cudaGetLastError());
  if (a.dw1 != nullptr) {
    auto* sum = sum_decoder_kernel<T>;
    UL_LAUNCH(sum, blocks_for(DecoderGradient<T>::COUNT, 32), 32, 0, stream_of(a), parts, int(plan.blocks),
              static_cast<T*>(a.dw1), static_cast<T*>(a.db1), static_cast<T*>(a.dw2), static_cast<T*>(a.db2));
    UL_TRY(function, cudaGetLastError());
  }
  if (a.dplanes == nullptr) return 0;
  return unpack_planes(function, stream_of(a), gradient, a.n, IN, a.side, static_cast<T*>(a.dplanes));
}

template int render_planes_backward<float>(const char*, const ul_render_planes_args&);
template int render_planes_backward<double>(const char*, const ul_render_planes_args&);
template int64_t render_planes_backward_workspace<float>(const ul_render_planes_args&);
template int64_t render_planes_backward_workspace<double>(const ul_render_planes_args&);

}  // namespace ul
