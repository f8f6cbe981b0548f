#include "planes.cuh"

namespace ul {

namespace {

// A block handles PIXELS x PIXELS pixels of CHANNELS channels through shared memory: planes are read and written along
// their rows (the third along its own), merged planes along their channels. Eight numbers of a row are a whole sector.
constexpr int THREADS = 256, PIXELS = 8, CHANNELS = 32, AREA = PIXELS * PIXELS;

template <class T>
struct Tile {
  T *xy, *xz, *zx, *merged;  // of this image: planes from the tile's first channel on
  int x0, y0, channels;      // channels: of this tile
  int side;

  __device__ bool is_outside(int x, int y, int c) const { return x0 + x >= side || y0 + y >= side || c >= channels; }

  __device__ Tile(T* planes, T* all_merged, int64_t index, int64_t number, int side_) : side(side_) {
    const int64_t tiles = (side + PIXELS - 1) / PIXELS, groups = (number + CHANNELS - 1) / CHANNELS;
    const int64_t group = index % groups, place = index / groups, image = place / (tiles * tiles);
    const int64_t area = int64_t(side) * side, first = group * CHANNELS;
    x0 = int(place % tiles) * PIXELS, y0 = int(place / tiles % tiles) * PIXELS;
    channels = int(smaller<int64_t>(CHANNELS, number - first));
    xy = planes + (image * 3 * number + first) * area;
    xz = xy + number * area, zx = xz + number * area;
    merged = all_merged + image * 2 * area * number + first;
  }
};

// Calls visit(fast, slow, channel) for all pixels and channels, `fast` running fastest from thread to thread.
template <class Visit>
UL_DEVICE void along_rows(Visit&& visit) {
  for (int i = threadIdx.x; i < AREA * CHANNELS; i += THREADS) visit(i % PIXELS, i / PIXELS % PIXELS, i / AREA);
}

// Calls visit(x, y, channel), channels running fastest.
template <class Visit>
UL_DEVICE void along_channels(Visit&& visit) {
  for (int i = threadIdx.x; i < AREA * CHANNELS; i += THREADS) {
    visit(i / CHANNELS % PIXELS, i / CHANNELS / PIXELS, i % CHANNELS);
  }
}

template <class T>
__global__ void __launch_bounds__(THREADS)
pack_kernel(const T* planes, int64_t tiles, int64_t channels, int side, T* merged) {
  __shared__ T first[AREA][CHANNELS + 1], second[AREA][CHANNELS + 1];
  const int64_t area = int64_t(side) * side;
  for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
    const Tile<T> t(const_cast<T*>(planes), merged, index, channels, side);
    along_rows([&](int x, int y, int c) {
      if (t.is_outside(x, y, c)) return;
      const int64_t at = c * area + int64_t(t.y0 + y) * side + t.x0 + x;
      first[y * PIXELS + x][c] = t.xy[at] * T(1.0 / 3);
      second[y * PIXELS + x][c] = t.xz[at];
    });
    __syncthreads();
    along_rows([&](int y, int x, int c) {  // the third plane's rows are the others' columns
      if (t.is_outside(x, y, c)) return;
      T& sum = second[y * PIXELS + x][c];
      sum = (sum + t.zx[c * area + int64_t(t.x0 + x) * side + t.y0 + y]) * T(1.0 / 3);
    });
    __syncthreads();
    along_channels([&](int x, int y, int c) {
      if (t.is_outside(x, y, c)) return;
      T* to = t.merged + (int64_t(t.y0 + y) * side + t.x0 + x) * channels + c;
      to[0] = first[y * PIXELS + x][c];
      to[area * channels] = second[y * PIXELS + x][c];
    });
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(THREADS)
unpack_kernel(const T* merged, int64_t tiles, int64_t channels, int side, T* planes) {
  __shared__ T first[AREA][CHANNELS + 1], second[AREA][CHANNELS + 1];
  const int64_t area = int64_t(side) * side;
  for (int64_t index = blockIdx.x; index < tiles; index += gridDim.x) {
    const Tile<T> t(planes, const_cast<T*>(merged), index, channels, side);
    along_channels([&](int x, int y, int c) {
      if (t.is_outside(x, y, c)) return;
      const T* from = t.merged + (int64_t(t.y0 + y) * side + t.x0 + x) * channels + c;
      first[y * PIXELS + x][c] = from[0] * T(1.0 / 3);
      second[y * PIXELS + x][c] = from[area * channels] * T(1.0 / 3);
    });
    __syncthreads();
    along_rows([&](int x, int y, int c) {
      if (t.is_outside(x, y, c)) return;
      const int64_t at = c * area + int64_t(t.y0 + y) * side + t.x0 + x;
      t.xy[at] = first[y * PIXELS + x][c];
      t.xz[at] = second[y * PIXELS + x][c];
    });
    along_rows([&](int y, int x, int c) {
      if (t.is_outside(x, y, c)) return;
      t.zx[c * area + int64_t(t.x0 + x) * side + t.y0 + y] = second[y * PIXELS + x][c];
    });
    __syncthreads();
  }
}

int64_t tiles_of(int64_t n, int64_t channels, int64_t side) {
  const int64_t across = ceil_div(side, PIXELS);
  return n * across * across * ceil_div(channels, CHANNELS);
}

}  // namespace

template <class T>
int pack_planes(const char* function, cudaStream_t stream, const T* planes, int64_t n, int64_t channels, int64_t side,
                T* merged) {
  const int64_t tiles = tiles_of(n, channels, side);
  auto* kernel = pack_kernel<T>;
  UL_LAUNCH(kernel, blocks_for(tiles, 1), THREADS, 0, stream, planes, tiles, channels, int(side), merged);
  return checked(function, cudaGetLastError());
}

template <class T>
int unpack_planes(const char* function, cudaStream_t stream, const T* merged, int64_t n, int64_t channels, int64_t side,
                  T* planes) {
  const int64_t tiles = tiles_of(n, channels, side);
  auto* kernel = unpack_kernel<T>;
  UL_LAUNCH(kernel, blocks_for(tiles, 1), THREADS, 0, stream, merged, tiles, channels, int(side), planes);
  return checked(function, cudaGetLastError());
}

template int pack_planes(const char*, cudaStream_t, const float*, int64_t, int64_t, int64_t, float*);
template int pack_planes(const char*, cudaStream_t, const double*, int64_t, int64_t, int64_t, double*);
template int unpack_planes(const char*, cudaStream_t, const float*, int64_t, int64_t, int64_t, float*);
template int unpack_planes(const char*, cudaStream_t, const double*, int64_t, int64_t, int64_t, double*);

}  // namespace ul
