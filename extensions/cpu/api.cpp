// The C ABI: checks what can be checked, chooses the kernels for this processor, turns exceptions into error codes.
#include <cstdio>
#include <exception>

#include "kernels.h"
#include "runtime.h"

namespace {

thread_local char last_error[256] = "";

int fail(const char* function, const char* why) {
  std::snprintf(last_error, sizeof last_error, "%s: %s", function, why);
  return 1;
}

const ul::Kernels& choose() {
#if defined(UL_X86)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("fma")) {
    return ul::avx512::kernels;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return ul::avx2::kernels;
#endif
  return ul::baseline::kernels;
}

const ul::Kernels& kernels() {
  static const ul::Kernels& chosen = choose();
  return chosen;
}

// Why sizes cannot be computed with, or NULL.
template <class Args>
const char* problem(const Args&) {
  return nullptr;
}

const char* problem(const ul_upfirdn2d_args& a) {
  const bool positive = a.fh >= 1 && a.fw >= 1 && a.up >= 1 && a.down >= 1;
  return positive ? nullptr : "filter, up and down must be at least 1";
}

const char* problem(const ul_render_planes_args& a) {
  const bool fits = a.coarse >= (a.fine > 0 ? 4 : 2) && a.fine >= 0 && a.coarse + a.fine <= 1024;
  return fits ? nullptr : "needs 2 coarse samples (4 with fine ones) and at most 1024 in all";
}

template <class Args, class Call>
int guarded(const char* function, const Args* args, Call call) {
  if (args == nullptr || args->size != static_cast<int64_t>(sizeof(Args))) {
    return fail(function, "the arguments are of another version of this library");
  }
  if (args->dtype != UL_F32 && args->dtype != UL_F64) return fail(function, "dtype is neither UL_F32 nor UL_F64");
  if (const char* why = problem(*args)) return fail(function, why);
  try {
    call(*args);
    return 0;
  } catch (const std::exception& error) {
    return fail(function, error.what());
  } catch (...) {
    return fail(function, "unknown error");
  }
}

}  // namespace

extern "C" {

int ul_abi_version(void) { return UL_ABI_VERSION; }
const char* ul_device(void) { return "cpu"; }
const char* ul_variant(void) { return kernels().name; }
const char* ul_last_error(void) { return last_error; }

int ul_bias_act(const ul_bias_act_args* args) {
  return guarded("ul_bias_act", args, [](auto& a) { kernels().bias_act(a, false); });
}

int ul_bias_act_backward(const ul_bias_act_args* args) {
  return guarded("ul_bias_act_backward", args, [](auto& a) { kernels().bias_act(a, true); });
}

int ul_upfirdn2d(const ul_upfirdn2d_args* args) {
  return guarded("ul_upfirdn2d", args, [](auto& a) { kernels().upfirdn2d(a); });
}

int ul_unit_distance(const ul_unit_distance_args* args) {
  return guarded("ul_unit_distance", args, [](auto& a) { kernels().unit_distance(a, false); });
}

int ul_unit_distance_backward(const ul_unit_distance_args* args) {
  return guarded("ul_unit_distance_backward", args, [](auto& a) { kernels().unit_distance(a, true); });
}

int ul_sample_planes(const ul_sample_planes_args* args) {
  return guarded("ul_sample_planes", args, [](auto& a) { kernels().sample_planes(a, false); });
}

int ul_sample_planes_backward(const ul_sample_planes_args* args) {
  return guarded("ul_sample_planes_backward", args, [](auto& a) { kernels().sample_planes(a, true); });
}

int ul_render_planes(const ul_render_planes_args* args) {
  return guarded("ul_render_planes", args, [](auto& a) { kernels().render_planes(a, false); });
}

int ul_render_planes_backward(const ul_render_planes_args* args) {
  return guarded("ul_render_planes_backward", args, [](auto& a) { kernels().render_planes(a, true); });
}

// On the CPU kernels take what they need themselves.
int64_t ul_bias_act_workspace(const ul_bias_act_args*, int) { return 0; }
int64_t ul_upfirdn2d_workspace(const ul_upfirdn2d_args*, int) { return 0; }
int64_t ul_unit_distance_workspace(const ul_unit_distance_args*, int) { return 0; }
int64_t ul_sample_planes_workspace(const ul_sample_planes_args*, int) { return 0; }
int64_t ul_render_planes_workspace(const ul_render_planes_args*, int) { return 0; }

}  // extern "C"
