// Sums across the lanes of several vectors at once. No include guard on purpose: once a target.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR

template <int kCount>
HWY_INLINE void AddSumsOfLanes(const Vector* vectors, float* HWY_RESTRICT to) {
  for (int i = 0; i < kCount; ++i) to[i] += hn::GetLane(vectors[i]);
}

#else

// Neighbouring lanes of a, then of b, two by two.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V PairSums(D d, V a, V b) {
  return hn::Add(hn::ConcatEven(d, b, a), hn::ConcatOdd(d, b, a));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE auto LowestFour(D d, V v) {
  if constexpr (MaxLanes(D()) == 4) {
    return v;
  } else {
    return LowestFour(hn::Half<D>(), hn::LowerHalf(v));
  }
}

// Where there are at least 4 lanes, the sums of four vectors, in lanes 0 to 3.
template <class D, class V = hn::Vec<D>>
HWY_INLINE auto FourSums(D d, V a, V b, V c, V e) {
  V sums = PairSums(d, PairSums(d, a, b), PairSums(d, c, e));
  for (int64_t lanes = HWY_LANES(float); lanes > 4; lanes /= 2) sums = PairSums(d, sums, sums);
  return LowestFour(d, sums);
}

// to[i] += the sum of the lanes of vector i.
template <int kCount>
HWY_INLINE void AddSumsOfLanes(const Vector* vectors, float* HWY_RESTRICT to) {
  const Floats d;
  const hn::FixedTag<float, 4> four;
  constexpr int kWhole = kCount / 4 * 4;
#pragma GCC unroll 4
  for (int i = 0; i < kWhole; i += 4) {
    hn::StoreU(hn::Add(hn::LoadU(four, to + i), FourSums(d, vectors[i], vectors[i + 1], vectors[i + 2], vectors[i + 3])), four, to + i);
  }
#pragma GCC unroll 4
  for (int i = kWhole; i < kCount; ++i) to[i] += hn::GetLane(hn::SumOfLanes(d, vectors[i]));
}

#endif

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
