#include "ops/batch_norm_grad.h"

#include "simd/simd.h"

namespace sparcl {

Failure BatchNormGrad::Read(const Attributes& attributes) {
  attributes.Get("relu", relu);
  return nullptr;
}

Failure BatchNormGrad::Run(const Context& context) const {
  Tensor dy, x, parameters[3], y, dx, sums[2], daddend;
  const char* const names[3] = {"scale", "saved_mean", "saved_inv_std"};
  if (Failure failure = context.Input(0, "dy", 4, dy)) return failure;
  if (Failure failure = context.StoredInput(1, 6, "x", 4, x)) return failure;
  const int64_t channels = x.shape[0];
  for (int i = 0; i < 3; ++i) {
    if (Failure failure = context.Input(2 + i, names[i], 1, parameters[i])) return failure;
    if (parameters[i].size == channels) continue;
    return context.Fail(Message() << names[i] << " has " << parameters[i].size << " numbers for " << channels << " channels");
  }
  if (Failure failure = context.OptionalStoredInput(5, 7, "y", 4, y)) return failure;
  Tensor factor, offset;
  if (Failure failure = context.OptionalInput(8, "factor", 1, factor)) return failure;
  if (Failure failure = context.OptionalInput(9, "offset", 1, offset)) return failure;
  const bool of_x = factor && offset;
  if (relu != 0 && !y && !of_x) return context.Fail(Message() << "input y is missing, which the attribute relu needs");
  if (of_x && (factor.size != channels || offset.size != channels)) {
    return context.Fail(Message() << "factor and offset have " << factor.size << " and " << offset.size << " numbers for "
                                  << channels << " channels");
  }
  for (int axis = 0; axis < 4; ++axis) {
    if (dy.shape[axis] != x.shape[axis]) return context.Fail(Message() << "dy is " << dy << " and x is " << x);
    if (y && y.shape[axis] != x.shape[axis]) return context.Fail(Message() << "y is " << y << " and x is " << x);
  }
  if (x.size == 0) return context.Fail(Message() << "x is empty: " << x);
  if (Failure failure = context.Output(0, x.shape, 4, dx)) return failure;
  for (int i = 0; i < 2; ++i) {
    if (Failure failure = context.Output(1 + i, &channels, 1, sums[i])) return failure;
  }
  if (Failure failure = context.Output(3, x.shape, 4, daddend)) return failure;

  const Simd& simd = ChosenSimd();
  const int64_t count = x.size / channels;
  const Numbers from = x.numbers();
  const bool past_caches = count % simd.lanes == 0 && PastCaches(simd, dx.floats(), x.size) &&
                           (daddend.data == nullptr || PastCaches(simd, daddend.floats(), x.size));
  return context.Parallel(channels, [&](size_t task) {
    const int64_t channel = static_cast<int64_t>(task), at = channel * count;
    Gate gate;
    if (relu != 0 && y) gate.y = y.numbers() + at;
    if (relu != 0 && !y) gate = {{}, true, factor.floats()[channel], offset.floats()[channel]};
    const float mean = parameters[1].floats()[channel];
    const double scale = static_cast<double>(parameters[0].floats()[channel]);
    const double inv_std = static_cast<double>(parameters[2].floats()[channel]);
    double moments[2] = {0, 0};
    simd.gradient_moments(dy.floats() + at, from + at, gate, count, mean, moments);
    const double dbias = moments[0], dscale = moments[1] * inv_std;
    if (sums[0].data != nullptr) sums[0].floats()[channel] = static_cast<float>(dscale);
    if (sums[1].data != nullptr) sums[1].floats()[channel] = static_cast<float>(dbias);
    // dx = scale * inv_std * (dy - dbias / n - (x - mean) * inv_std * dscale / n), as dy * a + x * b + c.
    const double a = scale * inv_std;
    const double b = -a * inv_std * dscale / static_cast<double>(count);
    const double c = -a * dbias / static_cast<double>(count) - b * static_cast<double>(mean);
    simd.normalise_gradient(dy.floats() + at, from + at, gate, count, static_cast<float>(a), static_cast<float>(b),
                            static_cast<float>(c), past_caches, dx.floats() + at,
                            daddend.data == nullptr ? nullptr : daddend.floats() + at);
  });
}

}  // namespace sparcl
