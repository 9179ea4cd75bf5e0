// Dot products of dy with shifted x, tile by tile. No include guard on purpose: once a target.
//
// A register tile of dy stays in registers over all places of an output channel, and what it reads of x stays in L1 over all
// channels: a multiply-add then costs one load, from L1.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A square of pixels, whose taps overlap the most.
constexpr int kDotRows = 4, kDotVectors = 4;
// As many independent sums hide the latency of the multiply-add.
constexpr int kDotPlaces = 8;

// Keeps the compiler from adding further distances to a row's: they would not fit the scalar registers.
HWY_INLINE int64_t Held(int64_t distance) {
  asm("" : "+r"(distance));
  return distance;
}

// A whole register tile of dy, for the places of one channel.
struct WholeTile {
#if HWY_TARGET == HWY_AVX3
  Vector gradient[kDotRows * kDotVectors];

  HWY_INLINE WholeTile(const float* HWY_RESTRICT dy, int64_t row) {
#pragma GCC unroll 16
    for (int i = 0; i < kDotRows * kDotVectors; ++i) gradient[i] = Load(dy + i / kDotVectors * row, i % kDotVectors);
  }
  HWY_INLINE Vector At(int row, int vector) const { return gradient[row * kDotVectors + vector]; }
#else
  // Fewer registers: each vector is loaded once for kDotPlaces places.
  const float* HWY_RESTRICT dy;
  int64_t row_floats;

  HWY_INLINE WholeTile(const float* HWY_RESTRICT at, int64_t row) : dy(at), row_floats(row) {}
  HWY_INLINE Vector At(int row, int vector) const { return Load(dy + row * row_floats, vector); }
#endif

  static HWY_INLINE Vector Load(const float* HWY_RESTRICT at, int vector) {
    return hn::LoadU(Floats(), at + vector * HWY_LANES(float));
  }

  template <int kPlaces>
  HWY_INLINE void Sum(const float* const* HWY_RESTRICT from, int64_t x_row, Vector* HWY_RESTRICT sums) const {
#pragma GCC unroll 8
    for (int i = 0; i < kPlaces; ++i) sums[i] = hn::Zero(Floats());
#pragma GCC unroll 4
    for (int row = 0; row < kDotRows; ++row) {
      const int64_t at = Held(row * x_row);
#pragma GCC unroll 4
      for (int v = 0; v < kDotVectors; ++v) {
        const Vector shared = At(row, v);
#pragma GCC unroll 8
        for (int i = 0; i < kPlaces; ++i) sums[i] = hn::MulAdd(shared, Load(from[i] + at, v), sums[i]);
      }
    }
  }
};

// What is left at the edges of a block.
struct PartTile {
  const float* HWY_RESTRICT dy;
  int64_t row_floats, rows, vectors;

  template <int kPlaces>
  HWY_INLINE void Sum(const float* const* HWY_RESTRICT from, int64_t x_row, Vector* HWY_RESTRICT sums) const {
    const Floats d;
    constexpr int64_t kLanes = HWY_LANES(float);
#pragma GCC unroll 8
    for (int i = 0; i < kPlaces; ++i) sums[i] = hn::Zero(d);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t v = 0; v < vectors * kLanes; v += kLanes) {
        const Vector shared = hn::LoadU(d, dy + row * row_floats + v);
#pragma GCC unroll 8
        for (int i = 0; i < kPlaces; ++i) sums[i] = hn::MulAdd(shared, hn::LoadU(d, from[i] + row * x_row + v), sums[i]);
      }
    }
  }
};

#if HWY_TARGET == HWY_SCALAR

template <int kPlaces>
HWY_INLINE void SumLanes(const Vector* HWY_RESTRICT sums, float* HWY_RESTRICT to) {
  for (int i = 0; i < kPlaces; ++i) to[i] = hn::GetLane(sums[i]);
}

#else

// Of each 128 bits: a0 + a2, b0 + b2, a1 + a3, b1 + b3.
HWY_INLINE Vector AddPairs(Vector a, Vector b) {
  const Floats d;
  return hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
}

// Of each 128 bits the sums of a, b, c and d, where ab = AddPairs(a, b) and cd = AddPairs(c, d).
HWY_INLINE Vector AddFours(Vector ab, Vector cd) {
  const Floats d;
  const hn::RepartitionToWide<Floats> wide;
  const auto left = hn::BitCast(wide, ab), right = hn::BitCast(wide, cd);
  return hn::Add(hn::BitCast(d, hn::InterleaveLower(wide, left, right)),
                 hn::BitCast(d, hn::InterleaveUpper(wide, left, right)));
}

// Eight sums of what is left in the 128-bit blocks of two vectors.
template <class D, class V>
HWY_INLINE void StoreEight(D d, V low, V high, float* HWY_RESTRICT to) {
  if constexpr (hn::MaxLanes(D()) == 4) {
    hn::StoreU(low, d, to);
    hn::StoreU(high, d, to + 4);
  } else {
    const V sums = hn::Add(hn::ConcatLowerLower(d, high, low), hn::ConcatUpperUpper(d, high, low));
    if constexpr (hn::MaxLanes(D()) == 8) {
      hn::StoreU(sums, d, to);
    } else {
      const hn::Half<D> half;
      const auto lower = hn::LowerHalf(half, sums), upper = hn::UpperHalf(half, sums);
      StoreEight(half, lower, upper, to);
    }
  }
}

// The sums over the lanes of each vector, all in the same order.
template <int kPlaces>
HWY_INLINE void SumLanes(const Vector* HWY_RESTRICT sums, float* HWY_RESTRICT to) {
  Vector pairs[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    // The compiler sees that what repeats is the same.
    const int left = 2 * i < kPlaces ? 2 * i : kPlaces - 1, right = 2 * i + 1 < kPlaces ? 2 * i + 1 : kPlaces - 1;
    pairs[i] = AddPairs(sums[left], sums[right]);
  }
  StoreEight(Floats(), AddFours(pairs[0], pairs[1]), AddFours(pairs[2], pairs[3]), to);
}

#endif

template <int kPlaces, class Gradient>
HWY_INLINE void DotPlaces(const Place* HWY_RESTRICT places, const float* HWY_RESTRICT x, int64_t x_row,
                          const Gradient& gradient, float* HWY_RESTRICT sums) {
  const float* from[kPlaces];
#pragma GCC unroll 8
  for (int i = 0; i < kPlaces; ++i) from[i] = x + places[i].offset;
  Vector partial[kPlaces];
  gradient.template Sum<kPlaces>(from, x_row, partial);
  HWY_ALIGN float each[kDotPlaces];
  SumLanes<kPlaces>(partial, each);
  if (kPlaces == kDotPlaces && places[kPlaces - 1].index - places[0].index == kPlaces - 1) {
    const hn::CappedTag<float, kDotPlaces> d;
#pragma GCC unroll 2
    for (size_t i = 0; i < kDotPlaces; i += hn::MaxLanes(d)) {
      float* to = sums + places[0].index + i;
      hn::StoreU(hn::Add(hn::LoadU(d, to), hn::LoadU(d, each + i)), d, to);
    }
    return;
  }
#pragma GCC unroll 8
  for (int i = 0; i < kPlaces; ++i) sums[places[i].index] += each[i];
}

template <class Gradient>
HWY_INLINE void DotList(const Place* places, int64_t count, const float* x, int64_t x_row, const Gradient& gradient,
                        float* sums) {
  for (; count >= kDotPlaces; count -= kDotPlaces, places += kDotPlaces) {
    DotPlaces<kDotPlaces>(places, x, x_row, gradient, sums);
  }
  switch (count) {
    case 7: return DotPlaces<7>(places, x, x_row, gradient, sums);
    case 6: return DotPlaces<6>(places, x, x_row, gradient, sums);
    case 5: return DotPlaces<5>(places, x, x_row, gradient, sums);
    case 4: return DotPlaces<4>(places, x, x_row, gradient, sums);
    case 3: return DotPlaces<3>(places, x, x_row, gradient, sums);
    case 2: return DotPlaces<2>(places, x, x_row, gradient, sums);
    case 1: return DotPlaces<1>(places, x, x_row, gradient, sums);
  }
}

void DotWhole(const PlaceLists& lists, const float* x, int64_t x_row, const float* dy, const GradientTile& tile,
              float* sums) {
  const int32_t* starts = lists.starts;
  for (int64_t channel = 0; channel < lists.channels; ++channel, starts += lists.stride, dy += tile.dy_channel) {
    if (starts[0] == starts[1]) continue;
    const WholeTile gradient(dy, tile.vectors * HWY_LANES(float));
    DotList(lists.places + starts[0], starts[1] - starts[0], x, x_row, gradient, sums);
  }
}

void DotPart(const PlaceLists& lists, const float* x, int64_t x_row, const float* dy, const GradientTile& tile, int64_t rows,
             int64_t vectors, float* sums) {
  const int32_t* starts = lists.starts;
  for (int64_t channel = 0; channel < lists.channels; ++channel, starts += lists.stride, dy += tile.dy_channel) {
    const PartTile gradient = {dy, tile.vectors * HWY_LANES(float), rows, vectors};
    DotList(lists.places + starts[0], starts[1] - starts[0], x, x_row, gradient, sums);
  }
}

int64_t LesserOf(int64_t a, int64_t b) { return a < b ? a : b; }

void Dot(const PlaceLists& lists, const GradientTile& tile, float* sums) {
  constexpr int64_t kLanes = HWY_LANES(float), kTile = kDotRows * kDotVectors;
  for (int64_t row = 0; row < tile.rows; row += kDotRows) {
    const int64_t rows = LesserOf(kDotRows, tile.rows - row);
    // Where a block is low, its tiles are wide.
    const int64_t wide = rows < 3 ? kTile / rows : kDotVectors;
    for (int64_t vector = 0; vector < tile.vectors; vector += wide) {
      const int64_t vectors = LesserOf(wide, tile.vectors - vector);
      const float* x = tile.x + row * tile.x_row + vector * kLanes;
      const float* dy = tile.dy + (row * tile.vectors + vector) * kLanes;
      if (rows == kDotRows && vectors == kDotVectors) {
        DotWhole(lists, x, tile.x_row, dy, tile, sums);
      } else {
        DotPart(lists, x, tile.x_row, dy, tile, rows, vectors, sums);
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
