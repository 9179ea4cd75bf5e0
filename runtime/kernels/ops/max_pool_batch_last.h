// MaxPoolBatchLast(x [C,H,W,N]) -> y [C,Ho,Wo,N]: ONNX's MaxPool with the batch innermost.
#pragma once

#include "abi/op.h"
#include "pool.h"

namespace sparcl {

struct MaxPoolBatchLast {
  static constexpr const char* kName = "MaxPoolBatchLast";
  static constexpr Port kInputs[] = {{ort::kFloat}};
  static constexpr Port kOutputs[] = {{ort::kFloat}};

  Failure Read(const Attributes& attributes) { return window.Read(attributes); }
  Failure Run(const Context& context) const;

  Window window;
};

}  // namespace sparcl
