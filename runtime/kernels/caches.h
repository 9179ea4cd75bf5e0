// The sizes of this machine's caches, which the tiles of the walks follow.
#pragma once

#include <stdint.h>

namespace sparcl {

// In bytes, of one core: its first level for data, and its second level.
struct Caches {
  int64_t first;
  int64_t second;

  // So many times the first level, or the second, in floats.
  int64_t FirstFloats(double times) const { return static_cast<int64_t>(times * static_cast<double>(first)) / 4; }
  int64_t SecondFloats(double times) const { return static_cast<int64_t>(times * static_cast<double>(second)) / 4; }
};

// Of this machine, or those that a test has claimed (SparclUseCaches). What depends on them changes no bit of a result.
Caches ChosenCaches();

}  // namespace sparcl
