// Dot products of dy with shifted x, tile by tile. No include guard on purpose: once a target.
//
// A register tile of dy stays in registers over all places of an output channel, and what it reads of x stays in L1 over all
// channels: a multiply-add then costs one load, from L1.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// As many independent sums hide the latency of the multiply-add.
constexpr int kDotPlaces = 8;
constexpr int64_t kDotLanes = HWY_LANES(float);
// A tile: the shorter a vector, the more of them.
constexpr int64_t kDotRows = kDotLanes >= 8 ? 4 : 16, kDotVectors = kDotLanes >= 16 ? 4 : kDotLanes >= 8 ? 8 : 16;

HWY_INLINE Vector VectorAt(const float* HWY_RESTRICT at, int vector) {
  return hn::LoadU(Floats(), at + vector * kDotLanes);
}

#if HWY_ARCH_ARM_A64

// Vectors of dy that are loaded together. Each place has a pointer that a pair of loads moves on, which takes no instruction
// of its own; more vectors at once would not stay in registers.
constexpr int kDotRun = 2;

// The pointers into x of kPlaces places.
template <int kPlaces>
struct Pointers {
  const float* at[kPlaces];

  HWY_INLINE explicit Pointers(const float* const* HWY_RESTRICT from) {
#pragma GCC unroll 8
    for (int i = 0; i < kPlaces; ++i) at[i] = from[i];
  }
  HWY_INLINE const float* Held(int place) { return at[place] = HWY_NAMESPACE::Held(at[place]); }
  HWY_INLINE void Move(int64_t floats) {
#pragma GCC unroll 8
    for (int i = 0; i < kPlaces; ++i) at[i] += floats;
  }
};

#else

constexpr int kDotRun = 4;

template <int kPlaces>
struct Pointers {
  const float* const* HWY_RESTRICT from;
  int64_t at = 0;

  HWY_INLINE explicit Pointers(const float* const* HWY_RESTRICT places) : from(places) {}
  HWY_INLINE const float* Held(int place) const { return from[place] + at; }
  HWY_INLINE void Move(int64_t floats) { at += floats; }
};

#endif

// kPlaces places share every vector of dy.
template <int kPlaces, int kVectors>
HWY_INLINE void DotRun(const float* HWY_RESTRICT dy, Pointers<kPlaces>& x, Vector* HWY_RESTRICT sums) {
  Vector gradient[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) gradient[v] = VectorAt(dy, v);
#pragma GCC unroll 8
  for (int i = 0; i < kPlaces; ++i) {
    const float* from = x.Held(i);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sums[i] = hn::MulAdd(gradient[v], VectorAt(from, v), sums[i]);
  }
  x.Move(kVectors * kDotLanes);
}

// A tile of dy whose rows lie row_floats apart.
struct TileInMemory {
  const float* HWY_RESTRICT dy;
  int64_t row_floats, rows, vectors;

  HWY_INLINE TileInMemory(const float* HWY_RESTRICT at, int64_t distance, int64_t high, int64_t wide)
      : dy(at), row_floats(distance), rows(high), vectors(wide) {}

  template <int kPlaces>
  HWY_INLINE void Sum(const float* const* HWY_RESTRICT from, int64_t x_row, Vector* HWY_RESTRICT sums) const {
    Pointers<kPlaces> x(from);
    const float* HWY_RESTRICT gradient = dy;
    for (int64_t row = 0; row < rows; ++row, gradient += row_floats, x.Move(x_row - vectors * kDotLanes)) {
      int64_t v = 0;
      for (; v + kDotRun <= vectors; v += kDotRun) DotRun<kPlaces, kDotRun>(gradient + v * kDotLanes, x, sums);
      for (; v < vectors; ++v) DotRun<kPlaces, 1>(gradient + v * kDotLanes, x, sums);
    }
  }
};

#if HWY_TARGET == HWY_AVX3

// Keeps the compiler from adding further distances to a row's: they would not fit the scalar registers.
HWY_INLINE int64_t Held(int64_t distance) {
  asm("" : "+r"(distance));
  return distance;
}

// A tile that stays in half of the registers over all places of a channel.
template <int kRows>
struct TileInRegisters {
  static constexpr int kVectors = kAccumulators / kRows;
  Vector gradient[kAccumulators];

  HWY_INLINE TileInRegisters(const float* HWY_RESTRICT dy, int64_t row_floats, int64_t, int64_t) {
#pragma GCC unroll 16
    for (int i = 0; i < kAccumulators; ++i) gradient[i] = VectorAt(dy + i / kVectors * row_floats, i % kVectors);
  }

  template <int kPlaces>
  HWY_INLINE void Sum(const float* const* HWY_RESTRICT from, int64_t x_row, Vector* HWY_RESTRICT sums) const {
#pragma GCC unroll 4
    for (int row = 0; row < kRows; ++row) {
      const int64_t at = Held(row * x_row);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
        for (int i = 0; i < kPlaces; ++i) {
          sums[i] = hn::MulAdd(gradient[row * kVectors + v], VectorAt(from[i] + at, v), sums[i]);
        }
      }
    }
  }
};

#endif

#if HWY_TARGET == HWY_SCALAR

template <int kPlaces>
HWY_INLINE void SumLanes(const Vector* HWY_RESTRICT sums, float* HWY_RESTRICT to) {
  for (int i = 0; i < kPlaces; ++i) to[i] = hn::GetLane(sums[i]);
}

#else

#if HWY_ARCH_ARM_A64

// Arm adds neighbours in one instruction.
HWY_INLINE Vector AddPairs(Vector a, Vector b) { return Vector(vpaddq_f32(a.raw, b.raw)); }
HWY_INLINE Vector AddFours(Vector ab, Vector cd) { return AddPairs(ab, cd); }

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

#endif

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

// to[i] += each[i]
template <int kPlaces>
HWY_INLINE void AddEach(const float* HWY_RESTRICT each, float* HWY_RESTRICT to) {
#if HWY_TARGET == HWY_AVX3
  // Its masked stores cost no more than others. What lies behind the last may be another thread's.
  const hn::CappedTag<float, kDotPlaces> d;
  const auto mask = hn::FirstN(d, kPlaces);
  hn::BlendedStore(hn::Add(hn::MaskedLoad(mask, d, to), hn::LoadU(d, each)), mask, d, to);
#else
#pragma GCC unroll 8
  for (int i = 0; i < kPlaces; ++i) to[i] += each[i];
#endif
}

template <int kPlaces, class Gradient>
HWY_INLINE void DotPlaces(const Place* HWY_RESTRICT places, const float* HWY_RESTRICT x, int64_t x_row,
                          const Gradient& gradient, float* HWY_RESTRICT sums) {
  const float* from[kPlaces];
  Vector partial[kPlaces];
#pragma GCC unroll 8
  for (int i = 0; i < kPlaces; ++i) from[i] = x + places[i].offset, partial[i] = hn::Zero(Floats());
  gradient.template Sum<kPlaces>(from, x_row, partial);
  HWY_ALIGN float each[kDotPlaces];
  SumLanes<kPlaces>(partial, each);
  const int32_t first = places[0].index;
  // Without a gradient mask the places of a list follow each other.
  if (places[kPlaces - 1].index - first == kPlaces - 1) return AddEach<kPlaces>(each, sums + first);
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

// Of all channels the tile that begins at `vector` of `row`.
template <class Gradient>
void DotChannels(const PlaceLists& lists, const GradientBlock& block, int64_t row, int64_t vector, int64_t rows,
                 int64_t vectors, float* sums) {
  const float* x = block.x + row * block.x_row + vector * kDotLanes;
  const float* dy = block.dy + (row * block.vectors + vector) * kDotLanes;
  const int32_t* starts = lists.starts;
  for (int64_t channel = 0; channel < lists.channels; ++channel, starts += lists.stride, dy += block.dy_channel) {
    if (starts[0] == starts[1]) continue;
    const Gradient gradient(dy, block.vectors * kDotLanes, rows, vectors);
    DotList(lists.entries + starts[0], starts[1] - starts[0], x, block.x_row, gradient, sums);
  }
}

void DotTile(const PlaceLists& lists, const GradientBlock& block, int64_t row, int64_t vector, int64_t rows,
             int64_t vectors, float* sums) {
#if HWY_TARGET == HWY_AVX3
  if (rows * vectors == kAccumulators) {
    if (rows == 4) return DotChannels<TileInRegisters<4>>(lists, block, row, vector, rows, vectors, sums);
    if (rows == 2) return DotChannels<TileInRegisters<2>>(lists, block, row, vector, rows, vectors, sums);
  }
#endif
  DotChannels<TileInMemory>(lists, block, row, vector, rows, vectors, sums);
}

int64_t LesserOf(int64_t a, int64_t b) { return a < b ? a : b; }

void Dot(const PlaceLists& lists, const GradientBlock& block, float* sums) {
  for (int64_t row = 0; row < block.rows; row += kDotRows) {
    const int64_t rows = LesserOf(kDotRows, block.rows - row);
    // Where a block is low, its tiles are wide.
    const int64_t wide = 2 * rows > kDotRows ? kDotVectors : kDotRows * kDotVectors / rows;
    for (int64_t vector = 0; vector < block.vectors; vector += wide) {
      DotTile(lists, block, row, vector, rows, LesserOf(wide, block.vectors - vector), sums);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
