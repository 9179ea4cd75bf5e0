// Which pixels a pool's output looks at.
#pragma once

#include "conv_shape.h"

namespace sparcl {

// The taps of one output pixel that lie in the input plane, as distances into it in floats, from the first row on.
struct Taps {
  int64_t count;
  int64_t at[kMaxKernel * kMaxKernel];
};

void ListTaps(const Window& window, const int64_t (&plane)[3], int64_t row, int64_t col, Taps& taps);

// The shape of the output [C,Ho,Wo,N] of x [C,H,W,N]; fails where the window is larger than the padded x.
Failure PoolShape(const Context& context, const Window& window, const Tensor& x, int64_t (&shape)[4]);

}  // namespace sparcl
