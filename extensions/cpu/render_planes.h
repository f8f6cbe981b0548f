// EG3D's renderer, fused: a ray's samples are looked up, decoded, drawn anew where something is, and composited while they
// lie in the cache. Nothing of a sample is kept for the backward pass but its depth: it decodes again. Formulas:
// unlearnkit/ops/volume.py.
#pragma once

#include "planes.h"

namespace ul {
namespace UL_ISA {

constexpr int IN = UL_PLANE_CHANNELS, HIDDEN = UL_HIDDEN, COLOURS = UL_COLOURS, OUT = 1 + COLOURS;
constexpr int64_t RAY_BLOCK = 16;     // rays of a job
constexpr int64_t RAY_CHUNK = 1024;   // rays whose features' gradients are held before they are scattered
constexpr int64_t PARAMETERS = HIDDEN * IN + HIDDEN + OUT * HIDDEN + OUT;

// c(rows, columns) = a(rows, depth) b(depth, columns) + start(columns), or += without start. a(i, k) is at
// a[i * a_row + k * a_step]; b and c are dense with `columns` numbers a row. ROWS x WIDTH accumulators stay in registers.
template <class T, int ROWS, int WIDTH>
UL_INLINE void product_block(const T* a, int64_t a_row, int64_t a_step, int depth, const T* b, const T* start, T* c,
                             int columns) {
  constexpr int lanes = Vector<T>::lanes;
  Vec<T> total[ROWS][WIDTH];
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < WIDTH; ++j) total[i][j] = start ? load(start + j * lanes) : load(c + i * columns + j * lanes);
  }
  for (int k = 0; k < depth; ++k) {
#pragma GCC unroll 8
    for (int j = 0; j < WIDTH; ++j) {
      const Vec<T> right = load(b + k * columns + j * lanes);
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; ++i) total[i][j] += a[i * a_row + k * a_step] * right;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < WIDTH; ++j) store(c + i * columns + j * lanes, total[i][j]);
  }
}

template <class T, int COLUMNS>
void product(const T* a, int64_t a_row, int64_t a_step, int64_t rows, int depth, const T* b, const T* start, T* c) {
  constexpr int lanes = Vector<T>::lanes;
  constexpr int width = UL_VECTOR_BYTES == 64 && COLUMNS >= 4 * lanes ? 4 : 2, rows_at_once = 6;
  static_assert(COLUMNS % (width * lanes) == 0, "columns fill whole vectors");
  int64_t i = 0;
  for (; i + rows_at_once <= rows; i += rows_at_once) {
    for (int j = 0; j < COLUMNS; j += width * lanes) {
      product_block<T, rows_at_once, width>(a + i * a_row, a_row, a_step, depth, b + j, start ? start + j : nullptr,
                                            c + i * COLUMNS + j, COLUMNS);
    }
  }
  for (; i < rows; ++i) {
    for (int j = 0; j < COLUMNS; j += width * lanes) {
      product_block<T, 1, width>(a + i * a_row, a_row, a_step, depth, b + j, start ? start + j : nullptr,
                                 c + i * COLUMNS + j, COLUMNS);
    }
  }
}

// The decoder's weights in the order in which each pass reads them.
template <class T>
struct Decoder {
  T w1_by_input[IN * HIDDEN], b1[HIDDEN];                       // forward: (32, 64)
  T colours_by_hidden[HIDDEN * COLOURS], colour_bias[COLOURS];  // forward: (64, 32)
  T density[HIDDEN], density_bias;
  const T *w1, *colours;  // backward, as given: (64, 32) and (32, 64)

  explicit Decoder(const ul_render_planes_args& a)
      : w1(static_cast<const T*>(a.w1)), colours(static_cast<const T*>(a.w2) + HIDDEN) {
    const T *first = static_cast<const T*>(a.b1), *w2 = static_cast<const T*>(a.w2), *second = static_cast<const T*>(a.b2);
    for (int h = 0; h < HIDDEN; ++h) {
      b1[h] = first[h];
      density[h] = w2[h];
      for (int k = 0; k < IN; ++k) w1_by_input[k * HIDDEN + h] = w1[h * IN + k];
      for (int c = 0; c < COLOURS; ++c) colours_by_hidden[h * COLOURS + c] = colours[c * HIDDEN + h];
    }
    density_bias = second[0];
    for (int c = 0; c < COLOURS; ++c) colour_bias[c] = second[1 + c];
  }
};

// The samples of one ray, in the order in which they were looked at; S of them at most.
template <class T>
struct Ray {
  int64_t most;
  Scratch memory;
  T *points, *features, *hidden, *slopes, *density, *colours;  // (S, 3) (S, 32) (S, 64) (S, 64) (S) (S, 32)
  T *sorted, *sorted_density, *alpha, *through, *weights, *share, *spare;
  int64_t *order, *drawn;

  explicit Ray(int64_t samples)
      : most((samples + 32) / 16 * 16), memory(most * ((IN + 2 * HIDDEN + COLOURS + 11) * sizeof(T) + 16)) {
    T* at = memory.as<T>();
    auto take = [&](int64_t each) { T* here = at; at += each * most; return here; };
    features = take(IN), hidden = take(HIDDEN), slopes = take(HIDDEN), colours = take(COLOURS);
    points = take(3), density = take(1), sorted = take(1), sorted_density = take(1), alpha = take(1);
    through = take(1), weights = take(1), share = take(1), spare = take(1);
    order = reinterpret_cast<int64_t*>(at);
    drawn = order + most;
  }
};

template <class T>
class Renderer {
 public:
  Renderer(const ul_render_planes_args& args, const Decoder<T>& decoder, const T* merged)
      : a(args), net(decoder), merged(merged), total(args.coarse + args.fine) {}

  void forward(int64_t row, Ray<T>& ray) const {  // row: of (n, rays)
    T* depths = static_cast<T*>(a.depths) + row * total;
    const T* coarse = static_cast<const T*>(a.coarse_depths) + row * a.coarse;
    for (int64_t i = 0; i < a.coarse; ++i) depths[i] = coarse[i];
    decode(row, depths, 0, a.coarse, ray, false);
    if (a.fine > 0) {
      for (int64_t i = 0; i < a.coarse; ++i) ray.sorted[i] = depths[i], ray.sorted_density[i] = ray.density[i];
      weigh(a.coarse, ray);
      draw(static_cast<const T*>(a.draws) + row * a.fine, ray, depths + a.coarse);
      decode(row, depths, a.coarse, total, ray, false);
    }
    composite(depths, ray);
    T* colours = static_cast<T*>(a.colours) + row * COLOURS;
    for (int c = 0; c < COLOURS; ++c) colours[c] = 0;
    for (int64_t s = 0; s < total; ++s) add_scaled(colours, ray.colours + s * COLOURS, ray.share[s], COLOURS);
    T opacity = 0, depth = 0;
    for (int64_t i = 0; i + 1 < total; ++i) {
      opacity += ray.weights[i];
      depth += ray.weights[i] * (ray.sorted[i] + ray.sorted[i + 1]) / 2;
    }
    static_cast<T*>(a.opacity)[row] = opacity;
    static_cast<T*>(a.depth)[row] = depth / opacity;
  }

  // Leaves the gradients of a ray's features (S, 32) and its points behind; adds those of the decoder to `parameters`
  // unless that is NULL.
  void backward(int64_t row, Ray<T>& ray, T* features_gradient, T* points, T* parameters) const {
    const T* depths = static_cast<const T*>(a.depths) + row * total;
    decode(row, depths, 0, total, ray, true);
    composite(depths, ray);
    T* out = ray.colours;  // from here on the gradient of what the decoder gives: colours (S, 32), density (S)
    T* density = ray.density;
    gradient_of_samples(row, ray, out, density);
    if (parameters != nullptr) second_layer_gradient(ray, out, density, parameters);
    const Vec<T> none = {};
    for (int64_t s = 0; s < total; ++s) {  // the hidden layer's, in place of its slopes; its values are used up
      for (int h = 0; h < HIDDEN; h += Vector<T>::lanes) {
        store(ray.hidden + s * HIDDEN + h, none + density[s] * load(net.density + h));
      }
    }
    product<T, HIDDEN>(out, COLOURS, 1, total, COLOURS, net.colours, nullptr, ray.hidden);
    for (int64_t i = 0; i < total * HIDDEN; i += Vector<T>::lanes) {
      store(ray.hidden + i, load(ray.hidden + i) * load(ray.slopes + i));
    }
    if (parameters != nullptr) first_layer_gradient(ray, parameters);
    for (int64_t i = 0; i < total * IN; ++i) features_gradient[i] = 0;
    product<T, IN>(ray.hidden, HIDDEN, 1, total, HIDDEN, net.w1, nullptr, features_gradient);
    for (int64_t i = 0; i < 3 * total; ++i) points[i] = ray.points[i];
  }

 private:
  const ul_render_planes_args& a;
  const Decoder<T>& net;
  const T* merged;
  int64_t total;

  // Samples [begin, end) of a ray: features, hidden layer, density, colours; slopes too if the backward pass asks.
  void decode(int64_t row, const T* depths, int64_t begin, int64_t end, Ray<T>& ray, bool slopes) const {
    constexpr int lanes = Vector<T>::lanes;
    const T* origin = static_cast<const T*>(a.origins) + 3 * row;
    const T* direction = static_cast<const T*>(a.directions) + 3 * row;
    const T scale = T(a.scale);
    for (int64_t s = begin; s < end; ++s) {
      T* p = ray.points + 3 * s;
      for (int axis = 0; axis < 3; ++axis) p[axis] = (origin[axis] + depths[s] * direction[axis]) * scale;
      gather<T, IN>(merged, IN, a.side, p[0], p[1], p[2], ray.features + s * IN);
    }
    const int64_t count = end - begin;
    T* hidden = ray.hidden + begin * HIDDEN;
    product<T, HIDDEN>(ray.features + begin * IN, IN, 1, count, IN, net.w1_by_input, net.b1, hidden);
    for (int64_t i = 0; i < count * HIDDEN; i += lanes) {
      Vec<T> value, slope;
      softplus<T>(load(hidden + i), value, slope);
      store(hidden + i, value);
      if (slopes) store(ray.slopes + begin * HIDDEN + i, slope);
    }
    for (int64_t s = 0; s < count; ++s) {
      Vec<T> sums = {};
      for (int h = 0; h < HIDDEN; h += lanes) sums += load(hidden + s * HIDDEN + h) * load(net.density + h);
      ray.density[begin + s] = sum<T>(sums) + net.density_bias;
    }
    T* colours = ray.colours + begin * COLOURS;
    product<T, COLOURS>(hidden, HIDDEN, 1, count, HIDDEN, net.colours_by_hidden, net.colour_bias, colours);
    const T stretch = T(1 + 2 * a.margin), margin = T(a.margin);
    for (int64_t i = 0; i < count * COLOURS; i += lanes) {
      store(colours + i, logistic<T>(load(colours + i)) * stretch - margin);
    }
  }

  // alpha, through and weights of the intervals between `count` sorted samples. spare becomes the slope of each alpha in
  // its middle density.
  void weigh(int64_t count, Ray<T>& ray) const {
    constexpr int lanes = Vector<T>::lanes;
    for (int64_t i = count; i <= (count + lanes) / lanes * lanes; ++i) {  // what the last vectors read too much
      ray.sorted[i] = ray.sorted[count - 1];
      ray.sorted_density[i] = 0;
    }
    for (int64_t i = 0; i + 1 < count; i += lanes) {
      const Vec<T> delta = load(ray.sorted + i + 1) - load(ray.sorted + i);
      const Vec<T> middle = (load(ray.sorted_density + i + 1) + load(ray.sorted_density + i)) / 2;
      Vec<T> density, slope;
      softplus<T>(middle - 1, density, slope);
      const Vec<T> left = exponential(-density * delta);
      store(ray.alpha + i, 1 - left);
      store(ray.spare + i, left * delta * slope);
    }
    T through = 1;
    for (int64_t i = 0; i + 1 < count; ++i) {
      ray.through[i] = through;
      ray.weights[i] = ray.alpha[i] * through;
      through *= 1 - ray.alpha[i] + T(1e-10);
    }
  }

  // Depths where the coarse weights are, by inverting their distribution; as volume.importance, number by number.
  void draw(const T* draws, Ray<T>& ray, T* depths) const {
    const int64_t bins = a.coarse - 1, inner = bins - 2;
    const T *w = ray.weights, eps = T(1e-5);
    T *cdf = ray.through, *middle = ray.alpha;
    for (int64_t i = 0; i < bins; ++i) middle[i] = (ray.sorted[i] + ray.sorted[i + 1]) / 2;
    auto smooth = [&](int64_t i) {  // of the larger of each two neighbours, the mean of each two neighbours
      return (larger(w[i - 1], w[i]) + larger(w[i], w[i + 1])) / 2 + T(0.01) + eps;
    };
    T whole = 0;
    for (int64_t i = 1; i <= inner; ++i) whole += smooth(i);
    T sum_so_far = 0;
    for (int64_t i = 1; i <= inner; ++i) {  // cdf takes the place of `through`, whose number i - 1 is not read any more
      sum_so_far += smooth(i) / whole;
      cdf[i] = sum_so_far;
    }
    cdf[0] = 0;
    for (int64_t k = 0; k < a.fine; ++k) {
      int64_t low = 0, high = inner + 1;  // the first number of cdf that is larger than u
      while (low < high) {
        const int64_t half = (low + high) / 2;
        if (cdf[half] > draws[k]) high = half; else low = half + 1;
      }
      const int64_t below = larger<int64_t>(low - 1, 0), above = smaller(low, inner);
      T width = cdf[above] - cdf[below];
      if (width < eps) width = 1;
      depths[k] = middle[below] + (draws[k] - cdf[below]) / width * (middle[above] - middle[below]);
    }
  }

  // Sorts, weighs; share is each sample's part of its ray, in the order in which it was looked at.
  void composite(const T* depths, Ray<T>& ray) const {
    merge(depths, ray);
    for (int64_t i = 0; i < total; ++i) {
      ray.sorted[i] = depths[ray.order[i]];
      ray.sorted_density[i] = ray.density[ray.order[i]];
    }
    weigh(total, ray);
    for (int64_t i = 0; i < total; ++i) {
      const T before = i > 0 ? ray.weights[i - 1] : 0, behind = i + 1 < total ? ray.weights[i] : 0;
      ray.share[ray.order[i]] = (before + behind) / 2;
    }
  }

  // order: places of the depths, rising. Insertion sort, because the coarse ones are in order and the drawn ones nearly
  // so, or few; then both are merged from behind.
  void merge(const T* depths, Ray<T>& ray) const {
    int64_t *order = ray.order, *drawn = ray.drawn;
    for (int64_t i = 0; i < a.coarse; ++i) order[i] = i;
    for (int64_t i = 0; i < a.fine; ++i) drawn[i] = a.coarse + i;
    insertion_sort(depths, order, a.coarse);
    insertion_sort(depths, drawn, a.fine);
    int64_t coarse = a.coarse - 1, fine = a.fine - 1;
    for (int64_t to = total - 1; fine >= 0; --to) {
      const bool behind = coarse >= 0 && depths[order[coarse]] > depths[drawn[fine]];
      order[to] = behind ? order[coarse--] : drawn[fine--];
    }
  }

  static void insertion_sort(const T* keys, int64_t* order, int64_t count) {
    for (int64_t i = 1; i < count; ++i) {
      const int64_t moved = order[i];
      int64_t j = i;
      for (; j > 0 && keys[order[j - 1]] > keys[moved]; --j) order[j] = order[j - 1];
      order[j] = moved;
    }
  }

  // In: shares, weights. Out: gradients of the decoder's colours before the logistic function, and of density.
  void gradient_of_samples(int64_t row, Ray<T>& ray, T* colours, T* density) const {
    constexpr int lanes = Vector<T>::lanes;
    const T none[COLOURS] = {};
    const T* g = a.dcolours == nullptr ? none : static_cast<const T*>(a.dcolours) + row * COLOURS;
    const T g_opacity = a.dopacity == nullptr ? 0 : static_cast<const T*>(a.dopacity)[row];
    T g_depth = a.ddepth == nullptr ? 0 : static_cast<const T*>(a.ddepth)[row], opacity = 0, depth = 0;
    if (g_depth != 0) {
      for (int64_t i = 0; i + 1 < total; ++i) {
        opacity += ray.weights[i];
        depth += ray.weights[i] * (ray.sorted[i] + ray.sorted[i + 1]) / 2;
      }
      depth /= opacity;
      g_depth /= opacity;
    }
    T* along = density;  // g . colour of each sample, until it is density's gradient
    const T margin = T(a.margin), stretch = T(1 + 2 * a.margin);
    for (int64_t s = 0; s < total; ++s) {
      Vec<T> sums = {};
      for (int c = 0; c < COLOURS; c += lanes) {
        const Vec<T> colour = load(colours + s * COLOURS + c), up = load(g + c);
        sums += colour * up;
        const Vec<T> lit = (colour + margin) / stretch;
        store(colours + s * COLOURS + c, up * ray.share[s] * stretch * lit * (1 - lit));
      }
      along[s] = sum<T>(sums);
    }
    // From behind: what all intervals behind one add is the less, the more it covers.
    T *interval = ray.sorted_density, behind = 0;
    for (int64_t i = total - 2; i >= 0; --i) {
      const T middle = (ray.sorted[i] + ray.sorted[i + 1]) / 2;
      const T weight = (along[ray.order[i]] + along[ray.order[i + 1]]) / 2 + g_opacity +
                       (g_depth == 0 ? T(0) : (middle - depth) * g_depth);
      interval[i] = ray.through[i] * (weight - behind) * ray.spare[i];
      behind = weight * ray.alpha[i] + (1 - ray.alpha[i] + T(1e-10)) * behind;
    }
    for (int64_t i = 0; i < total; ++i) {
      density[ray.order[i]] = ((i > 0 ? interval[i - 1] : 0) + (i + 1 < total ? interval[i] : 0)) / 2;
    }
  }

  // parameters: w1 (64, 32), b1 (64), w2 (33, 64), b2 (33).
  void second_layer_gradient(const Ray<T>& ray, const T* colours, const T* density, T* parameters) const {
    T *w2 = parameters + HIDDEN * IN + HIDDEN, *b2 = w2 + OUT * HIDDEN;
    for (int64_t s = 0; s < total; ++s) {
      add_scaled(w2, ray.hidden + s * HIDDEN, density[s], HIDDEN);
      b2[0] += density[s];
      add_scaled(b2 + 1, colours + s * COLOURS, T(1), COLOURS);
    }
    product<T, HIDDEN>(colours, 1, COLOURS, COLOURS, int(total), ray.hidden, nullptr, w2 + HIDDEN);
  }

  void first_layer_gradient(const Ray<T>& ray, T* parameters) const {
    product<T, IN>(ray.hidden, 1, HIDDEN, HIDDEN, int(total), ray.features, nullptr, parameters);
    for (int64_t s = 0; s < total; ++s) add_scaled(parameters + HIDDEN * IN, ray.hidden + s * HIDDEN, T(1), HIDDEN);
  }
};

template <class T>
void render_planes(const ul_render_planes_args& a) {
  const int64_t size = 3 * IN * a.side * a.side;
  Scratch merged(2 * IN * a.side * a.side * sizeof(T));
  const Decoder<T> decoder(a);
  const Renderer<T> renderer(a, decoder, merged.as<T>());
  for (int64_t n = 0; n < a.n; ++n) {
    pack_planes(static_cast<const T*>(a.planes) + n * size, IN, a.side, a.threads, merged.as<T>());
    auto job = [&](int64_t block) {
      Ray<T> ray(a.coarse + a.fine);
      for (int64_t i = block * RAY_BLOCK; i < smaller((block + 1) * RAY_BLOCK, a.rays); ++i) {
        renderer.forward(n * a.rays + i, ray);
      }
    };
    parallel((a.rays + RAY_BLOCK - 1) / RAY_BLOCK, a.threads, job);
  }
}

template <class T>
void render_planes_backward(const ul_render_planes_args& a) {
  const int64_t size = 3 * IN * a.side * a.side, packed = 2 * IN * a.side * a.side, total = a.coarse + a.fine;
  const int64_t chunk = smaller(RAY_CHUNK, a.rays), blocks = (chunk + RAY_BLOCK - 1) / RAY_BLOCK;
  const bool wants_decoder = a.dw1 != nullptr;
  Scratch merged(packed * sizeof(T)), gradient(packed * sizeof(T)), points(3 * chunk * total * sizeof(T));
  Scratch features(chunk * total * IN * sizeof(T)), parameters(wants_decoder ? (blocks + 1) * PARAMETERS * sizeof(T) : 0);
  const Decoder<T> decoder(a);
  const Renderer<T> renderer(a, decoder, merged.as<T>());
  T* sums = parameters.as<T>() + blocks * PARAMETERS;
  if (wants_decoder) for (int64_t i = 0; i < PARAMETERS; ++i) sums[i] = 0;
  for (int64_t n = 0; n < a.n; ++n) {
    pack_planes(static_cast<const T*>(a.planes) + n * size, IN, a.side, a.threads, merged.as<T>());
    if (a.dplanes != nullptr) for (int64_t i = 0; i < packed; ++i) gradient.as<T>()[i] = 0;
    for (int64_t begin = 0; begin < a.rays; begin += chunk) {
      const int64_t end = smaller(begin + chunk, a.rays), used = (end - begin + RAY_BLOCK - 1) / RAY_BLOCK;
      auto job = [&](int64_t block) {
        Ray<T> ray(total);
        T* own = wants_decoder ? parameters.as<T>() + block * PARAMETERS : nullptr;
        if (wants_decoder) for (int64_t i = 0; i < PARAMETERS; ++i) own[i] = 0;
        for (int64_t i = block * RAY_BLOCK; i < smaller((block + 1) * RAY_BLOCK, end - begin); ++i) {
          renderer.backward(n * a.rays + begin + i, ray, features.as<T>() + i * total * IN,
                            points.as<T>() + 3 * i * total, own);
        }
      };
      parallel(used, a.threads, job);
      if (a.dplanes != nullptr) {
        scatter<T, IN>(points.as<T>(), features.as<T>(), (end - begin) * total, IN, a.side, a.threads, gradient.as<T>());
      }
      for (int64_t block = 0; wants_decoder && block < used; ++block) {
        add_scaled(sums, parameters.as<T>() + block * PARAMETERS, T(1), PARAMETERS);
      }
    }
    if (a.dplanes != nullptr) {
      unpack_planes(gradient.as<T>(), IN, a.side, a.threads, static_cast<T*>(a.dplanes) + n * size);
    }
  }
  if (!wants_decoder) return;
  T* into[] = {static_cast<T*>(a.dw1), static_cast<T*>(a.db1), static_cast<T*>(a.dw2), static_cast<T*>(a.db2)};
  const int64_t sizes[] = {HIDDEN * IN, HIDDEN, OUT * HIDDEN, OUT};
  for (int part = 0; part < 4; ++part) {
    for (int64_t i = 0; i < sizes[part]; ++i) into[part][i] = sums[i];
    sums += sizes[part];
  }
}

}  // namespace UL_ISA
}  // namespace ul
