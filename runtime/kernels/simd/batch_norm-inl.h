// Batch normalisation over one channel's run of floats. No include guard on purpose.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sums go from float vectors into doubles after this many floats: long float sums lose digits.
constexpr int64_t kRun = 2048;

void Moments(const float* HWY_RESTRICT x, int64_t count, float shift, double* sums) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  const auto centre = hn::Set(d, shift);
  for (int64_t begin = 0; begin < count; begin += kRun) {
    const int64_t end = begin + kRun < count ? begin + kRun : count;
    auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), square0 = hn::Zero(d), square1 = hn::Zero(d);
    int64_t i = begin;
    for (; i + 2 * lanes <= end; i += 2 * lanes) {
      const auto value0 = hn::Sub(hn::LoadU(d, x + i), centre);
      const auto value1 = hn::Sub(hn::LoadU(d, x + i + lanes), centre);
      sum0 = hn::Add(sum0, value0);
      sum1 = hn::Add(sum1, value1);
      square0 = hn::MulAdd(value0, value0, square0);
      square1 = hn::MulAdd(value1, value1, square1);
    }
    sums[0] += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1))));
    sums[1] += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(square0, square1))));
    for (; i < end; ++i) {
      const double value = static_cast<double>(x[i] - shift);
      sums[0] += value;
      sums[1] += value * value;
    }
  }
}

void Normalise(const float* HWY_RESTRICT x, const float* HWY_RESTRICT addend, int64_t count, float scale, float offset,
               bool relu, bool past_caches, float* HWY_RESTRICT y) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  const auto a = hn::Set(d, scale);
  const auto b = hn::Set(d, offset);
  // Without a rectifier the floor is -infinity, which Max leaves everything above.
  const float least = relu ? 0.0f : -__builtin_inff();
  const auto floor = hn::Set(d, least);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto value = hn::MulAdd(hn::LoadU(d, x + i), a, b);
    if (addend != nullptr) value = hn::Add(value, hn::LoadU(d, addend + i));
    Store(hn::Max(value, floor), d, y + i, past_caches);
  }
  for (; i < count; ++i) {
    const float value = x[i] * scale + offset + (addend != nullptr ? addend[i] : 0.0f);
    y[i] = value > least ? value : least;
  }
  if (past_caches) hwy::FlushStream();
}

void GradientMoments(const float* HWY_RESTRICT dy, const float* HWY_RESTRICT x, const float* HWY_RESTRICT y,
                     int64_t count, float mean, double* sums) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  const auto centre = hn::Set(d, mean);
  for (int64_t begin = 0; begin < count; begin += kRun) {
    const int64_t end = begin + kRun < count ? begin + kRun : count;
    auto sum = hn::Zero(d), product = hn::Zero(d);
    int64_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      auto gradient = hn::LoadU(d, dy + i);
      if (y != nullptr) gradient = hn::IfThenElseZero(hn::Gt(hn::LoadU(d, y + i), hn::Zero(d)), gradient);
      sum = hn::Add(sum, gradient);
      product = hn::MulAdd(gradient, hn::Sub(hn::LoadU(d, x + i), centre), product);
    }
    sums[0] += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
    sums[1] += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, product)));
    for (; i < end; ++i) {
      if (y != nullptr && !(y[i] > 0.0f)) continue;
      sums[0] += static_cast<double>(dy[i]);
      sums[1] += static_cast<double>(dy[i]) * static_cast<double>(x[i] - mean);
    }
  }
}

void NormaliseGradient(const float* HWY_RESTRICT dy, const float* HWY_RESTRICT x, const float* HWY_RESTRICT y,
                       int64_t count, float a, float b, float c, bool past_caches, float* HWY_RESTRICT dx,
                       float* HWY_RESTRICT daddend) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  const auto va = hn::Set(d, a), vb = hn::Set(d, b), vc = hn::Set(d, c);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto gradient = hn::LoadU(d, dy + i);
    if (y != nullptr) gradient = hn::IfThenElseZero(hn::Gt(hn::LoadU(d, y + i), hn::Zero(d)), gradient);
    if (daddend != nullptr) Store(gradient, d, daddend + i, past_caches);
    Store(hn::MulAdd(gradient, va, hn::MulAdd(hn::LoadU(d, x + i), vb, vc)), d, dx + i, past_caches);
  }
  for (; i < count; ++i) {
    const float gradient = y == nullptr || y[i] > 0.0f ? dy[i] : 0.0f;
    if (daddend != nullptr) daddend[i] = gradient;
    dx[i] = gradient * a + (x[i] * b + c);
  }
  if (past_caches) hwy::FlushStream();
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
