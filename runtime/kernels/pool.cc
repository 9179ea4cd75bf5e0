#include "pool.h"

namespace sparcl {

void ListTaps(const Window& window, const int64_t (&plane)[3], int64_t row, int64_t col, Taps& taps) {
  taps.count = 0;
  for (int64_t i = 0; i < window.height.kernel; ++i) {
    const int64_t y = row * window.height.stride + i * window.height.dilation - window.height.pad_begin;
    if (y < 0 || y >= plane[0]) continue;
    for (int64_t j = 0; j < window.width.kernel; ++j) {
      const int64_t x = col * window.width.stride + j * window.width.dilation - window.width.pad_begin;
      if (x >= 0 && x < plane[1]) taps.at[taps.count++] = (y * plane[1] + x) * plane[2];
    }
  }
}

Failure PoolShape(const Context& context, const Window& window, const Tensor& x, int64_t (&shape)[4]) {
  shape[0] = x.shape[0];
  shape[1] = window.height.OutputSize(x.shape[1]);
  shape[2] = window.width.OutputSize(x.shape[2]);
  shape[3] = x.shape[3];
  if (x.shape[1] > 0 && x.shape[2] > 0 && shape[1] > 0 && shape[2] > 0) return nullptr;
  return context.Fail(Message() << "the kernel is larger than the padded x " << x);
}

}  // namespace sparcl
