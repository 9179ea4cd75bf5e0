// Copying, filling and adding runs of floats. No include guard on purpose.
//
// These also keep the library free of libc's memcpy and memset (docs/kernels.md, "Free of libc").
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

void Copy(const float* HWY_RESTRICT from, float* HWY_RESTRICT to, int64_t count) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
  for (; i < count; ++i) to[i] = from[i];
}

void CopyRuns(const float* HWY_RESTRICT from, int64_t from_step, float* HWY_RESTRICT to, int64_t to_step, int64_t run,
              int64_t count) {
  const hn::ScalableTag<float> d;
  // Runs shorter than a vector would be copied number by number.
  if (from_step == run && to_step == run) return Copy(from, to, run * count);
  if (run == static_cast<int64_t>(hn::Lanes(d))) {
    for (; count > 0; --count, from += from_step, to += to_step) hn::StoreU(hn::LoadU(d, from), d, to);
    return;
  }
  for (; count > 0; --count, from += from_step, to += to_step) Copy(from, to, run);
}

void StreamRuns(const float* HWY_RESTRICT from, int64_t from_step, float* HWY_RESTRICT to, int64_t to_step, int64_t count) {
  const hn::ScalableTag<float> d;
  for (; count > 0; --count, from += from_step, to += to_step) Store(hn::LoadU(d, from), d, to, true);
  hwy::FlushStream();
}

void Fill(float value, float* HWY_RESTRICT to, int64_t count) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::Set(d, value), d, to + i);
  for (; i < count; ++i) to[i] = value;
}

void Add(const float* HWY_RESTRICT from, float* HWY_RESTRICT to, int64_t count) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::LoadU(d, from + i)), d, to + i);
  for (; i < count; ++i) to[i] += from[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
