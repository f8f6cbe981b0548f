// The operations of the C ABI for one type of number each; api.cu chooses. All return 0 or an error code.
#pragma once

#include "common.cuh"

namespace ul {

template <class T> int bias_act(const char* function, const ul_bias_act_args&);
template <class T> int bias_act_backward(const char* function, const ul_bias_act_args&);
template <class T> int upfirdn2d(const char* function, const ul_upfirdn2d_args&);
template <class T> int unit_distance(const char* function, const ul_unit_distance_args&);
template <class T> int unit_distance_backward(const char* function, const ul_unit_distance_args&);
template <class T> int sample_planes(const char* function, const ul_sample_planes_args&);
template <class T> int sample_planes_backward(const char* function, const ul_sample_planes_args&);
template <class T> int render_planes(const char* function, const ul_render_planes_args&);
template <class T> int render_planes_backward(const char* function, const ul_render_planes_args&);

// Bytes, or 0 where the arguments do not say (the call itself then fails with a reason).
template <class T> int64_t bias_act_backward_workspace(const ul_bias_act_args&);
template <class T> int64_t unit_distance_workspace(const ul_unit_distance_args&);
template <class T> int64_t sample_planes_workspace(const ul_sample_planes_args&);
template <class T> int64_t render_planes_workspace(const ul_render_planes_args&);
template <class T> int64_t render_planes_backward_workspace(const ul_render_planes_args&);

}  // namespace ul
