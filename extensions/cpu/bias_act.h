// y = clamp(lrelu((x * scale + noise + bias) * gain)) in one pass over memory, and its backward pass in another.
#pragma once

#include "runtime.h"
#include "unlearnkit_ops.h"
#include "vectors.h"

namespace ul {
namespace UL_ISA {

constexpr int64_t BIAS_ACT_BLOCK = 4096;  // numbers of one row that a job handles: they stay in the L1 cache
constexpr int64_t BIAS_ACT_GROUP = 32;    // channels of one job in the backward pass

template <class T>
struct BiasAct {
  const ul_bias_act_args& a;
  int64_t blocks = (a.hw + BIAS_ACT_BLOCK - 1) / BIAS_ACT_BLOCK;
  T slope = T(a.slope), gain = T(a.gain), clamp = a.clamp < 0 ? T(__builtin_inf()) : T(a.clamp);

  const T* noise_row(int64_t n) const {
    const T* noise = static_cast<const T*>(a.noise);
    return noise == nullptr || a.noise_n == 1 ? noise : noise + n * a.hw;
  }

  T value_of(const void* table, int64_t index, T otherwise) const {
    return table == nullptr ? otherwise : static_cast<const T*>(table)[index];
  }

  void forward() {
    // A job is a block of one row (n, c); rows are short where there are many.
    const int64_t rows = a.n * a.c, together = larger<int64_t>(1, BIAS_ACT_BLOCK / larger<int64_t>(1, a.hw));
    const int64_t groups = (rows + together - 1) / together;
    auto job = [&](int64_t index) {
      const int64_t group = index / blocks, begin = index % blocks * BIAS_ACT_BLOCK;
      const int64_t end = smaller(begin + BIAS_ACT_BLOCK, a.hw);
      for (int64_t row = group * together; row < smaller((group + 1) * together, rows); ++row) forward_row(row, begin, end);
    };
    parallel(groups * blocks, a.threads, job);
  }

  void forward_row(int64_t row, int64_t begin, int64_t end) {
    const T* x = static_cast<const T*>(a.x) + row * a.hw;
    T* y = static_cast<T*>(a.y) + row * a.hw;
    const T* noise = noise_row(row / a.c);
    const T factor = value_of(a.scale, row, T(1)) * gain, shift = value_of(a.bias, row % a.c, T(0)) * gain;
    constexpr int lanes = Vector<T>::lanes;
    int64_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      Vec<T> v = load(x + i) * factor + shift;
      if (noise != nullptr) v += load(noise + i) * gain;
      v = v < 0 ? v * slope : v;
      v = v < -clamp ? all(-clamp) : v;  // NaN stays NaN
      store(y + i, v > clamp ? all(clamp) : v);
    }
    for (; i < end; ++i) {
      T v = x[i] * factor + shift;
      if (noise != nullptr) v += noise[i] * gain;
      v = v < 0 ? v * slope : v;
      v = v < -clamp ? -clamp : v;
      y[i] = v > clamp ? clamp : v;
    }
  }

  // A job is a block of pixels of a group of channels. It leaves partial sums behind, which are added up in a fixed
  // order afterwards: the same bits with any number of threads.
  void backward() {
    const int64_t groups = (a.c + BIAS_ACT_GROUP - 1) / BIAS_ACT_GROUP, rows = a.n * a.c;
    const bool sums = a.dbias != nullptr || a.dscale != nullptr;
    Scratch row_sums(sums ? 2 * blocks * rows * sizeof(T) : 0);
    Scratch noise_sums(a.dnoise != nullptr ? groups * a.noise_n * a.hw * sizeof(T) : 0);
    T* plain = row_sums.as<T>();  // sum of g, and of g * x, for each block and row
    T* times_x = plain + blocks * rows;
    auto job = [&](int64_t index) {
      const int64_t block = index % blocks, group = index / blocks;
      const int64_t begin = block * BIAS_ACT_BLOCK, end = smaller(begin + BIAS_ACT_BLOCK, a.hw);
      const int64_t first = group * BIAS_ACT_GROUP, last = smaller(first + BIAS_ACT_GROUP, a.c);
      T* dnoise = a.dnoise == nullptr ? nullptr : noise_sums.as<T>() + group * a.noise_n * a.hw;
      for (int64_t n = 0; n < a.n; ++n) {
        T* into = dnoise == nullptr ? nullptr : dnoise + (a.noise_n == 1 ? 0 : n * a.hw);
        if (into != nullptr && (n == 0 || a.noise_n > 1)) {
          for (int64_t i = begin; i < end; ++i) into[i] = 0;
        }
        for (int64_t c = first; c < last; ++c) {
          const int64_t row = n * a.c + c;
          const int64_t place = block * rows + row;
          backward_row(row, begin, end, into, sums ? plain + place : nullptr, sums ? times_x + place : nullptr);
        }
      }
    };
    parallel(groups * blocks, a.threads, job);
    if (a.dnoise != nullptr) add_up(noise_sums.as<T>(), groups, a.noise_n * a.hw, static_cast<T*>(a.dnoise));
    if (a.dbias != nullptr) {
      T* dbias = static_cast<T*>(a.dbias);
      for (int64_t c = 0; c < a.c; ++c) dbias[c] = 0;
      for (int64_t n = 0; n < a.n; ++n) {
        for (int64_t c = 0; c < a.c; ++c) {
          for (int64_t block = 0; block < blocks; ++block) dbias[c] += plain[block * rows + n * a.c + c];
        }
      }
    }
    if (a.dscale != nullptr) add_up(times_x, blocks, rows, static_cast<T*>(a.dscale));
  }

  static void add_up(const T* parts, int64_t count, int64_t size, T* into) {
    for (int64_t i = 0; i < size; ++i) {
      T total = 0;
      for (int64_t part = 0; part < count; ++part) total += parts[part * size + i];
      into[i] = total;
    }
  }

  T gradient(T dy, T y) const {  // before scale: dy through clamp, activation and gain
    const T g = dy * (y < 0 ? slope * gain : gain);
    return (y < 0 ? -y : y) < clamp ? g : T(0);
  }

  // One walk over a block of a row: dx, the gradient of noise on top of what is there, and the sums of g and g * x.
  void backward_row(int64_t row, int64_t begin, int64_t end, T* dnoise, T* plain, T* times_x) {
    const T* y = static_cast<const T*>(a.y) + row * a.hw;
    const T* dy = static_cast<const T*>(a.dy) + row * a.hw;
    const T* x = a.dscale == nullptr ? nullptr : static_cast<const T*>(a.x) + row * a.hw;
    T* dx = static_cast<T*>(a.dx) + row * a.hw;
    const T scale = value_of(a.scale, row, T(1));
    constexpr int lanes = Vector<T>::lanes;
    const Vec<T> limit = all(clamp), down = all(slope * gain), up = all(gain), zero = all(T(0));
    Vec<T> totals = zero, products = zero;
    int64_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      const Vec<T> v = load(y + i), size = v < 0 ? -v : v;
      const Vec<T> g = size < limit ? load(dy + i) * (v < 0 ? down : up) : zero;
      totals += g;
      if (x != nullptr) products += g * load(x + i);
      if (dnoise != nullptr) store(dnoise + i, load(dnoise + i) + g);
      store(dx + i, g * scale);
    }
    T total = sum<T>(totals), product = sum<T>(products);
    for (; i < end; ++i) {
      const T g = gradient(dy[i], y[i]);
      total += g;
      if (x != nullptr) product += g * x[i];
      if (dnoise != nullptr) dnoise[i] += g;
      dx[i] = g * scale;
    }
    if (plain == nullptr) return;
    *plain = total;
    *times_x = product;
  }
};

}  // namespace UL_ISA
}  // namespace ul
