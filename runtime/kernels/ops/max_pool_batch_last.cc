#include "ops/max_pool_batch_last.h"

#include "simd/simd.h"

namespace sparcl {

Failure MaxPoolBatchLast::Run(const Context& context) const {
  Tensor x, y;
  if (Failure failure = context.Input(0, "x", 4, x)) return failure;
  int64_t shape[4];
  if (Failure failure = PoolShape(context, window, x, shape)) return failure;
  if (Failure failure = context.Output(0, shape, 4, y)) return failure;
  if (y.size == 0) return nullptr;
  const Simd& simd = ChosenSimd();
  const int64_t plane[3] = {x.shape[1], x.shape[2], x.shape[3]}, batch = x.shape[3];
  return context.Parallel(x.shape[0], [&](size_t channel) {
    const float* from = x.floats() + static_cast<int64_t>(channel) * plane[0] * plane[1] * batch;
    float* to = y.floats() + static_cast<int64_t>(channel) * shape[1] * shape[2] * batch;
    Taps taps;
    for (int64_t pixel = 0; pixel < shape[1] * shape[2]; ++pixel, to += batch) {
      ListTaps(window, plane, pixel / shape[2], pixel % shape[2], taps);
      simd.largest(from, taps.at, taps.count, batch, to);
    }
  });
}

}  // namespace sparcl
