// Sums of four channels' values times their rows, added where the entries say. No include guard on purpose.
//
// The input gradient of a block reads four channels of dy at the same shifted pixels and adds to one channel of dx. What
// its entries share is dy: a tile of it stays in registers while dx is read and written, once for four multiply-adds.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kPackedTile = kBlockRows * kBlockVectors * HWY_LANES(float);

HWY_INLINE int64_t PackedFloats(int64_t channels) { return channels * kPackedTile + 16; }

int64_t PackedRows(int64_t channels, int64_t rows, int64_t vectors) {
  return (rows + kBlockRows - 1) / kBlockRows * ((vectors + kBlockVectors - 1) / kBlockVectors) * PackedFloats(channels);
}

void PackRows(const Rows& from, float* HWY_RESTRICT to) {
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  const int64_t floats = PackedFloats(from.channels);
  const int64_t tiles = (from.pixels * from.vectors + kBlockVectors - 1) / kBlockVectors;
  for (int64_t channel = 0; channel < from.channels; ++channel) {
    for (int64_t row = 0; row < from.rows; ++row) {
      const float* at = from.at + channel * from.channel + row * from.row;
      float* tile = to + row / kBlockRows * tiles * floats + channel * kPackedTile;
      tile += row % kBlockRows * kBlockVectors * kLanes;
      int64_t vector = 0;
      for (int64_t pixel = 0; pixel < from.pixels; ++pixel, at += from.pixel) {
        // The same row some channels on: planes lie too far apart for the processor to see a pattern.
        __builtin_prefetch(at + 3 * from.channel, 0, 2);
        for (int64_t v = 0; v < from.vectors; ++v, ++vector) {
          float* place = tile + vector / kBlockVectors * floats + vector % kBlockVectors * kLanes;
          hn::StoreU(hn::LoadU(d, at + v * kLanes), d, place);
        }
      }
    }
  }
}

template <int kChannels, int kRows, int kVectors>
HWY_INLINE void ScatterBlock(const BlockLists& lists, int64_t block, const float* HWY_RESTRICT from,
                             float* HWY_RESTRICT to, int64_t to_row) {
  const BlockEntry* HWY_RESTRICT entry = lists.entries + lists.starts[block * lists.stride];
  const BlockEntry* HWY_RESTRICT end = lists.entries + lists.starts[block * lists.stride + 1];
  if (entry == end) return;
  from += block * kBlock * kPackedTile;
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  constexpr int kTile = kRows * kVectors;
  Vector held[kChannels * kTile];
#pragma GCC unroll 16
  for (int i = 0; i < kChannels * kTile; ++i) {
    const int channel = i / kTile, row = i % kTile / kVectors, v = i % kVectors;
    held[i] = hn::LoadU(d, from + channel * kPackedTile + (row * kBlockVectors + v) * kLanes);
  }
  for (; entry != end; ++entry) {
    float* at = to + entry->offset;
    Vector values[kChannels];
#pragma GCC unroll 4
    for (int channel = 0; channel < kChannels; ++channel) values[channel] = hn::Set(d, entry->values[channel]);
#pragma GCC unroll 4
    for (int i = 0; i < kTile; ++i) {
      float* place = at + i / kVectors * to_row + i % kVectors * kLanes;
      Vector sum = hn::LoadU(d, place);
#pragma GCC unroll 4
      for (int channel = 0; channel < kChannels; ++channel) {
        sum = hn::MulAdd(values[channel], held[channel * kTile + i], sum);
      }
      hn::StoreU(sum, d, place);
    }
  }
}

// All blocks at one tile: its part of dx stays near while they stream by.
template <int kRows, int kVectors>
void ScatterTileOfBlocks(const BlockLists& lists, const float* from, float* to, int64_t to_row) {
  const int64_t whole = lists.channels / kBlock;
  for (int64_t block = 0; block < whole; ++block) {
    ScatterBlock<kBlock, kRows, kVectors>(lists, block, from, to, to_row);
  }
  switch (lists.channels % kBlock) {
    case 3: return ScatterBlock<3, kRows, kVectors>(lists, whole, from, to, to_row);
    case 2: return ScatterBlock<2, kRows, kVectors>(lists, whole, from, to, to_row);
    case 1: return ScatterBlock<1, kRows, kVectors>(lists, whole, from, to, to_row);
  }
}

template <int kRows>
void ScatterRows(const BlockLists& lists, const float* from, int64_t vectors, float* to, int64_t to_row) {
  int64_t vector = 0;
  for (; vector + kBlockVectors <= vectors; vector += kBlockVectors, from += PackedFloats(lists.channels)) {
    ScatterTileOfBlocks<kRows, kBlockVectors>(lists, from, to + vector * HWY_LANES(float), to_row);
  }
  if (vector < vectors) ScatterTileOfBlocks<kRows, 1>(lists, from, to + vector * HWY_LANES(float), to_row);
}

void ScatterBlocks(const BlockLists& lists, const float* from, int64_t rows, int64_t vectors, float* to, int64_t to_row) {
  const int64_t tiles = (vectors + kBlockVectors - 1) / kBlockVectors * PackedFloats(lists.channels);
  int64_t row = 0;
  for (; row + kBlockRows <= rows; row += kBlockRows, from += tiles) {
    ScatterRows<kBlockRows>(lists, from, vectors, to + row * to_row, to_row);
  }
  for (; row < rows; ++row, from += tiles) ScatterRows<1>(lists, from, vectors, to + row * to_row, to_row);
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
