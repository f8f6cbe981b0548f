// Tri-planes as the samplers want them: two planes, channels last.
//
// EG3D reads its third plane at (z, x) where its second is read at (x, z), so the third transposed joins the second,
// and two planes are sampled instead of three; the mean's division is done here as well. With the channels of a pixel
// side by side, a warp whose lanes are channels reads a bilinear tap as one piece of 128 bytes.
#pragma once

#include "common.cuh"

namespace ul {

// planes (n, 3, channels, side, side) -> merged (n, 2, side, side, channels): xy / 3 and (xz + zx^T) / 3. Not for n =
// 0.
template <class T>
int pack_planes(const char* function, cudaStream_t stream, const T* planes, int64_t n, int64_t channels, int64_t side,
                T* merged);

// The transposed map, for gradients.
template <class T>
int unpack_planes(const char* function, cudaStream_t stream, const T* merged, int64_t n, int64_t channels, int64_t side,
                  T* planes);

// Bytes of merged planes.
template <class T>
int64_t merged_size(int64_t n, int64_t channels, int64_t side) {
  return aligned(n * 2 * side * side * channels * int64_t(sizeof(T)));
}

// What a point is read from: on each plane four pixels, the first of which is `pixel` (counted within the image's two
// planes; that it may lie outside does no harm, because pixels outside have weight 0 and are not touched).
template <class T>
struct Taps {
  T weight[8];  // (plane, row, column)
  int pixel[2];
};

// Where a point falls along one axis: between the pixels `low` and low + 1. Weights of pixels outside are 0, and so are
// both if the point is off the plane, or NaN.
template <class T>
struct Place {
  int low;
  T weight[2];
};

// `g` in [-1, 1] is the plane, as grid_sample(align_corners=False) has it.
template <class T>
UL_DEVICE Place<T> place(T g, int side) {
  const T at = ((g + 1) * T(side) - 1) / 2;
  if (!(at > T(-1) && at < T(side))) return Place<T>{0, {T(0), T(0)}};
  const int low = int(at + 1) - 1;  // floor, because at > -1
  const T fraction = at - T(low);
  return Place<T>{low, {low >= 0 ? 1 - fraction : T(0), low + 1 < side ? fraction : T(0)}};
}

template <class T>
UL_DEVICE Taps<T> taps_at(T x, T y, T z, int side) {
  const Place<T> column = place(x, side), rows[2] = {place(y, side), place(z, side)};
  Taps<T> taps;
#pragma unroll
  for (int plane = 0; plane < 2; ++plane) {
    taps.pixel[plane] = rows[plane].low * side + column.low;
#pragma unroll
    for (int i = 0; i < 4; ++i) taps.weight[4 * plane + i] = rows[plane].weight[i / 2] * column.weight[i % 2];
  }
  return taps;
}

// Where pixel i of the eight begins in the image's merged planes.
template <class T>
UL_DEVICE int64_t tap_offset(const Taps<T>& taps, int i, int side, int channels) {
  const int64_t pixel = int64_t(i / 4) * side * side + taps.pixel[i / 4] + i % 4 / 2 * side + i % 2;
  return pixel * channels;
}

// The sum of both merged planes at a point; `channel` is this lane's number of the image's first pixel. Without
// branches, so that all eight loads are on their way at a time: what does not count is read from the first pixel and
// dropped.
template <class T>
UL_DEVICE T gather(const Taps<T>& taps, int side, int channels, const T* channel) {
  T value[8], sum = 0;
#pragma unroll
  for (int i = 0; i < 8; ++i) value[i] = channel[taps.weight[i] != 0 ? tap_offset(taps, i, side, channels) : 0];
#pragma unroll
  for (int i = 0; i < 8; ++i) sum += taps.weight[i] != 0 ? taps.weight[i] * value[i] : T(0);
  return sum;
}

// The transposed map: adds this lane's `value` to the pixels of a point.
template <class T>
UL_DEVICE void scatter(const Taps<T>& taps, int side, int channels, T value, T* channel) {
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    if (taps.weight[i] != 0) add(channel + tap_offset(taps, i, side, channels), taps.weight[i] * value);
  }
}

}  // namespace ul
