// What the renderer's backward pass does with samples and rays. How it is laid out: render_planes.cuh.
#pragma once

#include "render_planes.cuh"

namespace ul {

namespace {

template <class T>
struct DecoderGradient {  // of a block; w2 as in Decoder: hidden units are rows, density comes last
  T w1[HIDDEN * IN], b1[HIDDEN], w2[HIDDEN * OUT], b2[OUT];
  static constexpr int COUNT = HIDDEN * IN + HIDDEN + HIDDEN * OUT + OUT;
};

template <class T>
struct Backward : Render<T> {
  const T *dcolours, *ddepth, *dopacity;
  T* gradient;                // of merged planes; NULL: not wanted
  DecoderGradient<T>* parts;  // of each block; NULL: not wanted

  explicit Backward(const ul_render_planes_args& a)
      : Render<T>(a), dcolours(static_cast<const T*>(a.dcolours)), ddepth(static_cast<const T*>(a.ddepth)),
        dopacity(static_cast<const T*>(a.dopacity)), gradient(nullptr), parts(nullptr) {}

  UL_DEVICE T colour_gradient(int64_t ray, int c) const {
    return dcolours == nullptr ? T(0) : dcolours[ray * COLOURS + c];
  }
};

// A ray's numbers in shared memory, `total` of each kind.
template <class T>
struct Ray {
  static constexpr int KINDS = 10;
  T *depth, *density, *along, *sorted, *sorted_density, *share, *alpha, *through, *slope;
  int* order;

  UL_DEVICE Ray(T* memory, int total, int ray) {
    depth = memory + int64_t(ray) * KINDS * total;
    density = depth + total, along = density + total, sorted = along + total, sorted_density = sorted + total;
    share = sorted_density + total, alpha = share + total, through = alpha + total, slope = through + total;
    order = reinterpret_cast<int*>(slope + total);
  }
};

template <class T>
struct alignas(16) Own {  // of a warp
  T units[32 * 2 * TOGETHER];  // (sample, 2, TOGETHER): hidden units, and their gradients before softplus
  Gathering<T> gathering;
  T out[32 * ROW];  // (sample, 33): gradients of what the decoder gives
};

constexpr int LIT = 0, FEATURES = COLOURS;  // numbers of a Slot

// Features, colours (before they are stretched) and densities of all samples; and along: dcolours . colours.
template <class T>
__device__ void look_again(const Backward<T>& a, const Decoder<T>& net, Own<T>& own, const Slot<T>& slot,
                           T* rays_memory, int64_t first_ray, int rays) {
  const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
  for (int tile = warp; tile * 32 < a.total * rays; tile += warps) {
    const Sample sample(tile, a.total, rays);
    const Ray<T> ray(rays_memory, a.total, sample.ray);
    own.gathering.aim(a, first_ray + sample.ray, ray.depth[sample.place], sample.is);
    T features[IN], out[OUT], along = 0;
    own.gathering.gather(a, features);
    net.decode(features, out);
    if (!sample.is) continue;
    const int at = sample.ray * a.total + sample.place;
#pragma unroll
    for (int c = 0; c < COLOURS; ++c) {
      const T lit = logistic(out[c]);
      slot.at(LIT + c, at) = lit;
      slot.at(FEATURES + c, at) = features[c];
      along += (lit * a.stretch - a.margin) * a.colour_gradient(first_ray + sample.ray, c);
    }
    ray.density[sample.place] = out[DENSITY];
    ray.along[sample.place] = along;
  }
}

// Leaves each sample's share of its ray in `share`, and the gradient of its density in `density`.
template <class T>
__device__ void composite_gradient(const Backward<T>& a, const Ray<T>& ray, int64_t index) {
  const int lane = threadIdx.x % 32, intervals = a.total - 1;
  sort_samples(ray.depth, ray.density, a.total, ray.order, ray.sorted, ray.sorted_density);
  T opacity = 0, depth = 0;
  each_interval(ray.sorted, ray.sorted_density, a.total, [&](int i, T alpha, T through, T slope) {
    ray.alpha[i] = alpha;
    ray.through[i] = through;
    ray.slope[i] = slope;
    opacity += alpha * through;
    depth += alpha * through * (ray.sorted[i] + ray.sorted[i + 1]) / 2;
  });
  opacity = warp_sum(opacity);
  depth = warp_sum(depth) / opacity;
  __syncwarp();
  for (int i = lane; i < a.total; i += 32) {
    const T before = i > 0 ? ray.alpha[i - 1] * ray.through[i - 1] : T(0);
    const T behind = i < intervals ? ray.alpha[i] * ray.through[i] : T(0);
    ray.share[ray.order[i]] = (before + behind) / 2;
  }
  const T g_opacity = a.dopacity == nullptr ? T(0) : a.dopacity[index];
  const T g_depth = a.ddepth == nullptr ? T(0) : a.ddepth[index];
  // From behind: what all intervals behind one add is the less, the more it covers: behind(i) = v(i + 1), where
  // v(i) = weight(i) alpha(i) + (1 - alpha(i)) v(i + 1). Such steps are composed by a scan from the last lane on.
  T* interval = ray.sorted_density;  // densities are not needed any more
  T later = 0;                       // v of the first interval behind these 32
  for (int first = (intervals - 1) / 32 * 32; first >= 0; first -= 32) {
    const int i = first + lane;
    T weight = 0, value = 0, factor = 1;
    if (i < intervals) {
      const T middle = (ray.sorted[i] + ray.sorted[i + 1]) / 2;
      weight = (ray.along[ray.order[i]] + ray.along[ray.order[i + 1]]) / 2 + g_opacity +
               (g_depth == 0 ? T(0) : (middle - depth) / opacity * g_depth);
      value = weight * ray.alpha[i];
      factor = 1 - ray.alpha[i] + T(1e-10);
    }
    for (int step = 1; step < 32; step *= 2) {
      const T next_value = __shfl_down_sync(EVERY_LANE, value, step);
      const T next_factor = __shfl_down_sync(EVERY_LANE, factor, step);
      if (lane + step < 32) {
        value += factor * next_value;
        factor *= next_factor;
      }
    }
    value += factor * later;
    T behind = __shfl_down_sync(EVERY_LANE, value, 1);
    if (lane == 31) behind = later;
    later = __shfl_sync(EVERY_LANE, value, 0);
    if (i < intervals) interval[i] = ray.through[i] * (weight - behind) * ray.slope[i];
  }
  __syncwarp();
  for (int i = lane; i < a.total; i += 32) {
    ray.density[ray.order[i]] = ((i > 0 ? interval[i - 1] : T(0)) + (i < intervals ? interval[i] : T(0))) / 2;
  }
}

// The decoder's gradient from 32 samples whose TOGETHER hidden units, from h on, lie in own.units, features in
// own.gathering.tile, and gradients in own.out. A lane is an input of the first layer and a result of the second.
template <class T>
__device__ void add_to_decoder(const Own<T>& own, int h, DecoderGradient<T>& sums) {
  const int lane = threadIdx.x % 32, j_of_lane = lane % TOGETHER;
  const bool has_bias = lane < TOGETHER;  // the first lanes: a bias each; the next: density's weight of a unit
  T first[TOGETHER] = {}, second[TOGETHER] = {}, other = 0;
#pragma unroll 4
  for (int s = 0; s < 32; ++s) {
    const T feature = own.gathering.tile[s * ROW + lane], out = own.out[s * ROW + lane];
    const T* units = own.units + s * 2 * TOGETHER;
#pragma unroll
    for (int part = 0; part < TOGETHER; part += 4) {
      const Pack<T, 4> hidden = load<4>(units + part), before = load<4>(units + TOGETHER + part);
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        first[part + j] += before.v[j] * feature;
        second[part + j] += hidden.v[j] * out;
      }
    }
    other += has_bias ? units[TOGETHER + j_of_lane] : units[j_of_lane] * own.out[s * ROW + DENSITY];
  }
#pragma unroll
  for (int j = 0; j < TOGETHER; ++j) {
    add(&sums.w1[(h + j) * IN + lane], first[j]);
    add(&sums.w2[(h + j) * OUT + lane], second[j]);
  }
  if (lane < 2 * TOGETHER) add(has_bias ? &sums.b1[h + j_of_lane] : &sums.w2[(h + j_of_lane) * OUT + DENSITY], other);
}

// Through the decoder: from the gradients of colours and densities to those of its weights and of the planes.
template <class T>
__device__ void look_back(const Backward<T>& a, const Decoder<T>& net, Own<T>& own, const Slot<T>& slot, T* rays_memory,
                          int64_t first_ray, int rays, DecoderGradient<T>& sums) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, warps = blockDim.x / 32;
  T* tile = own.gathering.tile;
  for (int index = warp; index * 32 < a.total * rays; index += warps) {
    const Sample sample(index, a.total, rays);
    const Ray<T> ray(rays_memory, a.total, sample.ray);
    const int64_t ray_index = first_ray + sample.ray;
    const int at = sample.ray * a.total + sample.place;
    T features[IN], out[OUT], dfeatures[IN];
    const T share = sample.is ? ray.share[sample.place] * a.stretch : T(0);
#pragma unroll
    for (int c = 0; c < COLOURS; ++c) {
      const T lit = sample.is ? slot.at(LIT + c, at) : T(0);
      out[c] = a.colour_gradient(ray_index, c) * share * lit * (1 - lit);
      features[c] = sample.is ? slot.at(FEATURES + c, at) : T(0);
      dfeatures[c] = 0;
      own.out[lane * ROW + c] = out[c];
      tile[lane * ROW + c] = features[c];
    }
    out[DENSITY] = sample.is ? ray.density[sample.place] : T(0);
    own.out[lane * ROW + DENSITY] = out[DENSITY];
#pragma unroll 1
    for (int h = 0; h < HIDDEN; h += TOGETHER) {
      T before[TOGETHER];
      net.first_layer(features, h, before);
#pragma unroll
      for (int j = 0; j < TOGETHER; ++j) {
        T slope, gradient = out[DENSITY] * net.w2[(h + j) * Decoder<T>::WIDE + DENSITY];
        own.units[lane * 2 * TOGETHER + j] = quick_softplus(before[j], slope);
#pragma unroll
        for (int part = 0; part < COLOURS; part += 4) {
          const Pack<T, 4> w = load<4>(net.w2 + (h + j) * Decoder<T>::WIDE + part);
#pragma unroll
          for (int c = 0; c < 4; ++c) gradient += w.v[c] * out[part + c];
        }
        before[j] = gradient * slope;
        own.units[(lane * 2 + 1) * TOGETHER + j] = before[j];
      }
#pragma unroll
      for (int k = 0; k < IN; ++k) {
#pragma unroll
        for (int part = 0; part < TOGETHER; part += 4) {
          const Pack<T, 4> w = load<4>(net.w1 + k * HIDDEN + h + part);
#pragma unroll
          for (int j = 0; j < 4; ++j) dfeatures[k] += w.v[j] * before[part + j];
        }
      }
      __syncwarp();
      if (a.parts != nullptr) add_to_decoder(own, h, sums);
      __syncwarp();
    }
    if (a.parts != nullptr) {
      T colour = 0;
      for (int s = 0; s < 32; ++s) colour += own.out[s * ROW + lane];
      const T density = warp_sum(out[DENSITY]);
      add(&sums.b2[lane], colour);
      if (lane == 0) add(&sums.b2[DENSITY], density);
    }
    if (a.gradient != nullptr) {
#pragma unroll
      for (int k = 0; k < IN; ++k) tile[lane * ROW + k] = dfeatures[k];
      own.gathering.aim(a, ray_index, ray.depth[sample.place], sample.is);
      for (int s = 0; s < 32; ++s) {
        const T value = tile[s * ROW + lane];
        if (value == 0) continue;  // most of what lies in the open or behind a surface
        scatter(own.gathering.taps[s], a.side, IN, value, a.gradient + own.gathering.image[s] + lane);
      }
    }
    __syncwarp();  // the next 32 samples take their places
  }
}

}  // namespace

}  // namespace ul
