// Dot products of one block of dy with x at the nine shifts of whole kernels. No include guard on purpose.
//
// A register tile of dy stays in registers while every vector of x is loaded once for all of a kernel's taps that meet it:
// 36 loads for the 144 multiply-adds of a tile of 4 by 4.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int kTapsOfKernel = static_cast<int>(kKernel * kKernel);

// Adds a row of x times the rows of dy that it meets to the sums of the taps: of x[r + i, v + j] * dy[r, v] to tap (i, j)'s.
template <int kRows, int kVectors>
HWY_INLINE void DotInputRow(int input_row, const float* HWY_RESTRICT x, const Vector* dy, Vector* sums) {
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  constexpr int kSide = static_cast<int>(kKernel);
#pragma GCC unroll 6
  for (int column = 0; column < kVectors + kSide - 1; ++column) {
    const Vector shared = hn::LoadU(d, x + column * kLanes);
#pragma GCC unroll 3
    for (int i = 0; i < kSide; ++i) {
      const int row = input_row - i;
      if (row < 0 || row >= kRows) continue;
#pragma GCC unroll 3
      for (int j = 0; j < kSide; ++j) {
        const int v = column - j;
        if (v < 0 || v >= kVectors) continue;
        sums[i * kSide + j] = hn::MulAdd(shared, dy[row * kVectors + v], sums[i * kSide + j]);
      }
    }
  }
}

// to[i] += the sum of the lanes of sums[i], for the taps of a kernel.
HWY_INLINE void AddTaps(const Vector* HWY_RESTRICT sums, float* HWY_RESTRICT to) {
  const hn::CappedTag<float, kDotPlaces> d;
  HWY_ALIGN float each[kDotPlaces];
  SumLanes<kDotPlaces>(sums, each);
#pragma GCC unroll 8
  for (size_t i = 0; i < kDotPlaces; i += hn::MaxLanes(d)) {
    hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::LoadU(d, each + i)), d, to + i);
  }
  static_assert(kTapsOfKernel == kDotPlaces + 1, "one tap is left");
  to[kDotPlaces] += hn::GetLane(hn::SumOfLanes(Floats(), sums[kDotPlaces]));
}

// All kernels of all channels at one tile.
template <int kRows, int kVectors>
void DotTileOfKernels(const PlaceLists& lists, const GradientTile& tile, int64_t row, int64_t vector, float* HWY_RESTRICT sums) {
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  constexpr int kInputRows = kRows + static_cast<int>(kKernel) - 1;
  const float* x = tile.x + row * tile.x_row + vector * kLanes;
  const float* dy = tile.dy + (row * tile.vectors + vector) * kLanes;
  const int32_t* starts = lists.starts;
  for (int64_t channel = 0; channel < lists.channels; ++channel, starts += lists.stride, dy += tile.dy_channel) {
    Vector gradient[kRows * kVectors];
#pragma GCC unroll 16
    for (int i = 0; i < kRows * kVectors; ++i) {
      gradient[i] = hn::LoadU(d, dy + (i / kVectors * tile.vectors + i % kVectors) * kLanes);
    }
    for (const Place *place = lists.places + starts[0], *end = lists.places + starts[1]; place != end; ++place) {
      const float* at = x + place->offset;
      Vector partial[kTapsOfKernel];
#pragma GCC unroll 9
      for (Vector& sum : partial) sum = hn::Zero(d);
#pragma GCC unroll 6
      for (int i = 0; i < kInputRows; ++i) DotInputRow<kRows, kVectors>(i, at + i * tile.x_row, gradient, partial);
      AddTaps(partial, sums + place->index);
    }
  }
}

template <int kVectors>
void DotColumnOfKernels(const PlaceLists& lists, const GradientTile& tile, int64_t vector, float* sums) {
  constexpr int kRows = kAccumulators / 4;
  int64_t row = 0;
  for (; row + kRows <= tile.rows; row += kRows) DotTileOfKernels<kRows, kVectors>(lists, tile, row, vector, sums);
  for (; row < tile.rows; ++row) DotTileOfKernels<1, kVectors>(lists, tile, row, vector, sums);
}

void DotWholeKernels(const PlaceLists& lists, const GradientTile& tile, float* sums) {
  int64_t vector = 0;
  for (; vector + 4 <= tile.vectors; vector += 4) DotColumnOfKernels<4>(lists, tile, vector, sums);
  if (vector + 2 <= tile.vectors) DotColumnOfKernels<2>(lists, tile, vector, sums), vector += 2;
  if (vector < tile.vectors) DotColumnOfKernels<1>(lists, tile, vector, sums);
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
