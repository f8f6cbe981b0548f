// What every kernel may call: threads, scratch memory, errors. Compiled once, for any processor; see runtime.cpp.
#pragma once

#include <cstdint>

namespace ul {

// Calls job(context, i) for each i in [0, count), spread over at most `threads` threads, in no particular order.
void parallel(int64_t count, int64_t threads, void (*job)(void* context, int64_t index), void* context);

// The same for anything callable.
template <class Job>
void parallel(int64_t count, int64_t threads, Job& job) {
  parallel(count, threads, [](void* context, int64_t index) { (*static_cast<Job*>(context))(index); }, &job);
}

// Memory aligned to 64 bytes, not cleared, given back at the end of the scope; throws std::bad_alloc.
class Scratch {
 public:
  explicit Scratch(int64_t bytes);
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  template <class T>
  T* as() const { return static_cast<T*>(memory_); }

 private:
  void* memory_;
};

}  // namespace ul
