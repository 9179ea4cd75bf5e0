// The attributes and shapes of convolutions and pools, checked.
#pragma once

#include "abi/kernel_api.h"
#include "simd/simd.h"

namespace sparcl {

constexpr int64_t kMaxKernel = 64;
constexpr int64_t kMaxStride = 16;
// Offsets are 32 bits wide, as the index is.
constexpr int64_t kMaxPlaces = int64_t{1} << 31;

struct Axis {
  int64_t kernel = 1;
  int64_t stride = 1;
  int64_t dilation = 1;
  int64_t pad_begin = 0;
  int64_t pad_end = 0;

  // 0 where the kernel is larger than the padded input.
  int64_t OutputSize(int64_t input) const {
    const int64_t last = input + pad_begin + pad_end - (kernel - 1) * dilation - 1;
    return last < 0 ? 0 : last / stride + 1;
  }
};

// The attributes kernel_shape, strides, dilations and pads, as ONNX's Conv and MaxPool have them.
struct Window {
  Axis height;
  Axis width;

  Failure Read(const Attributes& attributes);

  int64_t taps() const { return height.kernel * width.kernel; }
};

// Those of a convolution, which also has channels.
struct ConvShape : Window {
  int64_t channels = 0;  // input channels of the weight
  int64_t block = 1;     // output channels that keep the same places: 1 or kBlock
  int64_t relu = 0;      // whether the normalised input is rectified

  Failure Read(const Attributes& attributes);

  // Weight places of one output channel.
  int64_t row_places() const { return channels * taps(); }
};

// The stored weight: the inputs values, index and rows, whose shapes are checked here. CheckRows and the sorting of the
// entries (entries.h) check what they hold.
struct Weight {
  const float* values = nullptr;
  const int32_t* index = nullptr;
  const int32_t* rows = nullptr;
  int64_t stored = 0;    // K
  int64_t channels = 0;  // O

  int64_t live() const { return rows[channels]; }
  // Lists of entries where `block` output channels share one.
  int64_t Lists(int64_t block) const { return (channels + block - 1) / block; }
};

// `first` is the number of the op's input `index`; `values` may be null, where only the index is wanted.
Failure ReadWeight(const Context& context, const ConvShape& shape, const Tensor* values, size_t first, Weight& weight);

// Whether x [C,H,W,N] has the input channels of the weight.
Failure CheckChannels(const Context& context, const ConvShape& shape, const Tensor& x);

// The optional inputs factor [C] and offset [C], `first` and the next: how x is normalised as it is read.
Failure ReadNormalisation(const Context& context, const ConvShape& shape, size_t first, Normalisation& normalisation);

// Whether dy [O,Ho,Wo,N] is the gradient of this convolution of an input of `height` rows and `width` columns.
Failure CheckGradient(const Context& context, const ConvShape& shape, const Weight& weight, const Tensor& dy,
                      int64_t height, int64_t width);

}  // namespace sparcl
