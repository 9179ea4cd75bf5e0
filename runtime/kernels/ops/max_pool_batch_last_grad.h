// MaxPoolBatchLastGrad(dy [C,Ho,Wo,N], x [C,H,W,N], y [C,Ho,Wo,N]) -> dx [C,H,W,N]: of equal numbers the first counts.
#pragma once

#include "abi/op.h"
#include "pool.h"

namespace sparcl {

struct MaxPoolBatchLastGrad {
  static constexpr const char* kName = "MaxPoolBatchLastGrad";
  static constexpr Port kInputs[] = {{ort::kFloat}, {ort::kFloat}, {ort::kFloat}};
  static constexpr Port kOutputs[] = {{ort::kFloat}};

  Failure Read(const Attributes& attributes) { return window.Read(attributes); }
  Failure Run(const Context& context) const;

  Window window;
};

}  // namespace sparcl
