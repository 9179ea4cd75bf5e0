// SparseConvWeightGrad(x [C,H,W,N], dy [O,Ho,Wo,N], index [K], rows [O+1], mask? [K], x16?, factor? [C], offset? [C]) -> dvalues [K]
//
// x16 is x as bfloat16, in its place; factor and offset are those of SparseConv.
#pragma once

#include "abi/op.h"
#include "conv_shape.h"

namespace sparcl {

struct SparseConvWeightGrad {
  static constexpr const char* kName = "SparseConvWeightGrad";
  static constexpr Port kInputs[] = {
      {ort::kFloat, ort::kOptional}, {ort::kFloat}, {ort::kInt32}, {ort::kInt32}, {ort::kFloat, ort::kOptional},
      {ort::kBFloat16, ort::kOptional}, {ort::kFloat, ort::kOptional}, {ort::kFloat, ort::kOptional}};
  static constexpr Port kOutputs[] = {{ort::kFloat}};

  Failure Read(const Attributes& attributes) { return shape.Read(attributes); }
  Failure Run(const Context& context) const;

  ConvShape shape;
};

}  // namespace sparcl
