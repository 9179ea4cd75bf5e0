// Scratch memory that is kept between calls.
//
// A fresh allocation of this size goes to the operating system every time, and its page faults cost more than the
// smaller convolutions. As many buffers exist as were ever in use at once: one a thread, and one a running op.
#pragma once

#include "abi/kernel_api.h"

namespace sparcl {

class Workspace {
 public:
  // `failed()` when there is no memory. The contents are undefined; the alignment is a cache line.
  Workspace(const ort::Api& api, size_t bytes);
  ~Workspace();
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  bool failed() const { return memory_ == nullptr; }

  // Hands out the next `count` elements.
  template <class T>
  T* Take(int64_t count) {
    T* taken = reinterpret_cast<T*>(static_cast<char*>(memory_) + used_);
    used_ += Bytes<T>(count);
    return taken;
  }

  // What Take adds to a workspace.
  template <class T>
  static size_t Bytes(int64_t count) {
    return (static_cast<size_t>(count) * sizeof(T) + 63) & ~size_t{63};
  }

 private:
  void* memory_ = nullptr;
  size_t used_ = 0;
  int slot_ = -1;
};

}  // namespace sparcl
