// The sums of accumulate-inl.h for weights that keep kernels of 3 by 3 by patterns (patterns.h). No include guard on purpose.
//
// The taps of a kernel read the same pixels, shifted: of a whole one a tile of 4 by 4 takes 36 loads for 144 multiply-adds,
// where single weights take 144; of a square of four 25 for 64. Every pattern has code of its own, and every sum adds up its
// products in the order of single weights, so that no bit differs.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Adds a row of the input to the rows of sums that its taps reach. kMirrored: tap (i, j) reads the pixel (2 - i, 2 - j) on.
template <int kRows, int kVectors, bool kMirrored, int kKept>
HWY_INLINE void AddInputRow(int input_row, const float* HWY_RESTRICT x, const float* HWY_RESTRICT values, Vector* sums) {
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  constexpr int kSide = static_cast<int>(kKernel);
  Vector shared[kVectors + kSide - 1];  // the compiler drops what no tap reads
#pragma GCC unroll 6
  for (int v = 0; v < kVectors + kSide - 1; ++v) shared[v] = hn::LoadU(d, x + v * kLanes);
#pragma GCC unroll 9
  for (int tap = 0; tap < kSide * kSide; ++tap) {
    const int i = tap / kSide, j = tap % kSide;
    const int row = input_row - (kMirrored ? kSide - 1 - i : i);
    if (row < 0 || row >= kRows || (kKept >> tap & 1) == 0) continue;
    const Vector value = hn::Set(d, values[TapsBelow(kKept, tap)]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      Vector& sum = sums[row * kVectors + v];
      sum = hn::MulAdd(value, shared[v + (kMirrored ? kSide - 1 - j : j)], sum);
    }
  }
}

// The entries from the first on that have its pattern. Returns the next one.
template <int kRows, int kVectors, bool kMirrored, int kPattern>
HWY_INLINE const KernelEntry* AccumulateRun(const KernelEntry* HWY_RESTRICT entry, const KernelEntry* HWY_RESTRICT end,
                                            const float* HWY_RESTRICT x, int64_t x_row, Vector* sums) {
  constexpr int kInputRows = kRows + static_cast<int>(kKernel) - 1;
  do {
    const float* at = x + entry->offset;
#pragma GCC unroll 6
    for (int i = 0; i < kInputRows; ++i) {
      const int row = kMirrored ? kInputRows - 1 - i : i;
      AddInputRow<kRows, kVectors, kMirrored, kPatternTaps[kPattern]>(row, at + row * x_row, entry->values, sums);
    }
  } while (++entry != end && entry->pattern == kPattern);
  return entry;
}

template <int kRows, int kVectors, bool kMirrored>
HWY_INLINE void AccumulateKernels(const KernelEntry* HWY_RESTRICT entry, const KernelEntry* HWY_RESTRICT end,
                                  const float* HWY_RESTRICT x, int64_t x_row, Vector* sums) {
  while (entry != end) {
    switch (entry->pattern) {
      case 0: entry = AccumulateRun<kRows, kVectors, kMirrored, 0>(entry, end, x, x_row, sums); break;
      case 1: entry = AccumulateRun<kRows, kVectors, kMirrored, 1>(entry, end, x, x_row, sums); break;
      case 2: entry = AccumulateRun<kRows, kVectors, kMirrored, 2>(entry, end, x, x_row, sums); break;
      case 3: entry = AccumulateRun<kRows, kVectors, kMirrored, 3>(entry, end, x, x_row, sums); break;
      case 4: entry = AccumulateRun<kRows, kVectors, kMirrored, 4>(entry, end, x, x_row, sums); break;
      case 5: entry = AccumulateRun<kRows, kVectors, kMirrored, 5>(entry, end, x, x_row, sums); break;
      case 6: entry = AccumulateRun<kRows, kVectors, kMirrored, 6>(entry, end, x, x_row, sums); break;
      case 7: entry = AccumulateRun<kRows, kVectors, kMirrored, 7>(entry, end, x, x_row, sums); break;
      default: entry = AccumulateRun<kRows, kVectors, kMirrored, 8>(entry, end, x, x_row, sums); break;
    }
  }
}

// All channels at one tile.
template <int kRows, int kVectors>
void AccumulateChannelsOfKernels(const KernelLists& lists, const Tile& tile, int64_t row, int64_t vector) {
  const float* x = tile.x + row * tile.x_row + vector * HWY_LANES(float);
  Sums<const float> from = At(tile.from, row, vector);
  Sums<float> to = At(tile.to, row, vector);
  Sums<uint16_t> half = At(tile.half, row, vector);
  const int32_t* starts = lists.starts;
  for (int64_t channel = 0; channel < lists.channels; ++channel, starts += lists.stride) {
    const KernelEntry *entry = lists.entries + starts[0], *end = lists.entries + starts[1];
    Vector sums[kRows * kVectors];
    ReadSums<kRows, kVectors>(from, tile.bias == nullptr ? 0.0f : tile.bias[channel], sums);
    if (lists.mirrored) {
      AccumulateKernels<kRows, kVectors, true>(entry, end, x, tile.x_row, sums);
    } else {
      AccumulateKernels<kRows, kVectors, false>(entry, end, x, tile.x_row, sums);
    }
    WriteSums<kRows, kVectors>(sums, to, half, tile.past_caches);
    Advance(from);
    Advance(to);
    Advance(half);
  }
}

// One column of tiles, kVectors wide.
template <int kVectors>
void AccumulateColumnOfKernels(const KernelLists& lists, const Tile& tile, int64_t vector) {
  constexpr int kRows = kAccumulators / 4;
  int64_t row = 0;
  for (; row + kRows <= tile.rows; row += kRows) AccumulateChannelsOfKernels<kRows, kVectors>(lists, tile, row, vector);
  for (; row < tile.rows; ++row) AccumulateChannelsOfKernels<1, kVectors>(lists, tile, row, vector);
}

void AccumulatePatterns(const KernelLists& lists, const Tile& tile) {
  int64_t vector = 0;
  for (; vector + 4 <= tile.vectors; vector += 4) AccumulateColumnOfKernels<4>(lists, tile, vector);
  if (vector + 2 <= tile.vectors) AccumulateColumnOfKernels<2>(lists, tile, vector), vector += 2;
  if (vector < tile.vectors) AccumulateColumnOfKernels<1>(lists, tile, vector);
  if (tile.past_caches) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
