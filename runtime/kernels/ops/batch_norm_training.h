// BatchNormTraining(x [C,H,W,N], scale, bias [C], addend? [C,H,W,N], mean, var [C])
//   -> (y [C,H,W,N], next_mean, next_var, saved_mean, saved_inv_std [C])
//
// y = relu?(bn(x) + addend): BatchNormalization in training form with the Add and Relu that follow it in a residual
// network, in one pass over memory. A channel is one contiguous run, so it is read twice, but from L2 the second time.
#pragma once

#include "abi/op.h"

namespace sparcl {

struct BatchNormTraining {
  static constexpr const char* kName = "BatchNormTraining";
  static constexpr Port kInputs[] = {{ort::kFloat},
                                     {ort::kFloat},
                                     {ort::kFloat},
                                     {ort::kFloat, ort::kOptional},
                                     {ort::kFloat},
                                     {ort::kFloat}};
  static constexpr Port kOutputs[] = {{ort::kFloat}, {ort::kFloat}, {ort::kFloat}, {ort::kFloat}, {ort::kFloat}};

  Failure Read(const Attributes& attributes);
  Failure Run(const Context& context) const;

  // As ONNX's BatchNormalization has them: next = mean * momentum + batch_mean * (1 - momentum).
  float epsilon = 1e-5f;
  float momentum = 0.9f;
  int64_t relu = 0;
};

}  // namespace sparcl
