// BatchNormTraining(x [C,H,W,N], scale, bias [C], addend? [C,H,W,N], mean, var [C], x16?, addend16?)
//   -> (y? [C,H,W,N], next_mean, next_var, saved_mean, saved_inv_std [C], y16?, factor? [C], offset? [C])
//
// y = relu?(bn(x) + addend): BatchNormalization in training form with the Add and Relu that follow it in a residual
// network, in one pass over memory. A channel is one contiguous run, so it is read twice, but from L2 the second time.
// x16 and addend16 are x and addend as bfloat16, in their places; y16 is y rounded to bfloat16, beside it or in its place.
// factor and offset are what y is computed with: bn(x) = x * factor + offset. Without y and y16 x is read once.
#pragma once

#include "abi/op.h"

namespace sparcl {

struct BatchNormTraining {
  static constexpr const char* kName = "BatchNormTraining";
  static constexpr Port kInputs[] = {{ort::kFloat, ort::kOptional},
                                     {ort::kFloat},
                                     {ort::kFloat},
                                     {ort::kFloat, ort::kOptional},
                                     {ort::kFloat},
                                     {ort::kFloat},
                                     {ort::kBFloat16, ort::kOptional},
                                     {ort::kBFloat16, ort::kOptional}};
  static constexpr Port kOutputs[] = {{ort::kFloat, ort::kOptional}, {ort::kFloat}, {ort::kFloat}, {ort::kFloat},
                                      {ort::kFloat}, {ort::kBFloat16, ort::kOptional},
                                      {ort::kFloat, ort::kOptional}, {ort::kFloat, ort::kOptional}};

  Failure Read(const Attributes& attributes);
  Failure Run(const Context& context) const;

  // As ONNX's BatchNormalization has them: next = mean * momentum + batch_mean * (1 - momentum).
  float epsilon = 1e-5f;
  float momentum = 0.9f;
  int64_t relu = 0;
};

}  // namespace sparcl
