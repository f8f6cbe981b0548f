#include "runtime.h"

#include <atomic>
#include <cstdlib>
#include <exception>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace ul {

// Threads are started for each call (some 20 us each, little beside a kernel's milliseconds) rather than kept in a pool:
// nothing has to survive a fork, nothing is left behind when the library is unloaded, and torch's own threads, which
// sleep meanwhile, are not disturbed.
void parallel(int64_t count, int64_t threads, void (*job)(void*, int64_t), void* context) {
  if (threads > count) threads = count;
  if (threads <= 1) {
    for (int64_t i = 0; i < count; ++i) job(context, i);
    return;
  }
  std::atomic<int64_t> next{0};
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
  auto work = [&] {
    try {
      for (int64_t i; !failed && (i = next.fetch_add(1)) < count;) job(context, i);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  others.reserve(threads - 1);
  for (int64_t i = 1; i < threads; ++i) {
    try {
      others.emplace_back(work);
    } catch (const std::system_error&) {
      break;  // no more threads to be had here: those that there are do the work
    }
  }
  work();
  for (auto& thread : others) thread.join();
  if (failed) std::rethrow_exception(failure);
}

Scratch::Scratch(int64_t bytes) : memory_(std::aligned_alloc(64, (bytes + 127) / 64 * 64)) {
  if (memory_ == nullptr) throw std::bad_alloc();
}

Scratch::~Scratch() { std::free(memory_); }

}  // namespace ul
