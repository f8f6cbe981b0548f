#include "runtime.h"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <dlfcn.h>
#define UL_HAS_DLFCN
#endif

namespace ul {

namespace {

// The jobs of one call, and the failure of one of them.
struct Work {
  int64_t count;
  void (*job)(void*, int64_t);
  void* context;
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr failure;

  void run() {
    try {
      for (int64_t i; !failed && (i = next.fetch_add(1)) < count;) job(context, i);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  }
};

using OpenMpParallel = void (*)(void (*body)(void*), void* data, unsigned threads, unsigned flags);

// The entry of GNU's OpenMP library, if somebody (torch) has loaded it: its public ABI, used by every program that GCC
// compiles with -fopenmp. Nothing is loaded here.
OpenMpParallel find_openmp() {
#if defined(UL_HAS_DLFCN)
  void* found = dlsym(RTLD_DEFAULT, "GOMP_parallel");
  if (found == nullptr) {
    if (void* library = dlopen("libgomp.so.1", RTLD_LAZY | RTLD_NOLOAD)) found = dlsym(library, "GOMP_parallel");
  }
  return reinterpret_cast<OpenMpParallel>(found);
#else
  return nullptr;
#endif
}

void run_in_threads(Work& work, int64_t threads) {
  std::vector<std::thread> others;
  others.reserve(threads - 1);
  for (int64_t i = 1; i < threads; ++i) {
    try {
      others.emplace_back([&work] { work.run(); });
    } catch (const std::system_error&) {
      break;  // no more threads to be had here: those that there are do the work
    }
  }
  work.run();
  for (auto& thread : others) thread.join();
}

}  // namespace

// torch's own threads do the work where they can be had: they wait for the next operation by spinning, so threads beside
// them would share their cores, and would find them asleep afterwards (measured on two cores: whole networks became slower
// by up to a half, though each kernel alone was many times faster). Elsewhere threads are started for the call.
void parallel(int64_t count, int64_t threads, void (*job)(void*, int64_t), void* context) {
  if (threads > count) threads = count;
  if (threads <= 1) {
    for (int64_t i = 0; i < count; ++i) job(context, i);
    return;
  }
  static const OpenMpParallel openmp = find_openmp();
  Work work{count, job, context};
  if (openmp != nullptr) {
    openmp([](void* data) { static_cast<Work*>(data)->run(); }, &work, unsigned(threads), 0);
  } else {
    run_in_threads(work, threads);
  }
  if (work.failed) std::rethrow_exception(work.failure);
}

Scratch::Scratch(int64_t bytes) : memory_(std::aligned_alloc(64, (bytes + 127) / 64 * 64)) {
  if (memory_ == nullptr) throw std::bad_alloc();
}

Scratch::~Scratch() { std::free(memory_); }

}  // namespace ul
