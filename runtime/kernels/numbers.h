// Numbers that lie in memory as float32 or as bfloat16, which is the upper half of a float32.
#pragma once

#include <stdint.h>

namespace sparcl {

// What is read; both null: nothing.
struct Numbers {
  const float* floats = nullptr;
  const uint16_t* halves = nullptr;

  Numbers operator+(int64_t count) const {
    return {floats == nullptr ? nullptr : floats + count, halves == nullptr ? nullptr : halves + count};
  }

  float First() const {
    if (halves == nullptr) return *floats;
    const uint32_t bits = static_cast<uint32_t>(*halves) << 16;
    float value;
    __builtin_memcpy(&value, &bits, sizeof(value));
    return value;
  }
};

// What is done to the numbers of a channel as they are read: max(number * factor + offset, least).
struct Normalisation {
  const float* factor = nullptr;  // one number a channel; null: the numbers are taken as they are
  const float* offset = nullptr;
  bool relu = false;
};

// Where numbers are written: as float32, as bfloat16 (rounded to nearest, ties to even), as both.
struct Written {
  float* floats = nullptr;
  uint16_t* halves = nullptr;

  Written operator+(int64_t count) const {
    return {floats == nullptr ? nullptr : floats + count, halves == nullptr ? nullptr : halves + count};
  }
};

}  // namespace sparcl
