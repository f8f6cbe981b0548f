// Tri-planes as the samplers want them: two planes, channels last.
//
// EG3D reads its third plane at (z, x) where its second is read at (x, z), so the third transposed joins the second, and
// two planes are sampled instead of three; the mean's division is done here as well. With the channels of a pixel side by
// side, a bilinear tap is one or two vectors.
#pragma once

#include "runtime.h"
#include "unlearnkit_ops.h"
#include "vectors.h"

namespace ul {
namespace UL_ISA {

constexpr int64_t TILE = 8;  // pixels each way that are transposed at a time

// Calls visit(planar, turned, last) for each number of a plane, tile by tile: its place in (channels, side, side), that of
// its mirror image (column and row exchanged), and its place in (side, side, channels).
template <class Visit>
void each_number(int64_t channels, int64_t side, int64_t threads, Visit visit) {
  const int64_t area = side * side, tiles = (side + TILE - 1) / TILE;
  auto job = [&](int64_t index) {
    const int64_t y0 = index / tiles * TILE, x0 = index % tiles * TILE;
    const int64_t y1 = smaller(y0 + TILE, side), x1 = smaller(x0 + TILE, side);
    for (int64_t c = 0; c < channels; ++c) {
      for (int64_t y = y0; y < y1; ++y) {
        for (int64_t x = x0; x < x1; ++x) {
          visit(c * area + y * side + x, c * area + x * side + y, (y * side + x) * channels + c);
        }
      }
    }
  };
  parallel(tiles * tiles, threads, job);
}

// planes (3, channels, side, side) -> merged (2, side, side, channels): xy / 3 and (xz + zx^T) / 3.
template <class T>
void pack_planes(const T* planes, int64_t channels, int64_t side, int64_t threads, T* merged) {
  const int64_t plane = channels * side * side;
  const T *xy = planes, *xz = planes + plane, *zx = planes + 2 * plane;
  each_number(channels, side, threads, [=](int64_t planar, int64_t turned, int64_t last) {
    merged[last] = xy[planar] * T(1.0 / 3);
    merged[plane + last] = (xz[planar] + zx[turned]) * T(1.0 / 3);
  });
}

// The transposed map, for gradients.
template <class T>
void unpack_planes(const T* merged, int64_t channels, int64_t side, int64_t threads, T* planes) {
  const int64_t plane = channels * side * side;
  T *xy = planes, *xz = planes + plane, *zx = planes + 2 * plane;
  each_number(channels, side, threads, [=](int64_t planar, int64_t turned, int64_t last) {
    xy[planar] = merged[last] * T(1.0 / 3);
    xz[planar] = zx[turned] = merged[plane + last] * T(1.0 / 3);
  });
}

// Where a point falls on a plane along one axis: between the pixels `low` and `low` + 1, either of which may lie outside.
template <class T>
struct Place {
  int64_t low;
  T fraction;
};

// `g` in [-1, 1] is the plane, as grid_sample(align_corners=False) has it. False if the point is off the plane (or NaN).
template <class T>
UL_INLINE bool place(T g, int64_t side, Place<T>& found) {
  const T at = ((g + 1) * T(side) - 1) / 2;
  if (!(at > T(-1) && at < T(side))) return false;
  found.low = int64_t(at + 1) - 1;  // floor, because at > -1
  found.fraction = at - T(found.low);
  return true;
}

// Calls tap(pixel, weight) for the pixels, up to four, that a point (g_column, g_row) is read from; rows are limited to
// [first, last).
template <class T, class Tap>
UL_INLINE void taps(T g_column, T g_row, int64_t side, int64_t first, int64_t last, Tap&& tap) {
  Place<T> column, row;
  if (!place(g_column, side, column) || !place(g_row, side, row)) return;
  for (int dy = 0; dy < 2; ++dy) {
    const int64_t y = row.low + dy;
    if (y < first || y >= last) continue;
    const T wy = dy ? row.fraction : 1 - row.fraction;
    if (column.low >= 0) tap(y * side + column.low, wy * (1 - column.fraction));
    if (column.low + 1 < side) tap(y * side + column.low + 1, wy * column.fraction);
  }
}

// into[channels] += weight * from[channels]
template <class T>
UL_INLINE void add_scaled(T* into, const T* from, T weight, int64_t channels) {
  constexpr int lanes = Vector<T>::lanes;
  int64_t c = 0;
  for (; c + lanes <= channels; c += lanes) store(into + c, load(into + c) + weight * load(from + c));
  for (; c < channels; ++c) into[c] += weight * from[c];
}

// The sum of both merged planes at a point: `channels` numbers. CHANNELS is their number where it is known, so that they
// stay in registers, or 0.
template <class T, int CHANNELS>
UL_INLINE void gather(const T* merged, int64_t channels, int64_t side, T x, T y, T z, T* features) {
  const T* plane = merged;
  if constexpr (CHANNELS > 0) {
    constexpr int lanes = Vector<T>::lanes, parts = CHANNELS / lanes;
    Vec<T> total[parts] = {};
    auto tap = [&](int64_t pixel, T weight) __attribute__((always_inline)) {
      const T* from = plane + pixel * CHANNELS;
      for (int i = 0; i < parts; ++i) total[i] += weight * load(from + i * lanes);
    };
    taps(x, y, side, 0, side, tap);
    plane += side * side * CHANNELS;
    taps(x, z, side, 0, side, tap);
    for (int i = 0; i < parts; ++i) store(features + i * lanes, total[i]);
  } else {
    for (int64_t c = 0; c < channels; ++c) features[c] = 0;
    auto tap = [&](int64_t pixel, T weight) { add_scaled(features, plane + pixel * channels, weight, channels); };
    taps(x, y, side, 0, side, tap);
    plane += side * side * channels;
    taps(x, z, side, 0, side, tap);
  }
}

// Adds the gradients (count, channels) of the features of points (count, 3), already scaled, to that of merged planes. A
// job owns a band of rows of one plane and looks at all points: no two threads ever write the same pixel, and each pixel's
// sum is in the order of the points, so the bits do not depend on the number of threads.
template <class T, int CHANNELS>
void scatter(const T* points, const T* gradients, int64_t count, int64_t number, int64_t side, int64_t threads,
             T* merged) {
  const int64_t channels = CHANNELS > 0 ? CHANNELS : number;
  const int64_t bands = smaller(side, 2 * threads), per_band = (side + bands - 1) / bands;
  auto job = [&](int64_t index) {
    const int64_t plane = index / bands, first = index % bands * per_band, last = smaller(first + per_band, side);
    T* into = merged + plane * side * side * channels;
    const T lowest = (2 * T(first - 1) + 1) / T(side) - 1, highest = (2 * T(last) + 1) / T(side) - 1;
    for (int64_t i = 0; i < count; ++i) {
      const T row = points[3 * i + 1 + plane];
      if (!(row >= lowest - T(1e-3) && row <= highest + T(1e-3))) continue;  // quickly; taps() looks closely
      taps(points[3 * i], row, side, first, last,
           [&](int64_t pixel, T weight) { add_scaled(into + pixel * channels, gradients + i * channels, weight, channels); });
    }
  };
  parallel(2 * bands, threads, job);
}

}  // namespace UL_ISA
}  // namespace ul
