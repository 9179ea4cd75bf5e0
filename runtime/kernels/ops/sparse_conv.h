// SparseConv(x [C,H,W,N], values [K], index [K], rows [O+1], bias? [O]) -> y [O,Ho,Wo,N]
#pragma once

#include "abi/op.h"
#include "conv_shape.h"

namespace sparcl {

struct SparseConv {
  static constexpr const char* kName = "SparseConv";
  static constexpr Port kInputs[] = {
      {ort::kFloat}, {ort::kFloat}, {ort::kInt32}, {ort::kInt32}, {ort::kFloat, ort::kOptional}};
  static constexpr Port kOutputs[] = {{ort::kFloat}};

  Failure Read(const Attributes& attributes) { return shape.Read(attributes); }
  Failure Run(const Context& context) const;

  ConvShape shape;
};

}  // namespace sparcl
