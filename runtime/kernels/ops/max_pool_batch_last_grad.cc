#include "ops/max_pool_batch_last_grad.h"

#include "simd/simd.h"

namespace sparcl {

Failure MaxPoolBatchLastGrad::Run(const Context& context) const {
  Tensor dy, x, y, dx;
  if (Failure failure = context.Input(0, "dy", 4, dy)) return failure;
  if (Failure failure = context.Input(1, "x", 4, x)) return failure;
  if (Failure failure = context.Input(2, "y", 4, y)) return failure;
  int64_t shape[4];
  if (Failure failure = PoolShape(context, window, x, shape)) return failure;
  for (int axis = 0; axis < 4; ++axis) {
    if (dy.shape[axis] != shape[axis]) return context.Fail(Message() << "dy is " << dy << " for x " << x);
    if (y.shape[axis] != shape[axis]) return context.Fail(Message() << "y is " << y << " for x " << x);
  }
  if (Failure failure = context.Output(0, x.shape, 4, dx)) return failure;
  if (dx.size == 0) return nullptr;
  const Simd& simd = ChosenSimd();
  const int64_t plane[3] = {x.shape[1], x.shape[2], x.shape[3]}, batch = x.shape[3];
  return context.Parallel(x.shape[0], [&](size_t channel) {
    const int64_t in = static_cast<int64_t>(channel) * plane[0] * plane[1] * batch;
    int64_t out = static_cast<int64_t>(channel) * shape[1] * shape[2] * batch;
    simd.fill(0.0f, dx.floats() + in, plane[0] * plane[1] * batch);
    Taps taps;
    for (int64_t pixel = 0; pixel < shape[1] * shape[2]; ++pixel, out += batch) {
      ListTaps(window, plane, pixel / shape[2], pixel % shape[2], taps);
      simd.largest_gradient(x.floats() + in, y.floats() + out, dy.floats() + out, taps.at, taps.count, batch,
                            dx.floats() + in);
    }
  });
}

}  // namespace sparcl
