// Vectors as wide as the processor that a file is compiled for, by the vector extension of GCC and Clang, and the few
// functions of them that decoders need. Nothing of the standard library's templates is used in what is compiled for
// special processors: the linker may keep that copy of a template for everybody.
#pragma once

#include <cstdint>

#if defined(__AVX512F__)
#define UL_VECTOR_BYTES 64
#elif defined(__AVX2__)
#define UL_VECTOR_BYTES 32
#else
#define UL_VECTOR_BYTES 16
#endif
#define UL_INLINE inline __attribute__((always_inline))

namespace ul {
namespace UL_ISA {

template <class T>
struct Vector;

template <>
struct Vector<float> {
  typedef float Type __attribute__((vector_size(UL_VECTOR_BYTES)));
  typedef int32_t Integer __attribute__((vector_size(UL_VECTOR_BYTES)));
  static constexpr int lanes = UL_VECTOR_BYTES / sizeof(float);
};

template <>
struct Vector<double> {
  typedef double Type __attribute__((vector_size(UL_VECTOR_BYTES)));
  typedef int64_t Integer __attribute__((vector_size(UL_VECTOR_BYTES)));
  static constexpr int lanes = UL_VECTOR_BYTES / sizeof(double);
};

template <class T>
using Vec = typename Vector<T>::Type;

template <class T>
UL_INLINE Vec<T> load(const T* from) {
  typedef T Loose __attribute__((vector_size(UL_VECTOR_BYTES), aligned(sizeof(T)), may_alias));
  return *reinterpret_cast<const Loose*>(from);
}

template <class T>
UL_INLINE void store(T* to, Vec<T> value) {
  typedef T Loose __attribute__((vector_size(UL_VECTOR_BYTES), aligned(sizeof(T)), may_alias));
  *reinterpret_cast<Loose*>(to) = value;
}

template <class T>
UL_INLINE Vec<T> all(T value) {
  return Vec<T>{} + value;
}

// The product of a vector, or a number, by a number or vector, rounded: never one operation with what is added to it. So
// a * b - a * b is 0.
template <class V, class W>
UL_INLINE V rounded_product(V a, W b) {
  V product = a * b;
#if defined(__SSE2__)
  asm("" : "+x"(product));
#elif defined(__aarch64__)
  asm("" : "+w"(product));
#endif
  return product;
}

template <class T>
UL_INLINE T sum(Vec<T> v) {
  T total = 0;
  for (int i = 0; i < Vector<T>::lanes; ++i) total += v[i];
  return total;
}

template <class T>
UL_INLINE T larger(T a, T b) { return a > b ? a : b; }
template <class T>
UL_INLINE T smaller(T a, T b) { return a < b ? a : b; }

// exp: 2^n times a polynomial of the remainder, relative error under 2e-7; beyond +-87, where float32 ends, its value
// there. NaN stays NaN.
UL_INLINE Vec<float> exponential(Vec<float> x) {
  typedef Vector<float>::Integer Int;
  const Vec<float> magic = all(12582912.0f);  // 1.5 * 2^23: adding it rounds to a whole number
  x = x < -87.0f ? all(-87.0f) : x;
  x = x > 87.0f ? all(87.0f) : x;
  const Vec<float> shifted = x * 1.44269504f + magic;
  const Vec<float> n = shifted - magic;
  const Vec<float> r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  Vec<float> p = all(1.3981999507e-3f) + r * 1.9875691500e-4f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  const Int scale = (reinterpret_cast<Int>(shifted) - reinterpret_cast<Int>(magic) + 127) << 23;
  return p * reinterpret_cast<Vec<float>>(scale);
}

// In float64, which tests use and nobody waits for, the library's functions one by one.
UL_INLINE Vec<double> exponential(Vec<double> x) {
  for (int i = 0; i < Vector<double>::lanes; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}

// log(1 + t) for t in [0, 1]: 2 atanh(t / (2 + t)) as a series, so that small t keep all their digits.
UL_INLINE Vec<float> log1p_by(Vec<float> s) {  // s = t / (2 + t), at most 1/3
  const Vec<float> z = s * s;
  Vec<float> p = all(0.1538461538f) + z * 0.1428571429f;
  p = p * z + 0.1818181818f;
  p = p * z + 0.2222222222f;
  p = p * z + 0.2857142857f;
  p = p * z + 0.4f;
  p = p * z + 0.6666666667f;
  return s * (p * z + 2.0f);
}

UL_INLINE Vec<double> log1p_by(Vec<double> s) {
  for (int i = 0; i < Vector<double>::lanes; ++i) s[i] = __builtin_log1p(2 * s[i] / (1 - s[i]));
  return s;
}

// softplus(x) = log(1 + exp(x)) and its derivative, the logistic function, from one exponential and one division.
template <class T>
UL_INLINE void softplus(Vec<T> x, Vec<T>& value, Vec<T>& slope) {
  const Vec<T> e = exponential(x < 0 ? x : -x);
  const Vec<T> shared = all(T(1)) / ((e + 1) * (e + 2));
  const Vec<T> near = shared * (e + 2);  // 1 / (1 + e)
  slope = x < 0 ? e * near : near;
  value = (x > 0 ? x : all(T(0))) + log1p_by(e * shared * (e + 1));
}

template <class T>
UL_INLINE Vec<T> logistic(Vec<T> x) {
  const Vec<T> e = exponential(x < 0 ? x : -x);
  const Vec<T> near = all(T(1)) / (e + 1);
  return x < 0 ? e * near : near;
}

}  // namespace UL_ISA
}  // namespace ul
