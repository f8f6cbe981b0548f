#include "kernels.h"

#include "bias_act.h"
#include "render_planes.h"
#include "sample_planes.h"
#include "unit_distance.h"
#include "upfirdn2d.h"

namespace ul {
namespace UL_ISA {
namespace {

template <class T>
void bias_act_of(const ul_bias_act_args& a, bool backward) {
  BiasAct<T> op{a};
  backward ? op.backward() : op.forward();
}

template <class T, int CHANNELS>
void sample_planes_of(const ul_sample_planes_args& a, bool backward) {
  backward ? sample_planes_backward<T, CHANNELS>(a) : sample_planes<T, CHANNELS>(a);
}

void bias_act_any(const ul_bias_act_args& a, bool backward) {
  a.dtype == UL_F32 ? bias_act_of<float>(a, backward) : bias_act_of<double>(a, backward);
}

void upfirdn2d_any(const ul_upfirdn2d_args& a) {
  a.dtype == UL_F32 ? upfirdn2d<float>(a) : upfirdn2d<double>(a);
}

template <class T>
void unit_distance_of(const ul_unit_distance_args& a, bool backward) {
  if (a.channels_last) {
    UnitDistanceOfRows<T> op{a};
    return backward ? op.backward() : op.forward();
  }
  UnitDistance<T> op{a};
  backward ? op.backward() : op.forward();
}

void unit_distance_any(const ul_unit_distance_args& a, bool backward) {
  a.dtype == UL_F32 ? unit_distance_of<float>(a, backward) : unit_distance_of<double>(a, backward);
}

void sample_planes_any(const ul_sample_planes_args& a, bool backward) {
  if (a.dtype != UL_F32) return sample_planes_of<double, 0>(a, backward);
  a.channels == 32 ? sample_planes_of<float, 32>(a, backward) : sample_planes_of<float, 0>(a, backward);
}

template <class T>
void render_planes_of(const ul_render_planes_args& a, bool backward) {
  backward ? render_planes_backward<T>(a) : render_planes<T>(a);
}

void render_planes_any(const ul_render_planes_args& a, bool backward) {
  a.dtype == UL_F32 ? render_planes_of<float>(a, backward) : render_planes_of<double>(a, backward);
}

}  // namespace

#define UL_TEXT_OF(name) #name
#define UL_TEXT(name) UL_TEXT_OF(name)
extern const Kernels kernels = {UL_TEXT(UL_ISA),   bias_act_any,      upfirdn2d_any,
                                unit_distance_any, sample_planes_any, render_planes_any};

}  // namespace UL_ISA
}  // namespace ul
