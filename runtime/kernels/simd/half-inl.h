// Numbers as bfloat16, the upper half of a float32. No include guard on purpose: once a target.
//
// Rounded by integer arithmetic, to nearest and ties to even: processors' own instructions round subnormal numbers to 0,
// and every instruction set is to give the same bits.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using FloatLanes = hn::ScalableTag<float>;
using HalfLanes = hn::Rebind<uint16_t, FloatLanes>;
using BitLanes = hn::RebindToUnsigned<FloatLanes>;

// What a NaN keeps, which rounding could carry into an infinity.
constexpr uint32_t kQuiet = 0x40;

HWY_INLINE hn::Vec<FloatLanes> LoadNumbers(FloatLanes d, const float* from) { return hn::LoadU(d, from); }

HWY_INLINE hn::Vec<FloatLanes> LoadNumbers(FloatLanes d, const uint16_t* from) {
  const BitLanes bits;
  return hn::BitCast(d, hn::ShiftLeft<16>(hn::PromoteTo(bits, hn::LoadU(HalfLanes(), from))));
}

HWY_INLINE hn::Vec<HalfLanes> Narrow(hn::Vec<FloatLanes> value) {
  const BitLanes d;
  const auto bits = hn::BitCast(d, value), upper = hn::ShiftRight<16>(bits);
  const auto half = hn::Add(hn::Set(d, 0x7fff), hn::And(upper, hn::Set(d, 1)));
  const auto rounded = hn::ShiftRight<16>(hn::Add(bits, half));
  const auto nan = hn::RebindMask(d, hn::IsNaN(value));
  return hn::TruncateTo(HalfLanes(), hn::IfThenElse(nan, hn::Or(upper, hn::Set(d, kQuiet)), rounded));
}

HWY_INLINE void StoreHalf(hn::Vec<FloatLanes> value, uint16_t* to) { hn::StoreU(Narrow(value), HalfLanes(), to); }

HWY_INLINE float Value(float number) { return number; }

HWY_INLINE float Value(uint16_t number) {
  const uint32_t bits = static_cast<uint32_t>(number) << 16;
  float value;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
}

HWY_INLINE uint16_t Half(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  if (value != value) return static_cast<uint16_t>((bits >> 16) | kQuiet);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

void Widen(const uint16_t* HWY_RESTRICT from, float* HWY_RESTRICT to, int64_t count) {
  const FloatLanes d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(LoadNumbers(d, from + i), d, to + i);
  for (; i < count; ++i) to[i] = Value(from[i]);
}

void WidenRuns(const uint16_t* HWY_RESTRICT from, int64_t from_step, float* HWY_RESTRICT to, int64_t to_step, int64_t run,
               int64_t count) {
  const FloatLanes d;
  if (from_step == run && to_step == run) return Widen(from, to, run * count);
  if (run == static_cast<int64_t>(hn::Lanes(d))) {
    for (; count > 0; --count, from += from_step, to += to_step) hn::StoreU(LoadNumbers(d, from), d, to);
    return;
  }
  for (; count > 0; --count, from += from_step, to += to_step) Widen(from, to, run);
}

void NarrowRuns(const float* HWY_RESTRICT from, int64_t from_step, uint16_t* HWY_RESTRICT to, int64_t to_step, int64_t run,
                int64_t count) {
  const FloatLanes d;
  const int64_t lanes = hn::Lanes(d);
  for (; count > 0; --count, from += from_step, to += to_step) {
    int64_t i = 0;
    for (; i + lanes <= run; i += lanes) StoreHalf(hn::LoadU(d, from + i), to + i);
    for (; i < run; ++i) to[i] = Half(from[i]);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
