// The kernels of 3 by 3 whose taps share their loads: which of the nine taps are kept.
//
// The squares and Ts are those of the scheme `pattern` (passes/schemes/cuts.py); the last is the whole kernel, of `kernel`.
#pragma once

#include <stdint.h>

namespace sparcl {

constexpr int64_t kKernel = 3;
constexpr int64_t kTaps = kKernel * kKernel;

constexpr int kPatterns = 9;
// Bit t stands for tap t, row by row.
constexpr int kPatternTaps[kPatterns] = {
    0b000011011, 0b000110110, 0b011011000, 0b110110000,  // squares
    0b000111010, 0b010111000, 0b010011010, 0b010110010,  // Ts
    0b111111111,
};

// Taps of a set below tap t, or all of them below kTaps.
constexpr int TapsBelow(int taps, int t) {
  int count = 0;
  for (int below = 0; below < t; ++below) count += taps >> below & 1;
  return count;
}

constexpr int TapsOf(int pattern) { return TapsBelow(kPatternTaps[pattern], kTaps); }

// The number of the pattern of a set of taps, or kPatterns where there is none.
struct PatternTable {
  uint8_t of[1 << kTaps];

  constexpr PatternTable() : of() {
    for (uint8_t& pattern : of) pattern = kPatterns;
    for (int pattern = 0; pattern < kPatterns; ++pattern) of[kPatternTaps[pattern]] = static_cast<uint8_t>(pattern);
  }
};

constexpr PatternTable kPatternTable;

}  // namespace sparcl
