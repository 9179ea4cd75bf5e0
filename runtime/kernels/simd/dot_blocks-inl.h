// Dot products of a block's four channels of dy with shifted blocks of x. No include guard on purpose.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Places that are summed at once: with four channels they fill the registers.
constexpr int kBlockPlaces = kAccumulators == 16 ? 6 : 2;

template <int kPlaces, int kChannels>
HWY_INLINE void DotBlockPlaces(const Place* HWY_RESTRICT places, const float* HWY_RESTRICT x, int64_t x_row,
                               const float* HWY_RESTRICT dy, int64_t dy_channel, int64_t rows, int64_t vectors,
                               float* const* sums) {
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  Vector partial[kPlaces * kChannels];
#pragma GCC unroll 24
  for (int i = 0; i < kPlaces * kChannels; ++i) partial[i] = hn::Zero(d);
  const float* from[kPlaces];
#pragma GCC unroll 6
  for (int p = 0; p < kPlaces; ++p) from[p] = x + places[p].offset;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < vectors * kLanes; i += kLanes, dy += kLanes) {
      Vector gradient[kChannels];
#pragma GCC unroll 4
      for (int channel = 0; channel < kChannels; ++channel) gradient[channel] = hn::LoadU(d, dy + channel * dy_channel);
#pragma GCC unroll 6
      for (int p = 0; p < kPlaces; ++p) {
        const Vector shared = hn::LoadU(d, from[p] + i);
#pragma GCC unroll 4
        for (int channel = 0; channel < kChannels; ++channel) {
          Vector& sum = partial[p * kChannels + channel];
          sum = hn::MulAdd(gradient[channel], shared, sum);
        }
      }
    }
#pragma GCC unroll 6
    for (int p = 0; p < kPlaces; ++p) from[p] += x_row;
  }
#pragma GCC unroll 6
  for (int p = 0; p < kPlaces; ++p) {
#pragma GCC unroll 4
    for (int channel = 0; channel < kChannels; ++channel) {
      sums[channel][places[p].index] += hn::GetLane(hn::SumOfLanes(d, partial[p * kChannels + channel]));
    }
  }
}

template <int kChannels>
void DotBlock(const Place* places, int64_t count, const float* x, int64_t x_row, const float* dy, int64_t dy_channel,
              int64_t rows, int64_t vectors, float* const* sums) {
  for (; count >= kBlockPlaces; count -= kBlockPlaces, places += kBlockPlaces) {
    DotBlockPlaces<kBlockPlaces, kChannels>(places, x, x_row, dy, dy_channel, rows, vectors, sums);
  }
  switch (count) {
    case 5: return DotBlockPlaces<5, kChannels>(places, x, x_row, dy, dy_channel, rows, vectors, sums);
    case 4: return DotBlockPlaces<4, kChannels>(places, x, x_row, dy, dy_channel, rows, vectors, sums);
    case 3: return DotBlockPlaces<3, kChannels>(places, x, x_row, dy, dy_channel, rows, vectors, sums);
    case 2: return DotBlockPlaces<2, kChannels>(places, x, x_row, dy, dy_channel, rows, vectors, sums);
    case 1: return DotBlockPlaces<1, kChannels>(places, x, x_row, dy, dy_channel, rows, vectors, sums);
  }
}

void DotBlocks(const Place* places, int64_t count, const float* x, int64_t x_row, const float* dy, int64_t dy_channel,
               int64_t channels, int64_t rows, int64_t vectors, float* const* sums) {
  switch (channels) {
    case 4: return DotBlock<4>(places, count, x, x_row, dy, dy_channel, rows, vectors, sums);
    case 3: return DotBlock<3>(places, count, x, x_row, dy, dy_channel, rows, vectors, sums);
    case 2: return DotBlock<2>(places, count, x, x_row, dy, dy_channel, rows, vectors, sums);
    case 1: return DotBlock<1>(places, count, x, x_row, dy, dy_channel, rows, vectors, sums);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
