// Features of points on tri-planes.
#pragma once

#include "planes.h"

namespace ul {
namespace UL_ISA {

constexpr int64_t SAMPLE_BLOCK = 512;  // points of a job

template <class T, int CHANNELS>
void sample_planes(const ul_sample_planes_args& a) {
  const int64_t size = 3 * a.channels * a.side * a.side;
  Scratch merged(2 * a.channels * a.side * a.side * sizeof(T));
  for (int64_t n = 0; n < a.n; ++n) {
    pack_planes(static_cast<const T*>(a.planes) + n * size, a.channels, a.side, a.threads, merged.as<T>());
    const T* points = static_cast<const T*>(a.points_xyz) + n * a.points * 3;
    T* features = static_cast<T*>(a.features) + n * a.points * a.channels;
    const T scale = T(a.scale);
    auto job = [&](int64_t block) {
      for (int64_t i = block * SAMPLE_BLOCK; i < smaller((block + 1) * SAMPLE_BLOCK, a.points); ++i) {
        const T* p = points + 3 * i;
        gather<T, CHANNELS>(merged.as<T>(), a.channels, a.side, p[0] * scale, p[1] * scale, p[2] * scale,
                            features + i * a.channels);
      }
    };
    parallel((a.points + SAMPLE_BLOCK - 1) / SAMPLE_BLOCK, a.threads, job);
  }
}

template <class T, int CHANNELS>
void sample_planes_backward(const ul_sample_planes_args& a) {
  const int64_t size = 3 * a.channels * a.side * a.side, packed = 2 * a.channels * a.side * a.side;
  Scratch merged(packed * sizeof(T)), scaled(3 * a.points * sizeof(T));
  for (int64_t n = 0; n < a.n; ++n) {
    const T* points = static_cast<const T*>(a.points_xyz) + n * a.points * 3;
    for (int64_t i = 0; i < 3 * a.points; ++i) scaled.as<T>()[i] = points[i] * T(a.scale);
    for (int64_t i = 0; i < packed; ++i) merged.as<T>()[i] = 0;
    scatter<T, CHANNELS>(scaled.as<T>(), static_cast<const T*>(a.dfeatures) + n * a.points * a.channels, a.points,
                         a.channels, a.side, a.threads, merged.as<T>());
    unpack_planes(merged.as<T>(), a.channels, a.side, a.threads, static_cast<T*>(a.dplanes) + n * size);
  }
}

}  // namespace UL_ISA
}  // namespace ul
