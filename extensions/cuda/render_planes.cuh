// What the forward and the backward pass of the renderer share. Formulas: unlearnkit/ops/volume.py.
//
// Layout. A block handles as many rays at a time as it has warps, in turns: first its warps look at the samples of
// all its rays, 32 at a time whichever ray they belong to, so that no lane idles where a ray has 48 of them; then
// each warp works along a ray of its own, with scans over its lanes.
// - Looking: features are gathered with lanes as channels (a tap is one piece of 128 bytes) and change hands through
//   a tile in shared memory; from there on a lane is a sample. It holds all features and all results in registers,
//   and the decoder's weights, which every lane needs at the same time, come from shared memory four at a time: one
//   load for four multiplications in 32 lanes each.
// - Colours are needed again when all depths of the ray are known. 32 numbers a sample are too many for shared
//   memory, so they wait in the workspace, in a slot that each block uses again for its next rays: it stays in the L2
//   cache.
#pragma once

#include "kernels.cuh"
#include "planes.cuh"

namespace ul {

constexpr int IN = UL_PLANE_CHANNELS, HIDDEN = UL_HIDDEN, COLOURS = UL_COLOURS, OUT = 1 + COLOURS;
constexpr int DENSITY = COLOURS;  // here density comes behind the colours
constexpr int TOGETHER = 8;       // hidden units that are computed together: so many independent sums
constexpr int ROW = 33;           // of a tile (32, 33): neither its rows nor its columns collide in shared memory

template <class T>
struct Render {
  const T *merged, *w1, *b1, *w2, *b2, *origins, *directions;
  T *depths, *slots;  // slots: see Slot
  int64_t rays, all_rays;
  int side, coarse, fine, total;
  T scale, margin, stretch;

  explicit Render(const ul_render_planes_args& a)
      : merged(nullptr), w1(static_cast<const T*>(a.w1)), b1(static_cast<const T*>(a.b1)),
        w2(static_cast<const T*>(a.w2)), b2(static_cast<const T*>(a.b2)), origins(static_cast<const T*>(a.origins)),
        directions(static_cast<const T*>(a.directions)), depths(static_cast<T*>(a.depths)), slots(nullptr),
        rays(a.rays), all_rays(a.n * a.rays), side(int(a.side)), coarse(int(a.coarse)), fine(int(a.fine)),
        total(int(a.coarse + a.fine)), scale(T(a.scale)), margin(T(a.margin)), stretch(T(1 + 2 * a.margin)) {}

  UL_DEVICE int64_t image_offset(int64_t ray) const { return ray / rays * 2 * side * side * IN; }

  UL_DEVICE Taps<T> taps(int64_t ray, T depth) const {
    const T *from = origins + 3 * ray, *along = directions + 3 * ray;
    return taps_at((from[0] + depth * along[0]) * scale, (from[1] + depth * along[1]) * scale,
                   (from[2] + depth * along[2]) * scale, side);
  }
};

// ---------------------------------------------------------------- the decoder

template <class T>
struct alignas(16) Decoder {  // in shared memory; inputs, or hidden units, are rows
  static constexpr int WIDE = 36;  // a row of w2: colours, density, and up to whole packs
  T w1[IN * HIDDEN], b1[HIDDEN], w2[HIDDEN * WIDE], b2[WIDE];

  // By all threads of a block, which must wait for each other afterwards.
  UL_DEVICE void fill(const Render<T>& r) {
    for (int i = threadIdx.x; i < IN * HIDDEN; i += blockDim.x) w1[i] = r.w1[i % HIDDEN * IN + i / HIDDEN];
    for (int i = threadIdx.x; i < HIDDEN; i += blockDim.x) b1[i] = r.b1[i];
    for (int i = threadIdx.x; i < HIDDEN * OUT; i += blockDim.x) {
      const int h = i / OUT, c = i % OUT;
      w2[h * WIDE + c] = r.w2[(c == DENSITY ? 0 : c + 1) * HIDDEN + h];
    }
    for (int c = threadIdx.x; c < OUT; c += blockDim.x) b2[c] = r.b2[c == DENSITY ? 0 : c + 1];
  }

  // Hidden units h ... before their softplus.
  UL_DEVICE void first_layer(const T (&features)[IN], int h, T (&before)[TOGETHER]) const {
#pragma unroll
    for (int j = 0; j < TOGETHER; ++j) before[j] = b1[h + j];
#pragma unroll
    for (int k = 0; k < IN; ++k) {
#pragma unroll
      for (int part = 0; part < TOGETHER; part += 4) {
        const Pack<T, 4> w = load<4>(w1 + k * HIDDEN + h + part);
#pragma unroll
        for (int j = 0; j < 4; ++j) before[part + j] += w.v[j] * features[k];
      }
    }
  }

  // out: density, and colours before their logistic function.
  UL_DEVICE void decode(const T (&features)[IN], T (&out)[OUT]) const {
#pragma unroll
    for (int c = 0; c < OUT; ++c) out[c] = b2[c];
#pragma unroll 1
    for (int h = 0; h < HIDDEN; h += TOGETHER) {
      T before[TOGETHER], slope;
      first_layer(features, h, before);
#pragma unroll
      for (int j = 0; j < TOGETHER; ++j) {
        const T hidden = quick_softplus(before[j], slope);
        const T* w = w2 + (h + j) * WIDE;
#pragma unroll
        for (int part = 0; part < COLOURS; part += 4) {
          const Pack<T, 4> four = load<4>(w + part);
#pragma unroll
          for (int c = 0; c < 4; ++c) out[part + c] += four.v[c] * hidden;
        }
        out[DENSITY] += w[DENSITY] * hidden;
      }
    }
  }
};

// ---------------------------------------------------------------- samples

// A block's scratch space in the workspace: `kinds` x 32 numbers a sample. Lanes are samples, so each number of
// neighbouring samples lies side by side.
template <class T>
struct Slot {
  T* numbers;
  int64_t samples;  // of all its rays

  UL_DEVICE Slot(T* slots, int64_t samples_of_block, int kinds)
      : numbers(slots + blockIdx.x * samples_of_block * kinds * 32), samples(samples_of_block) {}
  UL_DEVICE T& at(int number, int64_t sample) const { return numbers[number * samples + sample]; }
};

// Which sample a lane has, of `count` ones of each of the block's rays.
struct Sample {
  bool is;        // false: none is left for this lane
  int ray, place;  // of the block; of the ray's `count`

  UL_DEVICE Sample(int tile, int count, int rays) {
    const int index = tile * 32 + int(threadIdx.x) % 32;
    is = index < count * rays;
    ray = is ? index / count : 0, place = is ? index % count : 0;
  }
};

// A warp's: where 32 samples fall, and their features (or their features' gradients).
template <class T>
struct Gathering {
  Taps<T> taps[32];
  int64_t image[32];  // offsets
  T tile[32 * ROW];   // (sample, channel)

  UL_DEVICE void aim(const Render<T>& r, int64_t ray, T depth, bool is) {
    const int lane = threadIdx.x % 32;
    taps[lane] = is ? r.taps(ray, depth) : Taps<T>{};
    image[lane] = r.image_offset(ray);
    __syncwarp();
  }

  // Features of this lane's sample.
  UL_DEVICE void gather(const Render<T>& r, T (&features)[IN]) {
    const int lane = threadIdx.x % 32;
#pragma unroll 4
    for (int s = 0; s < 32; ++s) tile[s * ROW + lane] = ul::gather(taps[s], r.side, IN, r.merged + image[s] + lane);
    __syncwarp();
#pragma unroll
    for (int k = 0; k < IN; ++k) features[k] = tile[lane * ROW + k];
  }
};

// ---------------------------------------------------------------- along a ray, by a warp

// Calls visit(i, alpha, through, slope) for each interval i between `count` samples in their order: what it covers,
// what comes through to it, and the derivative of alpha in the middle density. All lanes take part.
template <class T, class Visit>
UL_DEVICE void each_interval(const T* depth, const T* density, int count, Visit&& visit) {
  const int lane = threadIdx.x % 32;
  T before = 1;  // what comes through to the first of these 32 intervals
  for (int first = 0; first < count - 1; first += 32) {
    const int i = first + lane;
    T alpha = 0, slope = 0, passed = 1;
    if (i < count - 1) {
      const T delta = depth[i + 1] - depth[i], raw = (density[i + 1] + density[i]) / 2 - 1;
      const T left = exponential(-softplus(raw) * delta);
      alpha = 1 - left;
      slope = left * delta * logistic(raw);
      passed = 1 - alpha + T(1e-10);
    }
    for (int step = 1; step < 32; step *= 2) {
      const T other = __shfl_up_sync(EVERY_LANE, passed, step);
      if (lane >= step) passed *= other;
    }
    const T in_front = __shfl_up_sync(EVERY_LANE, passed, 1);
    if (i < count - 1) visit(i, alpha, lane == 0 ? before : before * in_front, slope);
    before *= __shfl_sync(EVERY_LANE, passed, 31);
  }
}

// order: the places of the depths, rising (NaN last, equal ones in their order); sorted and sorted_density
// accordingly. Each sample counts how many come before it: 96 comparisons a sample are fewer steps than a sorting
// network's exchanges.
template <class T>
UL_DEVICE void sort_samples(const T* depth, const T* density, int count, int* order, T* sorted, T* sorted_density) {
  auto key = [&](int i) { return depth[i] == depth[i] ? depth[i] : T(INFINITY); };
  for (int i = threadIdx.x % 32; i < count; i += 32) {
    const T mine = key(i);
    int rank = 0;
    for (int j = 0; j < count; ++j) rank += key(j) < mine || (key(j) == mine && j < i);
    order[rank] = i;
    sorted[rank] = depth[i];
    sorted_density[rank] = density[i];
  }
  __syncwarp();
}

// ---------------------------------------------------------------- launching

struct Plan {
  int warps;         // of a block
  int64_t blocks;
  int64_t shared;    // bytes of a block
};

// The blocks, of `most_warps` or fewer, with which most warps are at work at a time. fixed, each: bytes of shared
// memory of a block and of each of its warps.
template <class Kernel>
int make_plan(const char* function, Kernel* kernel, int most_warps, int64_t fixed, int64_t each, int64_t all_rays,
              Plan& plan) {
  int device = 0, most_shared = 0, processors = 0, most = 0;
  UL_TRY(function, cudaGetDevice(&device));
  UL_TRY(function, cudaDeviceGetAttribute(&most_shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  UL_TRY(function, cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  if (fixed + each > most_shared) {
    return fail(function, "so many samples a ray do not fit into this device's shared memory");
  }
  UL_TRY(function, cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                        cudaFuncAttributeMaxDynamicSharedMemorySize, most_shared));
  for (int warps = most_warps; warps > 0; --warps) {
    const int64_t shared = fixed + warps * each;
    if (shared > most_shared) continue;
    int blocks = 0;
    UL_TRY(function, cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, 32 * warps, size_t(shared)));
    if (blocks * warps <= most) continue;
    most = blocks * warps;
    const int64_t useful = ceil_div(all_rays, warps), at_once = int64_t(blocks) * processors;
    plan = Plan{warps, useful < at_once ? useful : at_once, shared};
  }
  return most > 0 ? 0 : fail(function, "a block of the kernel does not fit on this device");
}

}  // namespace ul
