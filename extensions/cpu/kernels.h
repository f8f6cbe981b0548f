// All kernels of one processor; kernels.cpp is compiled once for each, with UL_ISA as its name.
#pragma once

#include "unlearnkit_ops.h"

namespace ul {

struct Kernels {
  const char* name;
  void (*bias_act)(const ul_bias_act_args&, bool backward);
  void (*upfirdn2d)(const ul_upfirdn2d_args&);
  void (*unit_distance)(const ul_unit_distance_args&, bool backward);
  void (*sample_planes)(const ul_sample_planes_args&, bool backward);
  void (*render_planes)(const ul_render_planes_args&, bool backward);
};

#if defined(UL_X86)
namespace avx512 { extern const Kernels kernels; }
namespace avx2 { extern const Kernels kernels; }
#endif
namespace baseline { extern const Kernels kernels; }

}  // namespace ul
