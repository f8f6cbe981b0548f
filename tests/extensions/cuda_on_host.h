// Runs CUDA kernels on a CPU, so that their own source can be tested where there is no GPU. Included by
// extensions/cuda/common.cuh when UL_CUDA_ON_HOST is defined; all of it is for tests.
//
// Blocks run one after another; a block's threads are fibres that run until they wait for each other, warp by warp, in
// rising or falling order (UL_HOST_ORDER=falling): where a barrier is missing, the two orders differ. Reported as
// launch failures: threads that wait for ones that have ended, lanes that meet in different warp operations, writes
// behind shared memory. Dynamic shared memory begins as NaN. What is emulated is what the kernels use: one-dimensional
// grids, whole warps.
#pragma once

#include <algorithm>
#include <csetjmp>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <ucontext.h>
#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static thread_local
#define UL_MOST_BLOCKS 3  // so that kernels must stride
#define UL_LAUNCH(kernel, grid, block, shared, stream, ...) \
  cuda_on_host::launch(kernel, grid, block, shared, stream, __VA_ARGS__)
#define UL_DYNAMIC_SHARED(name) unsigned char* name = cuda_on_host::shared_memory

enum cudaError_t {
  cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorInvalidConfiguration = 9, cudaErrorLaunchFailure = 719
};
enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount, cudaDevAttrComputeCapabilityMajor, cudaDevAttrComputeCapabilityMinor,
  cudaDevAttrMaxSharedMemoryPerBlockOptin
};
enum cudaMemoryType { cudaMemoryTypeDevice = 2 };
enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };
struct cudaPointerAttributes { cudaMemoryType type; int device; };
typedef void* cudaStream_t;
struct uint3 { unsigned x; };

inline thread_local uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace cuda_on_host {

constexpr int PROCESSORS = 2, STACK = 128 * 1024, CANARY = 16;
inline thread_local unsigned char* shared_memory = nullptr;
inline thread_local cudaError_t last_error = cudaSuccess;
inline thread_local const char* what_happened = "";

// Bytes of shared memory that a block may have: UL_HOST_SHARED, or as on GPUs for gamers.
inline size_t shared_limit() {
  const char* given = std::getenv("UL_HOST_SHARED");
  return given != nullptr ? size_t(std::atoll(given)) : 99 * 1024;
}

inline cudaError_t error(cudaError_t code, const char* what) {
  if (last_error == cudaSuccess) last_error = code, what_happened = what;
  return code;
}

// ---------------------------------------------------------------- fibres

struct Barrier {
  int size = 0, waiting = 0, generation = 0;
};

struct Fibre {
  ucontext_t start;
  jmp_buf where;
  std::unique_ptr<char[]> stack{new char[STACK]};
  bool begun = false, ended = false;
  Barrier* waits_for = nullptr;
  int generation = 0, operations = 0;
};

struct Warp {
  Barrier barrier;
  char kind[2][32];  // of two operations: a lane may be one ahead of the others
  unsigned char value[2][32][8];
};

inline thread_local std::vector<Fibre> fibres;
inline thread_local std::vector<Warp> warps;
inline thread_local Barrier block_barrier;
inline thread_local jmp_buf scheduler;
inline thread_local const std::function<void()>* body = nullptr;

inline void entry() {
  (*body)();
  fibres[threadIdx.x].ended = true;
  _longjmp(scheduler, 1);
}

// Not inlined: the frame that _longjmp returns to must be this call's.
__attribute__((noinline)) inline void resume(Fibre& fibre) {
  if (_setjmp(scheduler) != 0) return;
  if (fibre.begun) _longjmp(fibre.where, 1);
  fibre.begun = true;
  setcontext(&fibre.start);
}

__attribute__((noinline)) inline void wait(Barrier& barrier) {
  if (++barrier.waiting == barrier.size) {
    barrier.waiting = 0;
    ++barrier.generation;
    return;
  }
  Fibre& self = fibres[threadIdx.x];
  self.waits_for = &barrier, self.generation = barrier.generation;
  if (_setjmp(self.where) == 0) _longjmp(scheduler, 1);
  self.waits_for = nullptr;
}

inline bool can_run(const Fibre& fibre) {
  return !fibre.ended && (fibre.waits_for == nullptr || fibre.waits_for->generation != fibre.generation);
}

inline bool run_warp(unsigned warp, bool falling) {
  bool progress = false;
  for (unsigned lane = 0; lane < 32; ++lane) {
    const unsigned index = 32 * warp + (falling ? 31 - lane : lane);
    if (!can_run(fibres[index])) continue;
    progress = true;
    threadIdx.x = index;
    resume(fibres[index]);
  }
  return progress;
}

inline bool run_block(unsigned threads, bool falling) {
  if (fibres.size() < threads) fibres.resize(threads);
  warps.assign(threads / 32, Warp());
  for (Warp& warp : warps) warp.barrier.size = 32;
  block_barrier = Barrier();
  block_barrier.size = int(threads);
  for (unsigned i = 0; i < threads; ++i) {
    Fibre& fibre = fibres[i];
    fibre.begun = fibre.ended = false, fibre.waits_for = nullptr, fibre.operations = 0;
    getcontext(&fibre.start);
    fibre.start.uc_stack.ss_sp = fibre.stack.get(), fibre.start.uc_stack.ss_size = STACK, fibre.start.uc_link = nullptr;
    makecontext(&fibre.start, entry, 0);
  }
  for (bool progress = true; progress;) {
    progress = false;
    for (unsigned w = 0; w < threads / 32; ++w) {
      while (run_warp(falling ? threads / 32 - 1 - w : w, falling)) progress = true;  // as far as it comes
    }
  }
  return std::all_of(fibres.begin(), fibres.begin() + threads, [](const Fibre& fibre) { return fibre.ended; });
}

template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), unsigned grid, unsigned block, size_t shared, cudaStream_t,
            Arguments... arguments) {
  if (grid == 0 || block == 0 || block > 1024 || block % 32 != 0 || shared > shared_limit()) {
    error(cudaErrorInvalidConfiguration, "invalid launch");
    return;
  }
  const char* order = std::getenv("UL_HOST_ORDER");
  const bool falling = order != nullptr && std::strcmp(order, "falling") == 0;
  const std::function<void()> call = [&] { kernel(arguments...); };
  body = &call;
  std::unique_ptr<double[]> memory(new double[2 * ((shared + CANARY) / 16 + 2)]);
  auto* bytes = reinterpret_cast<unsigned char*>(memory.get());
  shared_memory = bytes + (16 - reinterpret_cast<uintptr_t>(bytes) % 16) % 16;
  gridDim.x = grid, blockDim.x = block;
  for (unsigned index = 0; index < grid; ++index) {
    blockIdx.x = index;
    std::memset(shared_memory, 0xff, shared + CANARY);  // NaN
    if (!run_block(block, falling)) error(cudaErrorLaunchFailure, "threads wait for others that have ended");
    for (size_t i = 0; i < CANARY; ++i) {
      if (shared_memory[shared + i] != 0xff) error(cudaErrorLaunchFailure, "written behind shared memory");
    }
  }
  shared_memory = nullptr;
}

// ---------------------------------------------------------------- operations of a warp

// Gives `value` to the others and takes that of lane `from`, when all lanes are here.
template <class T>
T exchange(char kind, unsigned mask, T value, int from) {
  Warp& warp = warps[threadIdx.x / 32];
  const int lane = int(threadIdx.x % 32), turn = fibres[threadIdx.x].operations++ % 2;
  if (mask != 0xffffffffu) error(cudaErrorInvalidValue, "a mask that is not the whole warp");
  std::memcpy(warp.value[turn][lane], &value, sizeof value);
  warp.kind[turn][lane] = kind;
  wait(warp.barrier);
  if (warp.kind[turn][from] != kind) error(cudaErrorLaunchFailure, "lanes meet in different operations");
  std::memcpy(&value, warp.value[turn][from], sizeof value);
  return value;
}

}  // namespace cuda_on_host

inline void __syncthreads() { cuda_on_host::wait(cuda_on_host::block_barrier); }
inline void __syncwarp() { cuda_on_host::exchange('w', 0xffffffffu, 0, 0); }

template <class T>
T __shfl_sync(unsigned mask, T value, int from) { return cuda_on_host::exchange('s', mask, value, from); }
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int step) {
  return cuda_on_host::exchange('x', mask, value, int(threadIdx.x % 32) ^ step);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, int step) {
  const int lane = int(threadIdx.x % 32);
  return cuda_on_host::exchange('u', mask, value, lane >= step ? lane - step : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, int step) {
  const int lane = int(threadIdx.x % 32);
  return cuda_on_host::exchange('d', mask, value, lane + step < 32 ? lane + step : lane);
}
template <class T>
T atomicAdd(T* to, T value) {
  const T before = *to;
  *to = before + value;
  return before;
}

// ---------------------------------------------------------------- the runtime

inline cudaError_t cudaGetLastError() {
  const cudaError_t found = cuda_on_host::last_error;
  cuda_on_host::last_error = cudaSuccess;
  return found;
}
inline const char* cudaGetErrorString(cudaError_t) { return cuda_on_host::what_happened; }
inline cudaError_t cudaGetDevice(int* device) { return *device = 0, cudaSuccess; }
inline cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin ? int(cuda_on_host::shared_limit())
         : attribute == cudaDevAttrMultiProcessorCount          ? cuda_on_host::PROCESSORS
                                                                : 0;
  return cudaSuccess;
}
inline cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* found, const void*) {
  *found = cudaPointerAttributes{cudaMemoryTypeDevice, 0};
  return cudaSuccess;
}
inline cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  return std::memset(to, value, bytes), cudaSuccess;
}
inline cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
template <class Kernel>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, Kernel*, int, size_t shared) {
  return *blocks = int((cuda_on_host::shared_limit() + 1024) / (shared + 1024)), cudaSuccess;
}
