// Dot products of one block of dy with x at the shifts of kernels of a pattern. No include guard on purpose.
//
// A register tile of dy stays in registers while every vector of x is loaded once for all of a kernel's taps that meet it:
// of a whole kernel 36 loads for the 144 multiply-adds of a tile of 4 by 4.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Adds a row of x times the rows of dy that it meets to the sums of the taps: of x[r + i, v + j] * dy[r, v] to tap (i, j)'s.
template <int kRows, int kVectors, int kKept>
HWY_INLINE void DotInputRow(int input_row, const float* HWY_RESTRICT x, const Vector* dy, Vector* sums) {
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  constexpr int kSide = static_cast<int>(kKernel);
#pragma GCC unroll 6
  for (int column = 0; column < kVectors + kSide - 1; ++column) {
    const Vector shared = hn::LoadU(d, x + column * kLanes);
#pragma GCC unroll 9
    for (int tap = 0; tap < kSide * kSide; ++tap) {
      const int row = input_row - tap / kSide, v = column - tap % kSide;
      if (row < 0 || row >= kRows || v < 0 || v >= kVectors || (kKept >> tap & 1) == 0) continue;
      Vector& sum = sums[TapsBelow(kKept, tap)];
      sum = hn::MulAdd(shared, dy[row * kVectors + v], sum);
    }
  }
}

// to[i] += the sum of the lanes of sums[i].
template <int kCount>
HWY_INLINE void AddTaps(const Vector* HWY_RESTRICT sums, float* HWY_RESTRICT to) {
  constexpr int kFirst = kCount < kDotPlaces ? kCount : kDotPlaces;
  HWY_ALIGN float each[kDotPlaces];
  SumLanes<kFirst>(sums, each);
#pragma GCC unroll 8
  for (int i = 0; i < kFirst; ++i) to[i] += each[i];
#pragma GCC unroll 1
  for (int i = kFirst; i < kCount; ++i) to[i] += hn::GetLane(hn::SumOfLanes(Floats(), sums[i]));
}

// The places from the first on that have its pattern. Returns the next one.
template <int kRows, int kVectors, int kPattern>
HWY_INLINE const KernelPlace* DotRun(const KernelPlace* HWY_RESTRICT place, const KernelPlace* HWY_RESTRICT end,
                                     const float* HWY_RESTRICT x, int64_t x_row, const Vector* dy,
                                     float* HWY_RESTRICT sums) {
  constexpr int kInputRows = kRows + static_cast<int>(kKernel) - 1, kCount = TapsOf(kPattern);
  do {
    const float* at = x + place->offset;
    Vector partial[kCount];
#pragma GCC unroll 9
    for (Vector& sum : partial) sum = hn::Zero(Floats());
#pragma GCC unroll 6
    for (int i = 0; i < kInputRows; ++i) {
      DotInputRow<kRows, kVectors, kPatternTaps[kPattern]>(i, at + i * x_row, dy, partial);
    }
    AddTaps<kCount>(partial, sums + place->index);
  } while (++place != end && place->pattern == kPattern);
  return place;
}

template <int kRows, int kVectors>
HWY_INLINE void DotKernels(const KernelPlace* HWY_RESTRICT place, const KernelPlace* HWY_RESTRICT end,
                           const float* HWY_RESTRICT x, int64_t x_row, const Vector* dy, float* HWY_RESTRICT sums) {
  while (place != end) {
    switch (place->pattern) {
      case 0: place = DotRun<kRows, kVectors, 0>(place, end, x, x_row, dy, sums); break;
      case 1: place = DotRun<kRows, kVectors, 1>(place, end, x, x_row, dy, sums); break;
      case 2: place = DotRun<kRows, kVectors, 2>(place, end, x, x_row, dy, sums); break;
      case 3: place = DotRun<kRows, kVectors, 3>(place, end, x, x_row, dy, sums); break;
      case 4: place = DotRun<kRows, kVectors, 4>(place, end, x, x_row, dy, sums); break;
      case 5: place = DotRun<kRows, kVectors, 5>(place, end, x, x_row, dy, sums); break;
      case 6: place = DotRun<kRows, kVectors, 6>(place, end, x, x_row, dy, sums); break;
      case 7: place = DotRun<kRows, kVectors, 7>(place, end, x, x_row, dy, sums); break;
      default: place = DotRun<kRows, kVectors, 8>(place, end, x, x_row, dy, sums); break;
    }
  }
}

// All kernels of all channels at one tile.
template <int kRows, int kVectors>
void DotTileOfKernels(const KernelPlaceLists& lists, const GradientBlock& tile, int64_t row, int64_t vector, float* sums) {
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  const float* x = tile.x + row * tile.x_row + vector * kLanes;
  const float* dy = tile.dy + (row * tile.vectors + vector) * kLanes;
  const int32_t* starts = lists.starts;
  for (int64_t channel = 0; channel < lists.channels; ++channel, starts += lists.stride, dy += tile.dy_channel) {
    Vector gradient[kRows * kVectors];
#pragma GCC unroll 16
    for (int i = 0; i < kRows * kVectors; ++i) {
      gradient[i] = hn::LoadU(d, dy + (i / kVectors * tile.vectors + i % kVectors) * kLanes);
    }
    DotKernels<kRows, kVectors>(lists.entries + starts[0], lists.entries + starts[1], x, tile.x_row, gradient, sums);
  }
}

template <int kVectors>
void DotColumnOfKernels(const KernelPlaceLists& lists, const GradientBlock& tile, int64_t vector, float* sums) {
  constexpr int kRows = kAccumulators / 4;
  int64_t row = 0;
  for (; row + kRows <= tile.rows; row += kRows) DotTileOfKernels<kRows, kVectors>(lists, tile, row, vector, sums);
  for (; row < tile.rows; ++row) DotTileOfKernels<1, kVectors>(lists, tile, row, vector, sums);
}

void DotPatterns(const KernelPlaceLists& lists, const GradientBlock& tile, float* sums) {
  int64_t vector = 0;
  for (; vector + 4 <= tile.vectors; vector += 4) DotColumnOfKernels<4>(lists, tile, vector, sums);
  if (vector + 2 <= tile.vectors) DotColumnOfKernels<2>(lists, tile, vector, sums), vector += 2;
  if (vector < tile.vectors) DotColumnOfKernels<1>(lists, tile, vector, sums);
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
