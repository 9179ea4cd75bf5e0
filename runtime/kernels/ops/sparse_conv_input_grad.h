// SparseConvInputGrad(dy [O,Ho,Wo,N], values [K], index [K], rows [O+1], addend? [C,H,W,N]) -> dx [C,H,W,N]
#pragma once

#include "abi/op.h"
#include "conv_shape.h"

namespace sparcl {

struct SparseConvInputGrad {
  static constexpr const char* kName = "SparseConvInputGrad";
  static constexpr Port kInputs[] = {{ort::kFloat}, {ort::kFloat}, {ort::kInt32}, {ort::kInt32}, {ort::kFloat, ort::kOptional}};
  static constexpr Port kOutputs[] = {{ort::kFloat}};

  Failure Read(const Attributes& attributes);
  Failure Run(const Context& context) const;

  ConvShape shape;
  int64_t input_shape[2] = {0, 0};  // H, W
};

}  // namespace sparcl
