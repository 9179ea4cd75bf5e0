#include "ops/batch_norm_apply.h"

#include "ops/batch_norm_operands.h"
#include "simd/simd.h"

namespace sparcl {

Failure BatchNormApply::Read(const Attributes& attributes) {
  attributes.Get("relu", relu);
  return nullptr;
}

Failure BatchNormApply::Run(const Context& context) const {
  Tensor x, addend, parameters[2], y, y16;
  const char* const names[2] = {"factor", "offset"};
  if (Failure failure = context.StoredInput(0, 4, "x", 4, x)) return failure;
  const int64_t channels = x.shape[0];
  for (int i = 0; i < 2; ++i) {
    if (Failure failure = PerChannel(context, 1 + i, names[i], channels, parameters[i])) return failure;
  }
  if (Failure failure = Addend(context, 3, 5, x, addend)) return failure;
  if (Failure failure = context.Output(0, x.shape, 4, y)) return failure;
  if (Failure failure = context.Output(1, x.shape, 4, y16)) return failure;
  const Written to = {y.floats(), y16.halves()};
  if (to.floats == nullptr && to.halves == nullptr) return nullptr;

  const Simd& simd = ChosenSimd();
  const int64_t count = x.size / channels;
  const Numbers from = x.numbers(), added = addend.numbers();
  const bool past_caches = to.floats != nullptr && count % simd.lanes == 0 && PastCaches(simd, y.floats(), x.size);
  return context.Parallel(channels, [&](size_t task) {
    const int64_t channel = static_cast<int64_t>(task), at = channel * count;
    simd.normalise(from + at, added + at, count, parameters[0].floats()[channel], parameters[1].floats()[channel],
                   relu != 0, past_caches, to + at);
  });
}

}  // namespace sparcl
