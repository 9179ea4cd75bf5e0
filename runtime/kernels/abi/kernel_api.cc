#include "abi/kernel_api.h"

namespace sparcl {

using namespace ort;

Message& operator<<(Message& message, const Tensor& tensor) {
  message << "[";
  for (int axis = 0; axis < tensor.rank; ++axis) message << (axis == 0 ? "" : ", ") << tensor.shape[axis];
  return message << "]";
}

namespace {

Failure MakeStatus(const Api& api, const char* op, const Message& message) {
  const Message whole = Message() << op << ": " << message.text();
  return api.At<Status*(ErrorCode, const char*)>(kCreateStatus)(kInvalidArgument, whole.text());
}

}  // namespace

Failure Attributes::Fail(const Message& message) const { return MakeStatus(api_, op_, message); }

bool Attributes::Absent(Failure failure) const {
  if (failure == nullptr) return false;
  api_.At<void(Status*)>(kReleaseStatus)(failure);
  return true;
}

void Attributes::Get(const char* name, float& value) const {
  float found = 0;
  auto get = api_.At<Status*(const KernelInfo*, const char*, float*)>(kKernelInfoGetAttributeFloat);
  if (!Absent(get(info_, name, &found))) value = found;
}

void Attributes::Get(const char* name, int64_t& value) const {
  int64_t found = 0;
  auto get = api_.At<Status*(const KernelInfo*, const char*, int64_t*)>(kKernelInfoGetAttributeInt64);
  if (!Absent(get(info_, name, &found))) value = found;
}

Failure Attributes::Get(const char* name, int64_t* values, size_t count) const {
  auto get = api_.At<Status*(const KernelInfo*, const char*, int64_t*, size_t*)>(kKernelInfoGetAttributeArrayInt64);
  size_t found = 0;
  if (Absent(get(info_, name, nullptr, &found)) || found == 0) return nullptr;
  if (found != count) {
    return Fail(Message() << "attribute " << name << " has " << static_cast<int64_t>(found) << " numbers, not "
                          << static_cast<int64_t>(count));
  }
  return get(info_, name, values, &found);
}

Failure Context::Fail(const Message& message) const { return MakeStatus(api_, op_, message); }

Failure Context::Read(const Value* value, const char* name, int rank, Tensor& tensor) const {
  ShapeInfo* info = nullptr;
  if (Failure failure = api_.At<Status*(const Value*, ShapeInfo**)>(kGetTensorTypeAndShape)(value, &info)) return failure;
  size_t found = 0;
  Failure failure = api_.At<Status*(const ShapeInfo*, size_t*)>(kGetDimensionsCount)(info, &found);
  const bool fits = failure == nullptr && found == static_cast<size_t>(rank);
  if (fits) failure = api_.At<Status*(const ShapeInfo*, int64_t*, size_t)>(kGetDimensions)(info, tensor.shape, found);
  api_.At<void(ShapeInfo*)>(kReleaseTensorTypeAndShapeInfo)(info);
  if (failure != nullptr) return failure;
  if (!fits) {
    return Fail(Message() << name << " has " << static_cast<int64_t>(found) << " axes, not " << int64_t{rank});
  }
  tensor.rank = rank;
  tensor.size = 1;
  for (int axis = 0; axis < rank; ++axis) tensor.size *= tensor.shape[axis];
  return api_.At<Status*(Value*, void**)>(kGetTensorMutableData)(const_cast<Value*>(value), &tensor.data);
}

Failure Context::OptionalInput(size_t index, const char* name, int rank, Tensor& tensor) const {
  size_t count = 0;
  if (Failure failure =
          api_.At<Status*(const KernelContext*, size_t*)>(kKernelContextGetInputCount)(context_, &count)) {
    return failure;
  }
  if (index >= count) return nullptr;
  const Value* value = nullptr;
  auto get = api_.At<Status*(const KernelContext*, size_t, const Value**)>(kKernelContextGetInput);
  if (Failure failure = get(context_, index, &value)) return failure;
  return value == nullptr ? nullptr : Read(value, name, rank, tensor);
}

Failure Context::Input(size_t index, const char* name, int rank, Tensor& tensor) const {
  if (Failure failure = OptionalInput(index, name, rank, tensor)) return failure;
  return tensor ? nullptr : Fail(Message() << "input " << name << " is missing");
}

Failure Context::OptionalStoredInput(size_t index, size_t half, const char* name, int rank, Tensor& tensor) const {
  Tensor stored;
  if (Failure failure = OptionalInput(index, name, rank, tensor)) return failure;
  if (Failure failure = OptionalInput(half, name, rank, stored)) return failure;
  if (!stored) return nullptr;
  if (tensor) return Fail(Message() << "input " << name << " is there twice, as float32 and as bfloat16");
  tensor = stored;
  tensor.half = true;
  return nullptr;
}

Failure Context::StoredInput(size_t index, size_t half, const char* name, int rank, Tensor& tensor) const {
  if (Failure failure = OptionalStoredInput(index, half, name, rank, tensor)) return failure;
  return tensor ? nullptr : Fail(Message() << "input " << name << " is missing");
}

Failure Context::Output(size_t index, const int64_t* shape, int rank, Tensor& tensor) const {
  size_t count = 0;
  if (Failure failure =
          api_.At<Status*(const KernelContext*, size_t*)>(kKernelContextGetOutputCount)(context_, &count)) {
    return failure;
  }
  if (index >= count) return nullptr;
  Value* value = nullptr;
  auto get = api_.At<Status*(KernelContext*, size_t, const int64_t*, size_t, Value**)>(kKernelContextGetOutput);
  if (Failure failure = get(context_, index, shape, rank, &value)) return failure;
  if (value == nullptr) return nullptr;
  // ONNX Runtime has refused by now what does not fit.
  tensor.rank = rank;
  tensor.size = 1;
  for (int axis = 0; axis < rank; ++axis) tensor.size *= tensor.shape[axis] = shape[axis];
  return api_.At<Status*(Value*, void**)>(kGetTensorMutableData)(value, &tensor.data);
}

Failure Context::ParallelFor(void (*call)(void*, size_t), size_t count, void* data) const {
  auto run = api_.At<Status*(const KernelContext*, void (*)(void*, size_t), size_t, size_t, void*)>(
      kKernelContextParallelFor);
  // 0 batches: a thread takes the next index when it is done with one, so uneven tasks balance.
  return count == 0 ? nullptr : run(context_, call, count, 0, data);
}

}  // namespace sparcl
