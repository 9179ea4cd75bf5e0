// Dot products of one block of dy with shifted blocks of x, several at once. No include guard on purpose.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// kPlaces places share every vector of dy; as many independent sums hide the latency of the multiply-add.
#if HWY_ARCH_ARM_A64

// Each place has a pointer that a pair of loads moves on, which takes no instruction of its own; more vectors at once would
// not stay in registers.
constexpr int kDotVectors = 2;

template <int kPlaces, int kVectors>
HWY_INLINE void DotRun(const float** HWY_RESTRICT x, const float* HWY_RESTRICT dy, Vector* sums) {
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  Vector gradient[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) gradient[v] = hn::LoadU(d, dy + v * kLanes);
#pragma GCC unroll 8
  for (int i = 0; i < kPlaces; ++i) {
    x[i] = Held(x[i]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[i] = hn::MulAdd(gradient[v], hn::LoadU(d, x[i] + v * kLanes), sums[i]);
    x[i] += kVectors * kLanes;
  }
}

template <int kPlaces>
HWY_INLINE void DotPlaces(const Place* HWY_RESTRICT places, const float* HWY_RESTRICT x, int64_t x_row,
                          const float* HWY_RESTRICT dy, int64_t rows, int64_t vectors, float* HWY_RESTRICT sums) {
  const Floats d;
  constexpr int64_t kLanes = HWY_LANES(float);
  Vector partial[kPlaces];
  const float* from[kPlaces];
#pragma GCC unroll 8
  for (int i = 0; i < kPlaces; ++i) partial[i] = hn::Zero(d), from[i] = x + places[i].offset;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t v = 0;
    for (; v + kDotVectors <= vectors; v += kDotVectors, dy += kDotVectors * kLanes) {
      DotRun<kPlaces, kDotVectors>(from, dy, partial);
    }
    for (; v < vectors; ++v, dy += kLanes) DotRun<kPlaces, 1>(from, dy, partial);
#pragma GCC unroll 8
    for (int i = 0; i < kPlaces; ++i) from[i] += x_row - vectors * kLanes;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kPlaces; ++i) sums[places[i].index] += hn::GetLane(hn::SumOfLanes(d, partial[i]));
}

#else

template <int kPlaces, int kVectors>
HWY_INLINE void DotRun(const Place* HWY_RESTRICT places, const float* HWY_RESTRICT x, const float* HWY_RESTRICT dy,
                       hn::Vec<hn::ScalableTag<float>>* sums) {
  const hn::ScalableTag<float> d;
  constexpr int64_t kLanes = HWY_LANES(float);
  hn::Vec<decltype(d)> gradient[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) gradient[v] = hn::LoadU(d, dy + v * kLanes);
#pragma GCC unroll 8
  for (int i = 0; i < kPlaces; ++i) {
    const float* from = x + places[i].offset;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[i] = hn::MulAdd(gradient[v], hn::LoadU(d, from + v * kLanes), sums[i]);
  }
}

template <int kPlaces>
HWY_INLINE void DotPlaces(const Place* HWY_RESTRICT places, const float* HWY_RESTRICT x, int64_t x_row,
                          const float* HWY_RESTRICT dy, int64_t rows, int64_t vectors, float* HWY_RESTRICT sums) {
  const hn::ScalableTag<float> d;
  constexpr int64_t kLanes = HWY_LANES(float);
  hn::Vec<decltype(d)> partial[kPlaces];
#pragma GCC unroll 8
  for (int i = 0; i < kPlaces; ++i) partial[i] = hn::Zero(d);
  for (int64_t row = 0; row < rows; ++row, x += x_row, dy += vectors * kLanes) {
    int64_t v = 0;
    for (; v + 4 <= vectors; v += 4) DotRun<kPlaces, 4>(places, x + v * kLanes, dy + v * kLanes, partial);
    for (; v < vectors; ++v) DotRun<kPlaces, 1>(places, x + v * kLanes, dy + v * kLanes, partial);
  }
#pragma GCC unroll 8
  for (int i = 0; i < kPlaces; ++i) sums[places[i].index] += hn::GetLane(hn::SumOfLanes(d, partial[i]));
}

#endif

void Dot(const Place* places, int64_t count, const float* x, int64_t x_row, const float* dy, int64_t rows,
         int64_t vectors, float* sums) {
  for (; count >= 8; count -= 8, places += 8) DotPlaces<8>(places, x, x_row, dy, rows, vectors, sums);
  switch (count) {
    case 7: return DotPlaces<7>(places, x, x_row, dy, rows, vectors, sums);
    case 6: return DotPlaces<6>(places, x, x_row, dy, rows, vectors, sums);
    case 5: return DotPlaces<5>(places, x, x_row, dy, rows, vectors, sums);
    case 4: return DotPlaces<4>(places, x, x_row, dy, rows, vectors, sums);
    case 3: return DotPlaces<3>(places, x, x_row, dy, rows, vectors, sums);
    case 2: return DotPlaces<2>(places, x, x_row, dy, rows, vectors, sums);
    case 1: return DotPlaces<1>(places, x, x_row, dy, rows, vectors, sums);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
