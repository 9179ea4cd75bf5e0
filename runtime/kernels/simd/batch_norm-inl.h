// Batch normalisation over one channel's run of numbers. No include guard on purpose.
#include "simd/simd.h"

HWY_BEFORE_NAMESPACE();
namespace sparcl {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Sums go from float vectors into doubles after this many floats: long float sums lose digits.
constexpr int64_t kRun = 2048;

template <class X>
void MomentsOf(const X* HWY_RESTRICT x, int64_t count, float shift, double* sums) {
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  const auto centre = hn::Set(d, shift);
  for (int64_t begin = 0; begin < count; begin += kRun) {
    const int64_t end = begin + kRun < count ? begin + kRun : count;
    auto sum0 = hn::Zero(d), sum1 = hn::Zero(d), square0 = hn::Zero(d), square1 = hn::Zero(d);
    int64_t i = begin;
    for (; i + 2 * lanes <= end; i += 2 * lanes) {
      const auto value0 = hn::Sub(LoadNumbers(d, x + i), centre);
      const auto value1 = hn::Sub(LoadNumbers(d, x + i + lanes), centre);
      sum0 = hn::Add(sum0, value0);
      sum1 = hn::Add(sum1, value1);
      square0 = hn::MulAdd(value0, value0, square0);
      square1 = hn::MulAdd(value1, value1, square1);
    }
    sums[0] += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1))));
    sums[1] += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, hn::Add(square0, square1))));
    for (; i < end; ++i) {
      const double value = static_cast<double>(Value(x[i]) - shift);
      sums[0] += value;
      sums[1] += value * value;
    }
  }
}

void Moments(Numbers x, int64_t count, float shift, double* sums) {
  if (x.halves != nullptr) return MomentsOf(x.halves, count, shift, sums);
  MomentsOf(x.floats, count, shift, sums);
}

template <class X, class Addend>
void NormaliseOf(const X* HWY_RESTRICT x, const Addend* HWY_RESTRICT addend, int64_t count, float scale, float offset,
                 bool relu, bool past_caches, Written y) {
  float* HWY_RESTRICT floats = y.floats;
  uint16_t* HWY_RESTRICT halves = y.halves;
  const hn::ScalableTag<float> d;
  const int64_t lanes = hn::Lanes(d);
  const auto a = hn::Set(d, scale);
  const auto b = hn::Set(d, offset);
  // Without a rectifier the floor is -infinity, which Max leaves everything above.
  const float least = relu ? 0.0f : -__builtin_inff();
  const auto floor = hn::Set(d, least);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    auto value = hn::MulAdd(LoadNumbers(d, x + i), a, b);
    if (addend != nullptr) value = hn::Add(value, LoadNumbers(d, addend + i));
    value = hn::Max(value, floor);
    if (floats != nullptr) Store(value, d, floats + i, past_caches);
    if (halves != nullptr) StoreHalf(value, halves + i);
  }
  for (; i < count; ++i) {
    const float sum = Value(x[i]) * scale + offset + (addend != nullptr ? Value(addend[i]) : 0.0f);
    const float value = sum > least ? sum : least;
    if (floats != nullptr) floats[i] = value;
    if (halves != nullptr) halves[i] = Half(value);
  }
  if (past_caches) hwy::FlushStream();
}

template <class X>
void NormaliseAdding(const X* x, Numbers addend, int64_t count, float scale, float offset, bool relu, bool past_caches,
                     Written y) {
  if (addend.halves != nullptr) return NormaliseOf(x, addend.halves, count, scale, offset, relu, past_caches, y);
  NormaliseOf(x, addend.floats, count, scale, offset, relu, past_caches, y);
}

void Normalise(Numbers x, Numbers addend, int64_t count, float scale, float offset, bool relu, bool past_caches, Written y) {
  if (x.halves != nullptr) return NormaliseAdding(x.halves, addend, count, scale, offset, relu, past_caches, y);
  NormaliseAdding(x.floats, addend, count, scale, offset, relu, past_caches, y);
}

// The three kinds of a Gate: what passes of a vector of gradients, and whether a single one does.
struct Open {
  template <class X>
  HWY_INLINE hn::Vec<FloatLanes> Pass(hn::Vec<FloatLanes> gradient, const X*, int64_t) const { return gradient; }
  template <class X>
  HWY_INLINE bool Passes(const X*, int64_t) const { return true; }
};

template <class Y>
struct GateOfY {
  const Y* HWY_RESTRICT y;

  template <class X>
  HWY_INLINE hn::Vec<FloatLanes> Pass(hn::Vec<FloatLanes> gradient, const X*, int64_t i) const {
    const FloatLanes d;
    return hn::IfThenElseZero(hn::Gt(LoadNumbers(d, y + i), hn::Zero(d)), gradient);
  }
  template <class X>
  HWY_INLINE bool Passes(const X*, int64_t i) const { return Value(y[i]) > 0.0f; }
};

struct GateOfX {
  float factor, offset;

  template <class X>
  HWY_INLINE hn::Vec<FloatLanes> Pass(hn::Vec<FloatLanes> gradient, const X* x, int64_t i) const {
    const FloatLanes d;
    const auto y = hn::MulAdd(LoadNumbers(d, x + i), hn::Set(d, factor), hn::Set(d, offset));
    return hn::IfThenElseZero(hn::Gt(y, hn::Zero(d)), gradient);
  }
  template <class X>
  HWY_INLINE bool Passes(const X* x, int64_t i) const { return Value(x[i]) * factor + offset > 0.0f; }
};

template <class X, class Kind>
void GradientMomentsOf(const float* HWY_RESTRICT dy, const X* HWY_RESTRICT x, Kind gate, int64_t count, float mean,
                       double* sums) {
  const FloatLanes d;
  const int64_t lanes = hn::Lanes(d);
  const auto centre = hn::Set(d, mean);
  for (int64_t begin = 0; begin < count; begin += kRun) {
    const int64_t end = begin + kRun < count ? begin + kRun : count;
    auto sum = hn::Zero(d), product = hn::Zero(d);
    int64_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      const auto gradient = gate.Pass(hn::LoadU(d, dy + i), x, i);
      sum = hn::Add(sum, gradient);
      product = hn::MulAdd(gradient, hn::Sub(LoadNumbers(d, x + i), centre), product);
    }
    sums[0] += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
    sums[1] += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, product)));
    for (; i < end; ++i) {
      if (!gate.Passes(x, i)) continue;
      sums[0] += static_cast<double>(dy[i]);
      sums[1] += static_cast<double>(dy[i]) * static_cast<double>(Value(x[i]) - mean);
    }
  }
}

template <class X>
void GradientMomentsGated(const float* dy, const X* x, const Gate& gate, int64_t count, float mean, double* sums) {
  if (gate.of_x) return GradientMomentsOf(dy, x, GateOfX{gate.factor, gate.offset}, count, mean, sums);
  if (gate.y.halves != nullptr) return GradientMomentsOf(dy, x, GateOfY<uint16_t>{gate.y.halves}, count, mean, sums);
  if (gate.y.floats != nullptr) return GradientMomentsOf(dy, x, GateOfY<float>{gate.y.floats}, count, mean, sums);
  GradientMomentsOf(dy, x, Open{}, count, mean, sums);
}

void GradientMoments(const float* dy, Numbers x, const Gate& gate, int64_t count, float mean, double* sums) {
  if (x.halves != nullptr) return GradientMomentsGated(dy, x.halves, gate, count, mean, sums);
  GradientMomentsGated(dy, x.floats, gate, count, mean, sums);
}

template <class X, class Kind>
void NormaliseGradientOf(const float* HWY_RESTRICT dy, const X* HWY_RESTRICT x, Kind gate, int64_t count, float a, float b,
                         float c, bool past_caches, float* HWY_RESTRICT dx, float* HWY_RESTRICT daddend) {
  const FloatLanes d;
  const int64_t lanes = hn::Lanes(d);
  const auto va = hn::Set(d, a), vb = hn::Set(d, b), vc = hn::Set(d, c);
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto gradient = gate.Pass(hn::LoadU(d, dy + i), x, i);
    if (daddend != nullptr) Store(gradient, d, daddend + i, past_caches);
    Store(hn::MulAdd(gradient, va, hn::MulAdd(LoadNumbers(d, x + i), vb, vc)), d, dx + i, past_caches);
  }
  for (; i < count; ++i) {
    const float gradient = gate.Passes(x, i) ? dy[i] : 0.0f;
    if (daddend != nullptr) daddend[i] = gradient;
    dx[i] = gradient * a + (Value(x[i]) * b + c);
  }
  if (past_caches) hwy::FlushStream();
}

template <class X>
void NormaliseGradientGated(const float* dy, const X* x, const Gate& gate, int64_t count, float a, float b, float c,
                            bool past, float* dx, float* daddend) {
  const Numbers y = gate.y;
  if (gate.of_x) {
    return NormaliseGradientOf(dy, x, GateOfX{gate.factor, gate.offset}, count, a, b, c, past, dx, daddend);
  }
  if (y.halves != nullptr) {
    return NormaliseGradientOf(dy, x, GateOfY<uint16_t>{y.halves}, count, a, b, c, past, dx, daddend);
  }
  if (y.floats != nullptr) {
    return NormaliseGradientOf(dy, x, GateOfY<float>{y.floats}, count, a, b, c, past, dx, daddend);
  }
  NormaliseGradientOf(dy, x, Open{}, count, a, b, c, past, dx, daddend);
}

void NormaliseGradient(const float* dy, Numbers x, const Gate& gate, int64_t count, float a, float b, float c,
                       bool past_caches, float* dx, float* daddend) {
  if (x.halves != nullptr) return NormaliseGradientGated(dy, x.halves, gate, count, a, b, c, past_caches, dx, daddend);
  NormaliseGradientGated(dy, x.floats, gate, count, a, b, c, past_caches, dx, daddend);
}

template <class X>
void NormaliseRunsOf(const X* HWY_RESTRICT from, int64_t from_step, float* HWY_RESTRICT to, int64_t to_step, int64_t run,
                     int64_t count, float factor, float offset, float least) {
  const FloatLanes d;
  const int64_t lanes = hn::Lanes(d);
  const auto a = hn::Set(d, factor), b = hn::Set(d, offset), floor = hn::Set(d, least);
  for (; count > 0; --count, from += from_step, to += to_step) {
    int64_t i = 0;
    for (; i + lanes <= run; i += lanes) {
      hn::StoreU(hn::Max(hn::MulAdd(LoadNumbers(d, from + i), a, b), floor), d, to + i);
    }
    for (; i < run; ++i) {
      const float value = Value(from[i]) * factor + offset;
      to[i] = value > least ? value : least;
    }
  }
}

void NormaliseRuns(Numbers from, int64_t from_step, float* to, int64_t to_step, int64_t run, int64_t count, float factor,
                   float offset, bool relu) {
  const float least = relu ? 0.0f : -__builtin_inff();
  if (from_step == run && to_step == run) run *= count, from_step = to_step = run, count = 1;
  if (from.halves != nullptr) {
    return NormaliseRunsOf(from.halves, from_step, to, to_step, run, count, factor, offset, least);
  }
  NormaliseRunsOf(from.floats, from_step, to, to_step, run, count, factor, offset, least);
}

}  // namespace HWY_NAMESPACE
}  // namespace sparcl
HWY_AFTER_NAMESPACE();
