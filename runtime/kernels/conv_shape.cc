#include "conv_shape.h"

namespace sparcl {

namespace {

Failure CheckAxis(const Attributes& attributes, const char* name, const Axis& axis) {
  if (axis.kernel < 1 || axis.kernel > kMaxKernel) {
    return attributes.Fail(Message() << "kernel_shape: the " << name << " is " << axis.kernel << ", not 1 to " << kMaxKernel);
  }
  if (axis.stride < 1 || axis.stride > kMaxStride) {
    return attributes.Fail(Message() << "strides: that of the " << name << " is " << axis.stride << ", not 1 to "
                                     << kMaxStride);
  }
  if (axis.dilation < 1 || axis.dilation > 1024) {
    return attributes.Fail(Message() << "dilations: that of the " << name << " is " << axis.dilation << ", not 1 to 1024");
  }
  if (axis.pad_begin < 0 || axis.pad_end < 0 || axis.pad_begin > 65536 || axis.pad_end > 65536) {
    return attributes.Fail(Message() << "pads: those of the " << name << " are " << axis.pad_begin << " and "
                                     << axis.pad_end << ", not 0 to 65536");
  }
  return nullptr;
}

}  // namespace

Failure Window::Read(const Attributes& attributes) {
  int64_t kernel[2] = {0, 0}, strides[2] = {1, 1}, dilations[2] = {1, 1}, pads[4] = {0, 0, 0, 0};
  if (Failure failure = attributes.Get("kernel_shape", kernel, 2)) return failure;
  if (Failure failure = attributes.Get("strides", strides, 2)) return failure;
  if (Failure failure = attributes.Get("dilations", dilations, 2)) return failure;
  if (Failure failure = attributes.Get("pads", pads, 4)) return failure;
  height = {kernel[0], strides[0], dilations[0], pads[0], pads[2]};
  width = {kernel[1], strides[1], dilations[1], pads[1], pads[3]};
  if (Failure failure = CheckAxis(attributes, "height", height)) return failure;
  return CheckAxis(attributes, "width", width);
}

Failure ConvShape::Read(const Attributes& attributes) {
  int64_t group = 1;
  attributes.Get("channels", channels);
  attributes.Get("group", group);
  attributes.Get("relu", relu);
  attributes.Get("block", block);
  if (group != 1) return attributes.Fail(Message() << "attribute group is " << group << ": only 1 is supported");
  if (block != 1 && block != kBlock) {
    return attributes.Fail(Message() << "attribute block is " << block << ", not 1 or " << kBlock);
  }
  if (Failure failure = Window::Read(attributes)) return failure;
  if (channels < 1 || channels >= kMaxPlaces || row_places() >= kMaxPlaces) {
    return attributes.Fail(Message() << "attribute channels is " << channels << ", not a number of input channels");
  }
  return nullptr;
}

namespace {

Failure CheckRows(const Context& context, const Weight& weight) {
  if (weight.rows[0] != 0) return context.Fail(Message() << "rows[0] is " << int64_t{weight.rows[0]} << ", not 0");
  for (int64_t o = 0; o < weight.channels; ++o) {
    if (weight.rows[o + 1] < weight.rows[o]) {
      return context.Fail(Message() << "rows[" << o + 1 << "] is " << int64_t{weight.rows[o + 1]} << ", less than rows["
                                    << o << "]");
    }
  }
  if (weight.live() <= weight.stored) return nullptr;
  return context.Fail(Message() << "rows ends with " << int64_t{weight.live()} << " places, but only " << weight.stored
                                << " are stored");
}

}  // namespace

Failure ReadWeight(const Context& context, const ConvShape& shape, const Tensor* values, size_t first, Weight& weight) {
  Tensor index, rows;
  if (Failure failure = context.Input(first, "index", 1, index)) return failure;
  if (Failure failure = context.Input(first + 1, "rows", 1, rows)) return failure;
  if (values != nullptr && values->size != index.size) {
    return context.Fail(Message() << "values has " << values->size << " places and index " << index.size);
  }
  if (rows.size < 2) return context.Fail(Message() << "rows has " << rows.size << " numbers, not one more than there are output channels");
  weight.values = values == nullptr ? nullptr : values->floats();
  weight.index = index.ints();
  weight.rows = rows.ints();
  weight.stored = index.size;
  weight.channels = rows.size - 1;
  if (weight.channels > (kMaxPlaces - 1) / shape.row_places()) {
    return context.Fail(Message() << "a weight of " << weight.channels << " * " << shape.row_places()
                                  << " places is too large for an int32 index");
  }
  return CheckRows(context, weight);
}

Failure CheckChannels(const Context& context, const ConvShape& shape, const Tensor& x) {
  if (x.shape[0] == shape.channels) return nullptr;
  return context.Fail(Message() << "x has " << x.shape[0] << " channels, the attribute channels says " << shape.channels);
}

Failure ReadNormalisation(const Context& context, const ConvShape& shape, size_t first, Normalisation& normalisation) {
  Tensor factor, offset;
  if (Failure failure = context.OptionalInput(first, "factor", 1, factor)) return failure;
  if (Failure failure = context.OptionalInput(first + 1, "offset", 1, offset)) return failure;
  if (!factor && !offset && shape.relu == 0) return nullptr;
  if (factor.size != shape.channels || offset.size != shape.channels) {
    return context.Fail(Message() << "factor and offset have " << factor.size << " and " << offset.size << " numbers for "
                                  << shape.channels << " input channels");
  }
  normalisation = {factor.floats(), offset.floats(), shape.relu != 0};
  return nullptr;
}

Failure CheckGradient(const Context& context, const ConvShape& shape, const Weight& weight, const Tensor& dy,
                      int64_t height, int64_t width) {
  const int64_t rows = shape.height.OutputSize(height), cols = shape.width.OutputSize(width);
  if (height < 1 || width < 1 || rows < 1 || cols < 1) {
    return context.Fail(Message() << "the kernel is larger than the padded input of " << height << " * " << width);
  }
  if (dy.shape[0] == weight.channels && dy.shape[1] == rows && dy.shape[2] == cols) return nullptr;
  return context.Fail(Message() << "dy is " << dy << ", not [" << weight.channels << ", " << rows << ", " << cols
                                << ", batch]");
}

}  // namespace sparcl
