// Up-sampling, filtering, down-sampling without ever multiplying the zeros in between ("polyphase").
#pragma once

#include "runtime.h"
#include "unlearnkit_ops.h"
#include "vectors.h"

namespace ul {
namespace UL_ISA {

constexpr int64_t FIR_ROWS = 64;       // rows of the result that a job makes, of one plane or of several small ones
constexpr int64_t FIR_MOST_TAPS = 16;  // each way
constexpr int64_t FIR_MOST_UP = 4;

inline int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

// For up > 1 and down = 1, or up = 1 and any down. A job copies the input rows that it needs once, with zeros at both
// ends and split into `down` phases, so that every tap of the filter reads neighbours; it makes the `up` phases of a
// row of the result one by one and shuffles them together.
template <class T>
class Fir {
 public:
  explicit Fir(const ul_upfirdn2d_args& args) : a(args) {
    while (ring < a.fh) ring *= 2;
    for (int64_t phase = 0; phase < a.up; ++phase) {
      for (int64_t kx = 0; kx < a.fw; ++kx) {
        const int64_t at = phase + kx - a.left, ix = floor_div(at, a.up), block = floor_div(ix, a.down);
        if (at != ix * a.up) continue;
        across[phase][number[phase]++] = {a.fw - 1 - kx, (ix - block * a.down) * row_size + before + block};
      }
    }
  }

  void run() const {
    const int64_t bands = (a.out_h + FIR_ROWS - 1) / FIR_ROWS, together = larger<int64_t>(1, FIR_ROWS / a.out_h);
    auto job = [&](int64_t index) {
      Scratch memory((ring * a.down * row_size + (a.up > 1 ? a.up * phase_size : 0)) * sizeof(T));
      const int64_t begin = index % bands * FIR_ROWS, end = smaller(begin + FIR_ROWS, a.out_h);
      const int64_t first = index / bands * together, last = smaller(first + together, a.planes);
      for (int64_t plane = first; plane < last; ++plane) rows(plane, begin, end, memory.as<T>());
    };
    parallel((a.planes + together - 1) / together * bands, a.threads, job);
  }

 private:
  static constexpr int lanes = Vector<T>::lanes;
  const ul_upfirdn2d_args& a;
  struct Tap {
    int64_t column, place;  // of the filter; in a padded row, for the first number of a phase
  };
  Tap across[FIR_MOST_UP][FIR_MOST_TAPS];
  int64_t number[FIR_MOST_UP] = {};
  int64_t ring = 1;  // rows that are held: a power of two, at least the filter's height
  const int64_t widest = (a.out_w + a.up - 1) / a.up;  // of the phases of a row of the result
  const int64_t phase_size = widest + lanes;
  const int64_t before = (larger<int64_t>(a.left, 0) + a.down - 1) / a.down;  // zeros in front of a phase of the input
  const int64_t row_size = before + larger(widest, a.w / a.down + 1) + a.fw + 2 + larger<int64_t>(-a.left, 0) + lanes;

  void rows(int64_t plane, int64_t begin, int64_t end, T* memory) const {
    const T* x = static_cast<const T*>(a.x) + plane * a.h * a.w;
    T* y = static_cast<T*>(a.y) + plane * a.out_h * a.out_w;
    T* phases = memory + ring * a.down * row_size;
    int64_t held[FIR_MOST_TAPS];
    for (int64_t i = 0; i < ring; ++i) held[i] = -1;
    for (int64_t row = begin; row < end; ++row) {
      const T* inputs[FIR_MOST_TAPS];
      int64_t tap_rows[FIR_MOST_TAPS], count = 0;
      for (int64_t ky = 0; ky < a.fh; ++ky) {
        const int64_t at = row * a.down + ky - a.top, iy = floor_div(at, a.up);
        if (at != iy * a.up || iy < 0 || iy >= a.h) continue;
        const int64_t slot = iy & (ring - 1);
        T* place = memory + slot * a.down * row_size;
        if (held[slot] != iy) {
          copy_row(x + iy * a.w, place);
          held[slot] = iy;
        }
        inputs[count] = place;
        tap_rows[count++] = a.fh - 1 - ky;
      }
      T* out = y + row * a.out_w;
      for (int64_t phase = 0; phase < a.up; ++phase) {
        const int64_t width = (a.out_w - phase + a.up - 1) / a.up;
        filter(phase, width, inputs, tap_rows, count, a.up == 1 ? out : phases + phase * phase_size);
      }
      if (a.up == 2) {
        for (int64_t i = 0; i < a.out_w / 2; ++i) {
          out[2 * i] = phases[i];
          out[2 * i + 1] = phases[phase_size + i];
        }
        if (a.out_w % 2) out[a.out_w - 1] = phases[widest - 1];
      } else if (a.up > 2) {
        for (int64_t i = 0; i < a.out_w; ++i) out[i] = phases[i % a.up * phase_size + i / a.up];
      }
    }
  }

  // Phase q of a padded row holds the numbers at q, q + down, ... counted from `before * down` numbers in front of x.
  void copy_row(const T* x, T* place) const {
    for (int64_t q = 0; q < a.down; ++q) {
      T* to = place + q * row_size;
      const int64_t count = (a.w - q + a.down - 1) / a.down;
      for (int64_t i = 0; i < before; ++i) to[i] = 0;
      if (a.down == 1) {
        for (int64_t i = 0; i < count; ++i) to[before + i] = x[i];
      } else if (a.down == 2) {
        for (int64_t i = 0; i < count; ++i) to[before + i] = x[q + 2 * i];
      } else {
        for (int64_t i = 0; i < count; ++i) to[before + i] = x[q + i * a.down];
      }
      for (int64_t i = before + count; i < row_size; ++i) to[i] = 0;
    }
  }

  // One phase of one row of the result: each tap is a place to read from, which moves along, and a weight.
  void filter(int64_t phase, int64_t width, const T* const* inputs, const int64_t* tap_rows, int64_t count, T* out) const {
    const T* kernel = static_cast<const T*>(a.kernel);
    const T* from[FIR_MOST_TAPS * FIR_MOST_TAPS];
    T weight[FIR_MOST_TAPS * FIR_MOST_TAPS];
    int64_t taps = 0;
    for (int64_t i = 0; i < number[phase]; ++i) {
      for (int64_t j = 0; j < count; ++j, ++taps) {
        from[taps] = inputs[j] + across[phase][i].place;
        weight[taps] = kernel[tap_rows[j] * a.fw + across[phase][i].column] * T(a.gain);
      }
    }
    int64_t i = 0;
    for (; i + 4 * lanes <= width; i += 4 * lanes) {  // four sums at a time hide how long one takes
      Vec<T> total[4] = {};
      for (int64_t k = 0; k < taps; ++k) {
        const Vec<T> w = all(weight[k]);
        const T* place = from[k] + i;
        for (int j = 0; j < 4; ++j) total[j] += w * load(place + j * lanes);
      }
      for (int j = 0; j < 4; ++j) store(out + i + j * lanes, total[j]);
    }
    for (; i < width; i += lanes) {  // rows are padded by a vector, so the last may read too much, but not write
      Vec<T> total = all(T(0));
      for (int64_t k = 0; k < taps; ++k) total += weight[k] * load(from[k] + i);
      if (i + lanes <= width) {
        store(out + i, total);
      } else {
        for (int64_t lane = 0; i + lane < width; ++lane) out[i + lane] = total[lane];
      }
    }
  }
};

// Any factors, number by number.
template <class T>
void fir_plainly(const ul_upfirdn2d_args& a) {
  auto job = [&](int64_t index) {
    const T* x = static_cast<const T*>(a.x) + index / a.out_h * a.h * a.w;
    const T* kernel = static_cast<const T*>(a.kernel);
    const int64_t row = index % a.out_h;
    T* y = static_cast<T*>(a.y) + index * a.out_w;
    for (int64_t column = 0; column < a.out_w; ++column) {
      T total = 0;
      for (int64_t ky = 0; ky < a.fh; ++ky) {
        const int64_t at_y = row * a.down + ky - a.top, iy = floor_div(at_y, a.up);
        if (iy * a.up != at_y || iy < 0 || iy >= a.h) continue;
        for (int64_t kx = 0; kx < a.fw; ++kx) {
          const int64_t at_x = column * a.down + kx - a.left, ix = floor_div(at_x, a.up);
          if (ix * a.up != at_x || ix < 0 || ix >= a.w) continue;
          total += x[iy * a.w + ix] * kernel[(a.fh - 1 - ky) * a.fw + a.fw - 1 - kx];
        }
      }
      y[column] = total * T(a.gain);
    }
  };
  parallel(a.planes * a.out_h, a.threads, job);
}

template <class T>
void upfirdn2d(const ul_upfirdn2d_args& a) {
  const bool split = (a.up == 1 || a.down == 1) && a.up <= FIR_MOST_UP && a.fh <= FIR_MOST_TAPS && a.fw <= FIR_MOST_TAPS;
  // Taps that begin far in front of the picture or behind it are rare, and the plain way knows no limits.
  if (split && a.left < 4096 && a.left > -a.w && a.out_w < 4 * (a.w * a.up + a.fw) + 64) {
    Fir<T>(a).run();
  } else {
    fir_plainly<T>(a);
  }
}

}  // namespace UL_ISA
}  // namespace ul
