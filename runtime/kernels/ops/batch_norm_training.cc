#include "ops/batch_norm_training.h"

#include "ops/batch_norm_operands.h"
#include "simd/simd.h"

namespace sparcl {

Failure BatchNormTraining::Read(const Attributes& attributes) {
  attributes.Get("epsilon", epsilon);
  attributes.Get("momentum", momentum);
  attributes.Get("relu", relu);
  if (!(epsilon > 0.0f)) return attributes.Fail(Message() << "attribute epsilon is not positive");
  return nullptr;
}

Failure BatchNormTraining::Run(const Context& context) const {
  Tensor x, addend, parameters[4], y, y16, statistics[6];
  const char* const names[4] = {"scale", "bias", "mean", "var"};
  if (Failure failure = context.StoredInput(0, 6, "x", 4, x)) return failure;
  const int64_t channels = x.shape[0];
  const int places[4] = {1, 2, 4, 5};
  for (int i = 0; i < 4; ++i) {
    if (Failure failure = PerChannel(context, places[i], names[i], channels, parameters[i])) return failure;
  }
  if (Failure failure = Addend(context, 3, 7, x, addend)) return failure;
  if (Failure failure = context.Output(0, x.shape, 4, y)) return failure;
  if (Failure failure = context.Output(5, x.shape, 4, y16)) return failure;
  const int results[6] = {1, 2, 3, 4, 6, 7};
  for (int i = 0; i < 6; ++i) {
    if (Failure failure = context.Output(results[i], &channels, 1, statistics[i])) return failure;
  }

  const Simd& simd = ChosenSimd();
  const int64_t count = x.size / channels;
  const Numbers from = x.numbers(), added = addend.numbers();
  const Written to = {y.floats(), y16.halves()};
  const bool past_caches = to.floats != nullptr && count % simd.lanes == 0 && PastCaches(simd, y.floats(), x.size);
  auto set = [](const Tensor& tensor, int64_t channel, double value) {
    if (tensor.data != nullptr) tensor.floats()[channel] = static_cast<float>(value);
  };
  return context.Parallel(channels, [&](size_t task) {
    const int64_t channel = static_cast<int64_t>(task);
    const int64_t at = channel * count;
    const float first = (from + at).First();
    // Moments about a value of the channel lose fewer digits than about 0.
    const double shift = static_cast<double>(first);
    double sums[2] = {0, 0};
    simd.moments(from + at, count, first, sums);
    const double offset = sums[0] / static_cast<double>(count), square = sums[1] / static_cast<double>(count);
    const double mean = shift + offset;
    const double variance = square > offset * offset ? square - offset * offset : 0.0;
    const double inv_std = 1.0 / __builtin_sqrt(variance + static_cast<double>(epsilon));
    const double scale = static_cast<double>(parameters[0].floats()[channel]) * inv_std;
    const double keep = static_cast<double>(momentum);
    set(statistics[0], channel, static_cast<double>(parameters[2].floats()[channel]) * keep + mean * (1.0 - keep));
    set(statistics[1], channel, static_cast<double>(parameters[3].floats()[channel]) * keep + variance * (1.0 - keep));
    set(statistics[2], channel, mean);
    set(statistics[3], channel, inv_std);
    const double bias = static_cast<double>(parameters[1].floats()[channel]) - mean * scale;
    set(statistics[4], channel, scale);
    set(statistics[5], channel, bias);
    if (to.floats == nullptr && to.halves == nullptr) return;
    simd.normalise(from + at, added + at, count, static_cast<float>(scale), static_cast<float>(bias), relu != 0,
                   past_caches, to + at);
  });
}

}  // namespace sparcl
