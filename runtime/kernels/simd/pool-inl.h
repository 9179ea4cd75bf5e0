// The largest of several runs, and which of them it was. No include guard on purpose.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// What no number is below: a window of NaN has it as its maximum, as in ONNX Runtime.
constexpr float kLowest = -3.402823466e+38f;

void Largest(const float* HWY_RESTRICT x, const int64_t* at, int64_t taps, int64_t count, float* HWY_RESTRICT y) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto most = hn::Set(d, kLowest);
    for (int64_t tap = 0; tap < taps; ++tap) {
      const auto value = hn::LoadU(d, x + at[tap] + i);
      most = hn::IfThenElse(hn::Gt(value, most), value, most);
    }
    hn::StoreU(most, d, y + i);
  }
  for (; i < count; ++i) {
    float most = kLowest;
    for (int64_t tap = 0; tap < taps; ++tap) most = x[at[tap] + i] > most ? x[at[tap] + i] : most;
    y[i] = most;
  }
}

void LargestGradient(const float* HWY_RESTRICT x, const float* HWY_RESTRICT y, const float* HWY_RESTRICT dy,
                     const int64_t* at, int64_t taps, int64_t count, float* HWY_RESTRICT dx) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto most = hn::LoadU(d, y + i);
    auto rest = hn::LoadU(d, dy + i);
    for (int64_t tap = 0; tap < taps; ++tap) {
      const auto here = hn::Eq(hn::LoadU(d, x + at[tap] + i), most);
      float* to = dx + at[tap] + i;
      hn::StoreU(hn::Add(hn::LoadU(d, to), hn::IfThenElseZero(here, rest)), d, to);
      rest = hn::IfThenZeroElse(here, rest);
    }
  }
  for (; i < count; ++i) {
    for (int64_t tap = 0; tap < taps; ++tap) {
      if (x[at[tap] + i] != y[i]) continue;
      dx[at[tap] + i] += dy[i];
      break;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
