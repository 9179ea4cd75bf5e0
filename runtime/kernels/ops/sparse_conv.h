// SparseConv(x [C,H,W,N], values [K], index [K], rows [O+1], bias? [O], x16?, factor? [C], offset? [C]) -> (y? [O,Ho,Wo,N], y16?)
//
// x16 is x as bfloat16, in its place; y16 is y rounded to bfloat16, beside it or in its place.
// With factor and offset the input is max(x * factor + offset, 0), without the maximum where the attribute relu is 0.
#pragma once

#include "abi/op.h"
#include "conv_shape.h"

namespace sparcl {

struct SparseConv {
  static constexpr const char* kName = "SparseConv";
  static constexpr Port kInputs[] = {
      {ort::kFloat, ort::kOptional}, {ort::kFloat}, {ort::kInt32}, {ort::kInt32}, {ort::kFloat, ort::kOptional},
      {ort::kBFloat16, ort::kOptional}, {ort::kFloat, ort::kOptional}, {ort::kFloat, ort::kOptional}};
  static constexpr Port kOutputs[] = {{ort::kFloat, ort::kOptional}, {ort::kBFloat16, ort::kOptional}};

  Failure Read(const Attributes& attributes) { return shape.Read(attributes); }
  Failure Run(const Context& context) const;

  ConvShape shape;
};

}  // namespace sparcl
