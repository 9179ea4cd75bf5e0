// The sums of accumulate-inl.h for weights that keep or drop whole kernels of 3 by 3. No include guard on purpose.
//
// The nine taps of a kernel read the same pixels, shifted: a tile of 4 by 4 takes 36 loads for 144 multiply-adds, where
// single weights take 144. Every sum adds up its products in the order of single weights, so that no bit differs.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Adds a row of the input to the rows of sums that its taps reach. kMirrored: tap (i, j) reads the pixel (2 - i, 2 - j) on.
template <int kRows, int kVectors, bool kMirrored>
HWY_INLINE void AddInputRow(int input_row, const float* HWY_RESTRICT x, const float* HWY_RESTRICT taps, Vector* sums) {
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  constexpr int kTaps = static_cast<int>(kKernel);
  Vector shared[kVectors + kTaps - 1];
#pragma GCC unroll 6
  for (int v = 0; v < kVectors + kTaps - 1; ++v) shared[v] = hn::LoadU(d, x + v * kLanes);
#pragma GCC unroll 3
  for (int i = 0; i < kTaps; ++i) {
    const int row = input_row - (kMirrored ? kTaps - 1 - i : i);
    if (row < 0 || row >= kRows) continue;
#pragma GCC unroll 3
    for (int j = 0; j < kTaps; ++j) {
      const Vector value = hn::Set(d, taps[i * kTaps + j]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) {
        Vector& sum = sums[row * kVectors + v];
        sum = hn::MulAdd(value, shared[v + (kMirrored ? kTaps - 1 - j : j)], sum);
      }
    }
  }
}

template <int kRows, int kVectors, bool kMirrored>
HWY_INLINE void AccumulateKernels(const KernelEntry* HWY_RESTRICT entry, const KernelEntry* HWY_RESTRICT end,
                                  const float* HWY_RESTRICT x, int64_t x_row, Vector* sums) {
  constexpr int kInputRows = kRows + static_cast<int>(kKernel) - 1;
  for (; entry != end; ++entry) {
    const float* at = x + entry->offset;
#pragma GCC unroll 6
    for (int i = 0; i < kInputRows; ++i) {
      const int row = kMirrored ? kInputRows - 1 - i : i;
      AddInputRow<kRows, kVectors, kMirrored>(row, at + row * x_row, entry->values, sums);
    }
  }
}

// All channels at one tile.
template <int kRows, int kVectors>
void AccumulateChannelsOfKernels(const KernelLists& lists, const Tile& tile, int64_t row, int64_t vector) {
  const float* x = tile.x + row * tile.x_row + vector * HWY_LANES(float);
  TileSums at = {At(tile.from, row, vector), At(tile.to, row, vector), At(tile.half, row, vector)};
  const int32_t* starts = lists.starts;
  for (int64_t channel = 0; channel < lists.channels; ++channel, starts += lists.stride) {
    const KernelEntry *entry = lists.entries + starts[0], *end = lists.entries + starts[1];
    Vector sums[kRows * kVectors];
    ReadSums<kRows, kVectors>(at.from, tile.bias == nullptr ? 0.0f : tile.bias[channel], sums);
    if (lists.mirrored) {
      AccumulateKernels<kRows, kVectors, true>(entry, end, x, tile.x_row, sums);
    } else {
      AccumulateKernels<kRows, kVectors, false>(entry, end, x, tile.x_row, sums);
    }
    WriteSums<kRows, kVectors>(sums, at, tile.past_caches);
    at.Advance();
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

void AccumulateWholeKernels(const KernelLists& lists, const Tile& tile) {
  int64_t vector = 0;
  for (; vector + 4 <= tile.vectors; vector += 4) AccumulateColumnOfKernels<4>(lists, tile, vector);
  if (vector + 2 <= tile.vectors) AccumulateColumnOfKernels<2>(lists, tile, vector), vector += 2;
  if (vector < tile.vectors) AccumulateColumnOfKernels<1>(lists, tile, vector);
  if (tile.past_caches) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
