// BatchNormApply(x? [C,H,W,N], factor, offset [C], addend? [C,H,W,N], x16?, addend16?) -> (y? [C,H,W,N], y16?)
//
// y = relu?(x * factor + offset + addend): what BatchNormTraining gave, computed a second time from the factor and the
// offset that it gives, to the bit. x16, addend16 and y16 are bfloat16, in the places of the others.
#pragma once

#include "abi/op.h"

namespace sparcl {

struct BatchNormApply {
  static constexpr const char* kName = "BatchNormApply";
  static constexpr Port kInputs[] = {{ort::kFloat, ort::kOptional},    {ort::kFloat},
                                     {ort::kFloat},                    {ort::kFloat, ort::kOptional},
                                     {ort::kBFloat16, ort::kOptional}, {ort::kBFloat16, ort::kOptional}};
  static constexpr Port kOutputs[] = {{ort::kFloat, ort::kOptional}, {ort::kBFloat16, ort::kOptional}};

  Failure Read(const Attributes& attributes);
  Failure Run(const Context& context) const;

  int64_t relu = 0;
};

}  // namespace sparcl
