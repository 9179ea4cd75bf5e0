// The sums of accumulate-inl.h for blocks of four output channels that keep the same places. No include guard on purpose.
//
// A load of x serves the four channels of a block: a tile of 16 registers takes 4 loads and 4 values for 16 multiply-adds,
// where single weights take 16 loads. Caches further away than the first then keep up with the multiply-adds.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows and vectors of a block's tile.
constexpr int kBlockRows = kAccumulators / (2 * static_cast<int>(kBlock));
constexpr int kBlockVectors = 2;

// A register tile of kRows rows of kVectors vectors of the kChannels channels of a block.
template <int kChannels, int kRows, int kVectors>
HWY_INLINE void AccumulateBlock(const BlockLists& lists, int64_t block, const float* HWY_RESTRICT x, const Tile& tile,
                                Sums<const float> from, Sums<float> to, Sums<uint16_t> half) {
  const BlockEntry* HWY_RESTRICT entry = lists.entries + lists.starts[block * lists.stride];
  const BlockEntry* HWY_RESTRICT end = lists.entries + lists.starts[block * lists.stride + 1];
  const float* bias = tile.bias == nullptr ? nullptr : tile.bias + block * kBlock;
  if (from.at != nullptr) from.at += block * kBlock * from.channel;
  if (to.at != nullptr) to.at += block * kBlock * to.channel;
  if (half.at != nullptr) half.at += block * kBlock * half.channel;
  const int64_t x_row = tile.x_row;
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  constexpr int kTile = kRows * kVectors;
  Vector sums[kChannels * kTile];
#pragma GCC unroll 16
  for (int i = 0; i < kChannels * kTile; ++i) {
    const int channel = i / kTile, row = i % kTile / kVectors, v = i % kVectors;
    sums[i] = from.at == nullptr ? hn::Set(d, bias == nullptr ? 0.0f : bias[channel])
                                 : hn::LoadU(d, from.at + channel * from.channel + row * from.row + v * from.vector);
  }
  for (; entry != end; ++entry) {
    const float* at = x + entry->offset;
    Vector shared[kTile];
#pragma GCC unroll 4
    for (int i = 0; i < kTile; ++i) shared[i] = hn::LoadU(d, at + i / kVectors * x_row + i % kVectors * kLanes);
#pragma GCC unroll 4
    for (int channel = 0; channel < kChannels; ++channel) {
      const Vector value = hn::Set(d, entry->values[channel]);
#pragma GCC unroll 4
      for (int i = 0; i < kTile; ++i) {
        Vector& sum = sums[channel * kTile + i];
        sum = hn::MulAdd(value, shared[i], sum);
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kChannels * kTile; ++i) {
    const int channel = i / kTile, row = i % kTile / kVectors, v = i % kVectors;
    if (to.at != nullptr) Store(sums[i], d, to.at + channel * to.channel + row * to.row + v * to.vector, tile.past_caches);
    if (half.at != nullptr) StoreHalf(sums[i], half.at + channel * half.channel + row * half.row + v * half.vector);
  }
}

// All blocks at one tile.
template <int kRows, int kVectors>
void AccumulateTileOfBlocks(const BlockLists& lists, const Tile& tile, int64_t row, int64_t vector) {
  const float* x = tile.x + row * tile.x_row + vector * HWY_LANES(float);
  const Sums<const float> from = At(tile.from, row, vector);
  const Sums<float> to = At(tile.to, row, vector);
  const Sums<uint16_t> half = At(tile.half, row, vector);
  const int64_t whole = lists.channels / kBlock;
  for (int64_t block = 0; block < whole; ++block) {
    AccumulateBlock<kBlock, kRows, kVectors>(lists, block, x, tile, from, to, half);
  }
  switch (lists.channels % kBlock) {
    case 3: return AccumulateBlock<3, kRows, kVectors>(lists, whole, x, tile, from, to, half);
    case 2: return AccumulateBlock<2, kRows, kVectors>(lists, whole, x, tile, from, to, half);
    case 1: return AccumulateBlock<1, kRows, kVectors>(lists, whole, x, tile, from, to, half);
  }
}

template <int kVectors>
void AccumulateColumnOfBlocks(const BlockLists& lists, const Tile& tile, int64_t vector) {
  int64_t row = 0;
  for (; row + kBlockRows <= tile.rows; row += kBlockRows) {
    AccumulateTileOfBlocks<kBlockRows, kVectors>(lists, tile, row, vector);
  }
  for (; row < tile.rows; ++row) AccumulateTileOfBlocks<1, kVectors>(lists, tile, row, vector);
}

void AccumulateBlocks(const BlockLists& lists, const Tile& tile) {
  int64_t vector = 0;
  for (; vector + kBlockVectors <= tile.vectors; vector += kBlockVectors) {
    AccumulateColumnOfBlocks<kBlockVectors>(lists, tile, vector);
  }
  for (; vector < tile.vectors; ++vector) AccumulateColumnOfBlocks<1>(lists, tile, vector);
  if (tile.past_caches) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
