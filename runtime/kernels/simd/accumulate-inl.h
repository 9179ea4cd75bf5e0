// y[c] += sum of value * shifted x, with a block of y in registers. No include guard on purpose: once a target.
//
// The batch is innermost, so one kept weight is one broadcast times one contiguous run. The accumulators of a register
// tile stay in registers over all entries of a channel's list, as in SparseProp (Nikdan et al., ICML 2023), which keeps
// the batch innermost too; here the tile is a piece of an output row, so that a kernel's taps find the same lines in L1.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Floats = hn::ScalableTag<float>;
using Vector = hn::Vec<Floats>;

// AVX-512 and NEON have 32 vector registers, the others 16; two hold the weight and an input.
#if HWY_TARGET == HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kAccumulators = 16;
#else
constexpr int kAccumulators = 8;
#endif

// A register tile of kRows rows of kVectors vectors.
template <int kRows, int kVectors>
HWY_INLINE void AccumulateTile(const Entry* HWY_RESTRICT entry, const Entry* HWY_RESTRICT end,
                               const float* HWY_RESTRICT x, int64_t x_row, float* HWY_RESTRICT y, int64_t y_row) {
  const Floats d;
  const int64_t lanes = hn::Lanes(d);
  Vector sums[kRows * kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows * kVectors; ++i) sums[i] = hn::LoadU(d, y + (i / kVectors) * y_row + (i % kVectors) * lanes);
  for (; entry != end; ++entry) {
    const float* HWY_RESTRICT from = x + entry->offset;
    const Vector value = hn::Set(d, entry->value);
#pragma GCC unroll 16
    for (int i = 0; i < kRows * kVectors; ++i) {
      sums[i] = hn::MulAdd(value, hn::LoadU(d, from + (i / kVectors) * x_row + (i % kVectors) * lanes), sums[i]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows * kVectors; ++i) hn::StoreU(sums[i], d, y + (i / kVectors) * y_row + (i % kVectors) * lanes);
}

// All channels at one tile: its input stays in L1 while the lists stream by.
template <int kRows, int kVectors>
void AccumulateChannels(const EntryLists& lists, const Tile& tile, int64_t row, int64_t vector, int first, int last) {
  const int64_t lanes = hn::Lanes(Floats());
  const int64_t y_row = tile.vectors * lanes;
  const float* x = tile.x + row * tile.x_row + vector * lanes;
  float* y = tile.y + row * y_row + vector * lanes;
  const int32_t* starts = lists.starts;
  for (int64_t channel = 0; channel < lists.channels; ++channel, y += tile.y_channel, starts += lists.stride) {
    const Entry* entry = lists.entries + starts[first];
    const Entry* end = lists.entries + starts[last];
    if (entry == end) continue;
    AccumulateTile<kRows, kVectors>(entry, end, x, tile.x_row, y, y_row);
  }
}

// One column of tiles, kVectors wide: kRows rows at a time, what is left over one by one. With groups of entries a
// kernel row (tile.first), only single rows can leave out the groups that read nothing but padding.
template <int kRows, int kVectors>
void AccumulateColumn(const EntryLists& lists, const Tile& tile, int64_t vector) {
  int64_t row = 0;
  if (tile.first == nullptr) {
    for (; row + kRows <= tile.rows; row += kRows) AccumulateChannels<kRows, kVectors>(lists, tile, row, vector, 0, 1);
    for (; row < tile.rows; ++row) AccumulateChannels<1, kVectors>(lists, tile, row, vector, 0, 1);
    return;
  }
  for (; row < tile.rows; ++row) {
    AccumulateChannels<1, kVectors>(lists, tile, row, vector, tile.first[row], tile.last[row]);
  }
}

void Accumulate(const EntryLists& lists, const Tile& tile) {
  int64_t vector = 0;
  for (; vector + kAccumulators <= tile.vectors; vector += kAccumulators) {
    AccumulateColumn<1, kAccumulators>(lists, tile, vector);
  }
  if constexpr (kAccumulators == 16) {
    if (vector + 8 <= tile.vectors) AccumulateColumn<2, 8>(lists, tile, vector), vector += 8;
  }
  if (vector + 4 <= tile.vectors) AccumulateColumn<kAccumulators / 4, 4>(lists, tile, vector), vector += 4;
  if (vector + 2 <= tile.vectors) AccumulateColumn<4, 2>(lists, tile, vector), vector += 2;
  if (vector < tile.vectors) AccumulateColumn<4, 1>(lists, tile, vector);
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
