// mean over places of sum over channels of weights * (a / (|a| + eps) - b / (|b| + eps))^2, and its backward pass: each
// reads both maps once from memory. A job is a block of places.
#pragma once

#include "runtime.h"
#include "unlearnkit_ops.h"
#include "vectors.h"

namespace ul {
namespace UL_ISA {

constexpr int64_t UNIT_DISTANCE_NUMBERS = 16384;  // of one map that a job looks at: both stay in the L2 cache

// Adds up what the jobs found, in a fixed order: the same bits with any number of threads.
template <class T>
void mean_of_blocks(const ul_unit_distance_args& a, const double* sums, int64_t blocks) {
  for (int64_t n = 0; n < a.n; ++n) {
    double total = 0;
    for (int64_t block = 0; block < blocks; ++block) total += sums[n * blocks + block];
    static_cast<T*>(a.distance)[n] = T(total / double(a.hw));
  }
}

// ---------------------------------------------------------------- (n, c, hw)

// The channels of a place lie far apart in memory: those of a block are copied side by side.
template <class T>
struct UnitDistance {
  const ul_unit_distance_args& a;
  static constexpr int64_t lanes = Vector<T>::lanes;
  // Places of a job: whole vectors of them.
  int64_t width = larger<int64_t>(2, smaller<int64_t>(64, UNIT_DISTANCE_NUMBERS / larger<int64_t>(1, a.c) / lanes)) * lanes;
  int64_t blocks = (a.hw + width - 1) / width;
  const T* weights = static_cast<const T*>(a.weights);
  T eps = T(a.eps);

  // The places of one job: both maps, and per place 1 / (|map| + eps) and what else the passes need.
  struct Block {
    const T *left, *right;          // (c, width)
    T *left_scale, *right_scale;    // (width)
    T *left_length, *right_length;  // (width): |map|
    T *left_dot, *right_dot;        // (width): sum of weights * difference * map
  };

  void forward() {
    Scratch parts(a.n * blocks * sizeof(double));
    double* sums = parts.template as<double>();
    auto job = [&](int64_t index) {
      Scratch space(bytes());
      const Block block = read(index, space.template as<T>());
      Vec<T> total{};
      for (int64_t c = 0; c < a.c; ++c) {
        for (int64_t v = 0; v < width; v += lanes) {
          const Vec<T> d = difference(block, c, v);
          total += d * d * weights[c];
        }
      }
      sums[index] = double(sum<T>(total));
    };
    parallel(a.n * blocks, a.threads, job);
    mean_of_blocks<T>(a, sums, blocks);
  }

  void backward() {
    auto job = [&](int64_t index) {
      Scratch space(bytes());
      const Block block = read(index, space.template as<T>());
      const T factor = static_cast<const T*>(a.ddistance)[index / blocks] * 2 / T(a.hw);
      for (int64_t v = 0; v < width; v += lanes) {
        store(block.left_dot + v, Vec<T>{});
        store(block.right_dot + v, Vec<T>{});
      }
      for (int64_t c = 0; c < a.c; ++c) {
        for (int64_t v = 0; v < width; v += lanes) {
          const Vec<T> d = difference(block, c, v) * weights[c];
          store(block.left_dot + v, load(block.left_dot + v) + d * load(block.left + c * width + v));
          store(block.right_dot + v, load(block.right_dot + v) + d * load(block.right + c * width + v));
        }
      }
      if (a.da != nullptr) write(index, block, block.left, block.left_scale, block.left_length, block.left_dot, factor, a.da);
      if (a.db != nullptr) {
        write(index, block, block.right, block.right_scale, block.right_length, block.right_dot, -factor, a.db);
      }
    };
    parallel(a.n * blocks, a.threads, job);
  }

 private:
  int64_t bytes() const { return (2 * a.c + 6) * width * sizeof(T); }

  Vec<T> difference(const Block& block, int64_t c, int64_t v) const {
    return rounded_product(load(block.left + c * width + v), load(block.left_scale + v)) -
           rounded_product(load(block.right + c * width + v), load(block.right_scale + v));
  }

  Block read(int64_t index, T* space) const {
    T* rows = space + 2 * a.c * width;
    const Block block{space,           space + a.c * width, rows,            rows + width,
                      rows + 2 * width, rows + 3 * width,    rows + 4 * width, rows + 5 * width};
    copy(index, static_cast<const T*>(a.a), space, block.left_scale, block.left_length);
    copy(index, static_cast<const T*>(a.b), space + a.c * width, block.right_scale, block.right_length);
    return block;
  }

  // What lies behind the last place of a map counts as zeros, which are at distance 0.
  void copy(int64_t index, const T* map, T* into, T* scale, T* length) const {
    const int64_t begin = index % blocks * width, count = smaller(width, a.hw - begin);
    map += index / blocks * a.c * a.hw + begin;
    for (int64_t v = 0; v < width; v += lanes) store(length + v, Vec<T>{});
    for (int64_t c = 0; c < a.c; ++c) {
      const T* from = map + c * a.hw;
      T* to = into + c * width;
      int64_t i = 0;
      for (; i + lanes <= count; i += lanes) {
        const Vec<T> x = load(from + i);
        store(to + i, x);
        store(length + i, load(length + i) + x * x);
      }
      for (; i < width; ++i) {
        to[i] = i < count ? from[i] : T(0);
        length[i] += to[i] * to[i];
      }
    }
    for (int64_t i = 0; i < width; ++i) {
      length[i] = T(__builtin_sqrt(double(length[i])));
      scale[i] = i < count ? 1 / (length[i] + eps) : T(0);
    }
  }

  // With s = 1 / (|x| + eps), u = weights * difference, of x_c: (u_c - x_c s dot / |x|) s factor, dot = sum u x.
  void write(int64_t index, const Block& block, const T* map, const T* scale, const T* length, T* dot, T factor,
             void* into) const {
    const int64_t begin = index % blocks * width, count = smaller(width, a.hw - begin);
    for (int64_t i = 0; i < width; ++i) dot[i] = length[i] > 0 ? dot[i] * scale[i] / length[i] : T(0);
    T* to = static_cast<T*>(into) + index / blocks * a.c * a.hw + begin;
    for (int64_t c = 0; c < a.c; ++c, to += a.hw) {
      int64_t v = 0;
      for (; v + lanes <= count; v += lanes) store(to + v, slope(block, map, scale, dot, factor, c, v));
      if (v == count) continue;
      const Vec<T> last = slope(block, map, scale, dot, factor, c, v);
      for (int64_t i = v; i < count; ++i) to[i] = last[i - v];
    }
  }

  Vec<T> slope(const Block& block, const T* map, const T* scale, const T* dot, T factor, int64_t c, int64_t v) const {
    const Vec<T> u = difference(block, c, v) * weights[c];
    return (u - load(map + c * width + v) * load(dot + v)) * load(scale + v) * factor;
  }
};

// ---------------------------------------------------------------- (n, hw, c)

template <class T>
struct UnitDistanceOfRows {
  const ul_unit_distance_args& a;
  static constexpr int64_t lanes = Vector<T>::lanes;
  int64_t width = larger<int64_t>(1, UNIT_DISTANCE_NUMBERS / larger<int64_t>(1, a.c)), blocks = (a.hw + width - 1) / width;
  const T *left = static_cast<const T*>(a.a), *right = static_cast<const T*>(a.b);
  const T* weights = static_cast<const T*>(a.weights);
  T eps = T(a.eps);

  struct Place {
    const T *left, *right;
    T left_length, right_length, left_scale, right_scale;
  };

  void forward() {
    Scratch parts(a.n * blocks * sizeof(double));
    double* sums = parts.template as<double>();
    auto job = [&](int64_t index) {
      double total = 0;
      for_places(index, [&](int64_t at) {
        const Place place = look(at);
        total += double(sum_over([&](auto kind, int64_t c) {
          const auto d = difference(kind, place, c);
          return d * d * get(kind, weights + c);
        }));
      });
      sums[index] = total;
    };
    parallel(a.n * blocks, a.threads, job);
    mean_of_blocks<T>(a, sums, blocks);
  }

  void backward() {
    auto job = [&](int64_t index) {
      const T factor = static_cast<const T*>(a.ddistance)[index / blocks] * 2 / T(a.hw);
      for_places(index, [&](int64_t at) {
        const Place p = look(at);
        if (a.da != nullptr) write(p, p.left, p.left_length, p.left_scale, factor, static_cast<T*>(a.da) + at);
        if (a.db != nullptr) write(p, p.right, p.right_length, p.right_scale, -factor, static_cast<T*>(a.db) + at);
      });
    };
    parallel(a.n * blocks, a.threads, job);
  }

 private:
  // What a loop over channels handles at a time: a vector, or, behind the last whole one, a number.
  struct Many {};
  struct One {};
  static UL_INLINE Vec<T> get(Many, const T* from) { return load(from); }
  static UL_INLINE T get(One, const T* from) { return *from; }
  static UL_INLINE void put(T* to, Vec<T> value) { store(to, value); }
  static UL_INLINE void put(T* to, T value) { *to = value; }

  template <class Body>
  UL_INLINE T sum_over(Body body) const {
    Vec<T> total{};
    int64_t c = 0;
    for (; c + lanes <= a.c; c += lanes) total += body(Many{}, c);
    T found = sum<T>(total);
    for (; c < a.c; ++c) found += body(One{}, c);
    return found;
  }

  template <class Body>
  UL_INLINE void for_places(int64_t index, Body body) const {
    const int64_t begin = index % blocks * width, end = smaller(begin + width, a.hw);
    for (int64_t i = begin; i < end; ++i) body((index / blocks * a.hw + i) * a.c);
  }

  UL_INLINE Place look(int64_t at) const {
    Place p{left + at, right + at, 0, 0, 0, 0};
    p.left_length = length(p.left), p.left_scale = 1 / (p.left_length + eps);
    p.right_length = length(p.right), p.right_scale = 1 / (p.right_length + eps);
    return p;
  }

  UL_INLINE T length(const T* x) const {
    const T squares = sum_over([&](auto kind, int64_t c) { return get(kind, x + c) * get(kind, x + c); });
    return T(__builtin_sqrt(double(squares)));
  }

  template <class Kind>
  UL_INLINE auto difference(Kind kind, const Place& p, int64_t c) const {
    return rounded_product(get(kind, p.left + c), p.left_scale) - rounded_product(get(kind, p.right + c), p.right_scale);
  }

  // As above: (u_c - x_c s dot / |x|) s factor, u = weights * difference, dot = sum u x.
  UL_INLINE void write(const Place& p, const T* x, T length, T scale, T factor, T* to) const {
    const T dot = sum_over([&](auto kind, int64_t c) {
      return difference(kind, p, c) * get(kind, weights + c) * get(kind, x + c);
    });
    const T along = length > 0 ? dot * scale / length : T(0), by = scale * factor;
    auto slope = [&](auto kind, int64_t c) {
      put(to + c, (difference(kind, p, c) * get(kind, weights + c) - get(kind, x + c) * along) * by);
    };
    int64_t c = 0;
    for (; c + lanes <= a.c; c += lanes) slope(Many{}, c);
    for (; c < a.c; ++c) slope(One{}, c);
  }
};

}  // namespace UL_ISA
}  // namespace ul
