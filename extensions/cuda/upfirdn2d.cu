// Up-sampling, filtering, down-sampling without ever multiplying the zeros in between.
//
// Result (row, column) sums input ((row * down + ky - top) / up, ...) times the flipped filter's (ky, kx) over those ky
// and kx for which the division leaves no remainder: every up-th, from the first on.
#include "kernels.cuh"

namespace ul {

namespace {

constexpr int THREADS = 256, TILE = 32, MOST_TAPS = 8;

template <class T>
struct Fir {
  const T *x, *kernel;
  T* y;
  int64_t planes, h, w, out_h, out_w, fh, fw, up, down, left, top;
  T gain;

  explicit Fir(const ul_upfirdn2d_args& a)
      : x(static_cast<const T*>(a.x)), kernel(static_cast<const T*>(a.kernel)), y(static_cast<T*>(a.y)),
        planes(a.planes), h(a.h), w(a.w), out_h(a.out_h), out_w(a.out_w), fh(a.fh), fw(a.fw), up(a.up), down(a.down),
        left(a.left), top(a.top), gain(T(a.gain)) {}
};

// The smallest k >= 0 for which at + k is a multiple of up.
template <class Integer>
UL_DEVICE Integer first_tap(Integer at, Integer up) {
  const Integer rest = at % up;
  return rest > 0 ? up - rest : -rest;
}

template <class Integer>
UL_DEVICE Integer floor_div(Integer a, Integer b) { return a / b - (a % b < 0 ? 1 : 0); }  // b > 0

// Any factors, any filter: a thread makes one number.
template <class T>
__global__ void __launch_bounds__(THREADS) plain_kernel(Fir<T> a) {
  const int64_t count = a.planes * a.out_h * a.out_w;
  for (int64_t i = int64_t(blockIdx.x) * THREADS + threadIdx.x; i < count; i += int64_t(gridDim.x) * THREADS) {
    const int64_t line = i / a.out_w, plane = line / a.out_h;
    const int64_t at_y = (line - plane * a.out_h) * a.down - a.top, at_x = (i - line * a.out_w) * a.down - a.left;
    const T* x = a.x + plane * a.h * a.w;
    T total = 0;
    for (int64_t ky = first_tap(at_y, a.up); ky < a.fh; ky += a.up) {
      const int64_t row = (at_y + ky) / a.up;
      if (row < 0 || row >= a.h) continue;
      for (int64_t kx = first_tap(at_x, a.up); kx < a.fw; kx += a.up) {
        const int64_t column = (at_x + kx) / a.up;
        if (column < 0 || column >= a.w) continue;
        total += x[row * a.w + column] * a.kernel[(a.fh - 1 - ky) * a.fw + a.fw - 1 - kx];
      }
    }
    a.y[i] = total * a.gain;
  }
}

// A block makes a tile of the result from a copy of its input in shared memory, so that each input number is read
// from memory about once. SIZE: sides of the filter if they are known (4 x 4 in StyleGAN2), so that the loops are
// unrolled; 0: any up to MOST_TAPS.
template <class T, int UP, int DOWN, int SIZE>
__global__ void __launch_bounds__(THREADS) tile_kernel(Fir<T> a) {
  constexpr int MOST = SIZE > 0 ? SIZE : MOST_TAPS, IN = ((TILE - 1) * DOWN + MOST - 1) / UP + 2;
  __shared__ T input[IN][IN + 1];
  __shared__ T filter[MOST][MOST];
  const int fh = SIZE > 0 ? SIZE : int(a.fh), fw = SIZE > 0 ? SIZE : int(a.fw);
  const int h = int(a.h), w = int(a.w), out_h = int(a.out_h), out_w = int(a.out_w);
  for (int i = threadIdx.x; i < fh * fw; i += THREADS) filter[i / fw][i % fw] = a.kernel[fh * fw - 1 - i] * a.gain;

  const int across = (out_w + TILE - 1) / TILE, down = (out_h + TILE - 1) / TILE;
  for (int64_t tile = blockIdx.x; tile < a.planes * across * down; tile += gridDim.x) {
    const int64_t line = tile / across, plane = line / down;
    const int row0 = int(line - plane * down) * TILE, column0 = int(tile - line * across) * TILE;
    const int top = floor_div(row0 * DOWN - int(a.top), UP), left = floor_div(column0 * DOWN - int(a.left), UP);
    __syncthreads();  // the tile before this one is done with `input`
    for (int i = threadIdx.x; i < IN * IN; i += THREADS) {
      const int y = i / IN, x = i % IN, from_y = top + y, from_x = left + x;
      const bool inside = from_y >= 0 && from_y < h && from_x >= 0 && from_x < w;
      input[y][x] = inside ? a.x[(plane * h + from_y) * w + from_x] : T(0);
    }
    __syncthreads();
    const int column = column0 + int(threadIdx.x) % TILE, at_x = column * DOWN - int(a.left);
    const int first_x = first_tap(at_x, UP), from_x = (at_x + first_x) / UP - left;
    for (int row = row0 + int(threadIdx.x) / TILE; row < smaller(row0 + TILE, out_h); row += THREADS / TILE) {
      const int at_y = row * DOWN - int(a.top), first_y = first_tap(at_y, UP), from_y = (at_y + first_y) / UP - top;
      if (column >= out_w) continue;
      T total = 0;
#pragma unroll
      for (int j = 0; j < MOST / UP; ++j) {
        if (SIZE == 0 && first_y + j * UP >= fh) break;
#pragma unroll
        for (int i = 0; i < MOST / UP; ++i) {
          if (SIZE == 0 && first_x + i * UP >= fw) break;
          total += input[from_y + j][from_x + i] * filter[first_y + j * UP][first_x + i * UP];
        }
      }
      a.y[(plane * out_h + row) * out_w + column] = total;
    }
  }
}

template <class T>
using Kernel = void (*)(Fir<T>);

template <class T, int SIZE>
Kernel<T> tiled(int64_t up, int64_t down) {
  if (up == 1 && down == 1) return tile_kernel<T, 1, 1, SIZE>;
  if (up == 2 && down == 1) return tile_kernel<T, 2, 1, SIZE>;
  if (up == 1 && down == 2) return tile_kernel<T, 1, 2, SIZE>;
  return nullptr;
}

bool below(int64_t limit, int64_t a) { return -limit < a && a < limit; }

}  // namespace

template <class T>
int upfirdn2d(const char* function, const ul_upfirdn2d_args& a) {
  const int64_t count = a.planes * a.out_h * a.out_w;
  if (count == 0) return 0;
  Kernel<T> kernel = nullptr;
  bool small = a.fh <= MOST_TAPS && a.fw <= MOST_TAPS;  // and places fit into 32 bits
  for (int64_t size : {a.h, a.w, a.out_h, a.out_w, a.left, a.top}) small = small && below(int64_t(1) << 28, size);
  if (small && a.out_w > TILE / 2 && a.out_h > TILE / 4) {  // in smaller pictures most of a tile's threads would idle
    kernel = a.fh == 4 && a.fw == 4 ? tiled<T, 4>(a.up, a.down) : tiled<T, 0>(a.up, a.down);
  }
  if (kernel != nullptr) {
    const int64_t tiles = a.planes * ceil_div(a.out_h, TILE) * ceil_div(a.out_w, TILE);
    UL_LAUNCH(kernel, blocks_for(tiles, 1), THREADS, 0, stream_of(a), Fir<T>(a));
  } else {
    kernel = plain_kernel<T>;
    UL_LAUNCH(kernel, blocks_for(count, THREADS), THREADS, 0, stream_of(a), Fir<T>(a));
  }
  return checked(function, cudaGetLastError());
}

template int upfirdn2d<float>(const char*, const ul_upfirdn2d_args&);
template int upfirdn2d<double>(const char*, const ul_upfirdn2d_args&);

}  // namespace ul
