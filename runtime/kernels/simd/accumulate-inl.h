// to[c] = from[c] + sum of value * shifted x, with a block of sums in registers. No include guard on purpose: once a target.
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

template <int kRows, int kVectors>
HWY_INLINE void ReadSums(const Sums<const float>& from, float start, Vector* sums) {
  const Floats d;
#pragma GCC unroll 16
  for (int i = 0; i < kRows * kVectors; ++i) {
    sums[i] = from.at == nullptr ? hn::Set(d, start)
                                 : hn::LoadU(d, from.at + (i / kVectors) * from.row + (i % kVectors) * from.vector);
  }
}

template <int kRows, int kVectors>
HWY_INLINE void WriteSums(const Vector* sums, const Sums<float>& to, const Sums<uint16_t>& half, bool past_caches) {
  const Floats d;
  if (to.at != nullptr) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows * kVectors; ++i) {
      Store(sums[i], d, to.at + (i / kVectors) * to.row + (i % kVectors) * to.vector, past_caches);
    }
  }
  if (half.at != nullptr) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows * kVectors; ++i) {
      StoreHalf(sums[i], half.at + (i / kVectors) * half.row + (i % kVectors) * half.vector);
    }
  }
}

// A register tile of kRows rows of kVectors vectors.
template <int kRows, int kVectors>
HWY_INLINE void AccumulateTile(const Entry* HWY_RESTRICT entry, const Entry* HWY_RESTRICT end,
                               const float* HWY_RESTRICT x, int64_t x_row, float start, const Sums<const float>& from,
                               const Sums<float>& to, const Sums<uint16_t>& half, bool past_caches) {
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  Vector sums[kRows * kVectors];
  ReadSums<kRows, kVectors>(from, start, sums);
  for (; entry != end; ++entry) {
    const Vector value = hn::Set(d, entry->value);
    // One pointer that moves from row to row: sixteen precomputed distances would not fit the scalar registers.
    const float* at = Held(x + entry->offset);
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row, at = Held(at + x_row)) {
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
        Vector& sum = sums[row * kVectors + v];
        sum = hn::MulAdd(value, hn::LoadU(d, at + v * kLanes), sum);
      }
    }
  }
  WriteSums<kRows, kVectors>(sums, to, half, past_caches);
}

template <class Float>
Sums<Float> At(const Sums<Float>& sums, int64_t row, int64_t vector) {
  Sums<Float> moved = sums;
  if (moved.at != nullptr) moved.at += row * sums.row + vector * sums.vector;
  return moved;
}

template <class Float>
void Advance(Sums<Float>& sums) {
  if (sums.at != nullptr) sums.at += sums.channel;
}

// Fetches what a tile starts from some channels on.
template <int kRows, int kVectors>
HWY_INLINE void FetchTile(const Sums<const float>& from, int64_t channels) {
  const float* at = from.at + channels * from.channel;
#pragma GCC unroll 16
  for (int i = 0; i < kRows * kVectors; ++i) {
    __builtin_prefetch(at + (i / kVectors) * from.row + (i % kVectors) * from.vector, 0, 3);
  }
}

// All channels at one tile: its input stays in L1 while the lists stream by. kFar: the sums start from a tensor.
template <int kRows, int kVectors, bool kFar>
void AccumulateChannelsFrom(const EntryLists& lists, const Tile& tile, int64_t row, int64_t vector) {
  const float* x = tile.x + row * tile.x_row + vector * HWY_LANES(float);
  Sums<const float> from = At(tile.from, row, vector);
  Sums<float> to = At(tile.to, row, vector);
  Sums<uint16_t> half = At(tile.half, row, vector);
  const int32_t* starts = lists.starts;
  for (int64_t channel = 0; channel < lists.channels; ++channel) {
    // Its planes lie too far apart for the processor to see a pattern.
    constexpr int64_t kAhead = 2;
    if (kFar && channel + kAhead < lists.channels) FetchTile<kRows, kVectors>(from, kAhead);
    const float start = tile.bias == nullptr ? 0.0f : tile.bias[channel];
    AccumulateTile<kRows, kVectors>(lists.entries + starts[0], lists.entries + starts[1], x, tile.x_row, start, from, to,
                                    half, tile.past_caches);
    Advance(from);
    Advance(to);
    Advance(half);
    starts += lists.stride;
  }
}

template <int kRows, int kVectors>
void AccumulateChannels(const EntryLists& lists, const Tile& tile, int64_t row, int64_t vector) {
  if (tile.from_far) return AccumulateChannelsFrom<kRows, kVectors, true>(lists, tile, row, vector);
  AccumulateChannelsFrom<kRows, kVectors, false>(lists, tile, row, vector);
}

// One column of tiles, kVectors wide: as many rows at a time as there are accumulators for, but at most four.
template <int kVectors>
void AccumulateColumn(const EntryLists& lists, const Tile& tile, int64_t vector) {
  constexpr int kRows = kAccumulators / kVectors < 4 ? kAccumulators / kVectors : 4;
  constexpr int kLow = kRows > 2 ? 2 : 1;
  int64_t row = 0;
  if (kRows <= tile.tile_rows) {
    for (; row + kRows <= tile.rows; row += kRows) AccumulateChannels<kRows, kVectors>(lists, tile, row, vector);
  }
  for (; row + kLow <= tile.rows; row += kLow) AccumulateChannels<kLow, kVectors>(lists, tile, row, vector);
  for (; row < tile.rows; ++row) AccumulateChannels<1, kVectors>(lists, tile, row, vector);
}

void Accumulate(const EntryLists& lists, const Tile& tile) {
  int64_t vector = 0;
  // A low block has room for wider tiles, a high one for square ones, which share more of their input.
  if (tile.rows < 4) {
    for (; vector + 8 <= tile.vectors; vector += 8) AccumulateColumn<8>(lists, tile, vector);
  }
  for (; vector + 4 <= tile.vectors; vector += 4) AccumulateColumn<4>(lists, tile, vector);
  if (vector + 2 <= tile.vectors) AccumulateColumn<2>(lists, tile, vector), vector += 2;
  if (vector < tile.vectors) AccumulateColumn<1>(lists, tile, vector);
  if (tile.past_caches) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
