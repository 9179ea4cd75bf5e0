// Makes an OrtCustomOp of a struct that describes one op.
//
// Such a struct has kName, kInputs and kOutputs (arrays of Port), `Failure Read(const Attributes&)`, which fills its own
// fields, and `Failure Run(const Context&) const`. It must be trivially destructible: ONNX Runtime's allocator holds it.
#pragma once

#include <new>
#include <type_traits>

#include "abi/kernel_api.h"

namespace sparcl {

struct Port {
  ort::ElementType type;
  ort::Characteristic characteristic = ort::kRequired;
};

template <class Op>
class Registration : public ort::CustomOp {
  struct Instance {
    const ort::Api* api;
    ort::Allocator* allocator;
    Op op;
  };
  static_assert(std::is_trivially_destructible_v<Op>);

 public:
  constexpr Registration() : CustomOp{} {
    version = ort::kCustomOpVersion;
    GetName = [](const CustomOp*) { return Op::kName; };
    // Null is the CPU.
    GetExecutionProviderType = [](const CustomOp*) -> const char* { return nullptr; };
    GetInputTypeCount = [](const CustomOp*) { return sizeof(Op::kInputs) / sizeof(Port); };
    GetInputType = [](const CustomOp*, size_t index) { return Op::kInputs[index].type; };
    GetInputCharacteristic = [](const CustomOp*, size_t index) { return Op::kInputs[index].characteristic; };
    GetOutputTypeCount = [](const CustomOp*) { return sizeof(Op::kOutputs) / sizeof(Port); };
    GetOutputType = [](const CustomOp*, size_t index) { return Op::kOutputs[index].type; };
    GetOutputCharacteristic = [](const CustomOp*, size_t index) { return Op::kOutputs[index].characteristic; };
    GetInputMemoryType = [](const CustomOp*, size_t) { return ort::kDefaultMemory; };
    GetVariadicInputMinArity = GetVariadicOutputMinArity = [](const CustomOp*) { return 1; };
    GetVariadicInputHomogeneity = GetVariadicOutputHomogeneity = [](const CustomOp*) { return 0; };
    CreateKernelV2 = Create;
    KernelComputeV2 = Compute;
    KernelDestroy = Destroy;
  }

 private:
  static Failure Create(const CustomOp*, const ort::Api* api, const ort::KernelInfo* info, void** kernel) {
    Op op;
    if (Failure failure = op.Read(Attributes(*api, info, Op::kName))) return failure;
    ort::Allocator* allocator = nullptr;
    auto get = api->At<ort::Status*(ort::Allocator**)>(ort::kGetAllocatorWithDefaultOptions);
    if (Failure failure = get(&allocator)) return failure;
    auto allocate = api->At<ort::Status*(ort::Allocator*, size_t, void**)>(ort::kAllocatorAlloc);
    if (Failure failure = allocate(allocator, sizeof(Instance), kernel)) return failure;
    new (*kernel) Instance{api, allocator, op};
    return nullptr;
  }

  static Failure Compute(void* kernel, ort::KernelContext* context) {
    const Instance& instance = *static_cast<Instance*>(kernel);
    return instance.op.Run(Context(*instance.api, context, Op::kName));
  }

  static void Destroy(void* kernel) {
    Instance* instance = static_cast<Instance*>(kernel);
    const ort::Api& api = *instance->api;
    auto free = api.At<ort::Status*(ort::Allocator*, void*)>(ort::kAllocatorFree);
    free(instance->allocator, instance);
  }
};

}  // namespace sparcl
