// The C ABI: checks what can be checked, chooses the type of number, remembers errors.
#include <cstdio>

#include "kernels.cuh"

namespace ul {

static thread_local char last_error[512] = "";

int fail(const char* function, const char* why) {
  std::snprintf(last_error, sizeof last_error, "%s: %s", function, why);
  return 1;
}

int checked(const char* function, cudaError_t status) {
  if (status == cudaSuccess) return 0;
  cudaGetLastError();  // so that it does not come up again at the next launch
  return fail(function, cudaGetErrorString(status));
}

}  // namespace ul

namespace {

template <class Args>
int refused(const char* function, const Args* a) {
  if (a == nullptr || a->size != static_cast<int64_t>(sizeof(Args))) {
    return ul::fail(function, "the arguments are of another version of this library");
  }
  if (a->dtype != UL_F32 && a->dtype != UL_F64) return ul::fail(function, "dtype is neither UL_F32 nor UL_F64");
  return 0;
}

// Launches go to this thread's device; a tensor of another one must not be touched from here.
int elsewhere(const char* function, const void* tensor) {
  if (tensor == nullptr) return 0;  // empty, or not wanted
  int device = 0;
  cudaPointerAttributes found{};
  UL_TRY(function, cudaGetDevice(&device));
  UL_TRY(function, cudaPointerGetAttributes(&found, tensor));
  if (found.type == cudaMemoryTypeDevice && found.device != device) {
    return ul::fail(function, "the tensors are on another device than the thread's current one");
  }
  return 0;
}

int refused_sizes(const char* function, const ul_upfirdn2d_args& a) {
  if (a.fh >= 1 && a.fw >= 1 && a.up >= 1 && a.down >= 1) return 0;
  return ul::fail(function, "filter, up and down must be at least 1");
}

int refused_layout(const char* function, const ul_unit_distance_args& a) {
  return a.channels_last ? ul::fail(function, "channels_last is for the CPU only") : 0;
}

int refused_side(const char* function, int64_t side) {  // pixels of a plane are counted in 32 bits
  return side >= 1 && side <= 32768 ? 0 : ul::fail(function, "the side of a plane must be 1 to 32768");
}

int refused_sizes(const char* function, const ul_render_planes_args& a) {
  if (a.coarse < (a.fine > 0 ? 4 : 2) || a.fine < 0 || a.coarse + a.fine > 1024) {
    return ul::fail(function, "needs 2 coarse samples (4 with fine ones) and at most 1024 in all");
  }
  return refused_side(function, a.side);
}

}  // namespace

// Calls call<float> or call<double> with the arguments `a`.
#define UL_BY_TYPE(call, ...) (a->dtype == UL_F32 ? ul::call<float>(__VA_ARGS__) : ul::call<double>(__VA_ARGS__))

extern "C" {

int ul_abi_version(void) { return UL_ABI_VERSION; }
const char* ul_device(void) { return "cuda"; }
const char* ul_last_error(void) { return ul::last_error; }

const char* ul_variant(void) {
  static thread_local char name[16];
  int device = 0, major = 0, minor = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess) {
    cudaGetLastError();
    return "no device";
  }
  std::snprintf(name, sizeof name, "sm_%d%d", major, minor);
  return name;
}

int ul_bias_act(const ul_bias_act_args* a) {
  UL_TRY(__func__, refused(__func__, a));
  UL_TRY(__func__, elsewhere(__func__, a->y));
  return UL_BY_TYPE(bias_act, __func__, *a);
}

int ul_bias_act_backward(const ul_bias_act_args* a) {
  UL_TRY(__func__, refused(__func__, a));
  UL_TRY(__func__, elsewhere(__func__, a->dx));
  return UL_BY_TYPE(bias_act_backward, __func__, *a);
}

int ul_upfirdn2d(const ul_upfirdn2d_args* a) {
  UL_TRY(__func__, refused(__func__, a));
  UL_TRY(__func__, refused_sizes(__func__, *a));
  UL_TRY(__func__, elsewhere(__func__, a->y));
  return UL_BY_TYPE(upfirdn2d, __func__, *a);
}

int ul_unit_distance(const ul_unit_distance_args* a) {
  UL_TRY(__func__, refused(__func__, a));
  UL_TRY(__func__, refused_layout(__func__, *a));
  UL_TRY(__func__, elsewhere(__func__, a->distance));
  return UL_BY_TYPE(unit_distance, __func__, *a);
}

int ul_unit_distance_backward(const ul_unit_distance_args* a) {
  UL_TRY(__func__, refused(__func__, a));
  UL_TRY(__func__, refused_layout(__func__, *a));
  UL_TRY(__func__, elsewhere(__func__, a->da != nullptr ? a->da : a->db));
  return UL_BY_TYPE(unit_distance_backward, __func__, *a);
}

int ul_sample_planes(const ul_sample_planes_args* a) {
  UL_TRY(__func__, refused(__func__, a));
  UL_TRY(__func__, refused_side(__func__, a->side));
  UL_TRY(__func__, elsewhere(__func__, a->features));
  return UL_BY_TYPE(sample_planes, __func__, *a);
}

int ul_sample_planes_backward(const ul_sample_planes_args* a) {
  UL_TRY(__func__, refused(__func__, a));
  UL_TRY(__func__, refused_side(__func__, a->side));
  UL_TRY(__func__, elsewhere(__func__, a->dplanes));
  return UL_BY_TYPE(sample_planes_backward, __func__, *a);
}

int ul_render_planes(const ul_render_planes_args* a) {
  UL_TRY(__func__, refused(__func__, a));
  UL_TRY(__func__, refused_sizes(__func__, *a));
  UL_TRY(__func__, elsewhere(__func__, a->colours));
  return UL_BY_TYPE(render_planes, __func__, *a);
}

int ul_render_planes_backward(const ul_render_planes_args* a) {
  UL_TRY(__func__, refused(__func__, a));
  UL_TRY(__func__, refused_sizes(__func__, *a));
  UL_TRY(__func__, elsewhere(__func__, a->dplanes != nullptr ? a->dplanes : a->dw1));
  return UL_BY_TYPE(render_planes_backward, __func__, *a);
}

int64_t ul_bias_act_workspace(const ul_bias_act_args* a, int backward) {
  if (!backward || refused(__func__, a)) return 0;
  return UL_BY_TYPE(bias_act_backward_workspace, *a);
}

int64_t ul_upfirdn2d_workspace(const ul_upfirdn2d_args*, int) { return 0; }

int64_t ul_unit_distance_workspace(const ul_unit_distance_args* a, int backward) {
  if (backward || refused(__func__, a)) return 0;
  return UL_BY_TYPE(unit_distance_workspace, *a);
}

int64_t ul_sample_planes_workspace(const ul_sample_planes_args* a, int) {
  if (refused(__func__, a) || refused_side(__func__, a->side)) return 0;
  return UL_BY_TYPE(sample_planes_workspace, *a);
}

int64_t ul_render_planes_workspace(const ul_render_planes_args* a, int backward) {
  if (refused(__func__, a) || refused_sizes(__func__, *a)) return 0;
  return backward ? UL_BY_TYPE(render_planes_backward_workspace, *a) : UL_BY_TYPE(render_planes_workspace, *a);
}

}  // extern "C"
