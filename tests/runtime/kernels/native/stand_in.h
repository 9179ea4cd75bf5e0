// A stand-in for ONNX Runtime that runs one op of the library: for tools that cannot look into ONNX Runtime itself.
//
// Its threads are the standard library's, which the thread sanitizer follows; and a program without Python is small enough
// for an emulator that counts instructions.
#pragma once

#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "abi/ort_abi.h"

namespace stand_in {

using namespace sparcl::ort;

struct Array {
  std::vector<int64_t> shape;
  std::vector<float> floats;
  std::vector<int32_t> ints;

  static int64_t Size(const std::vector<int64_t>& shape) {
    int64_t size = 1;
    for (int64_t axis : shape) size *= axis;
    return size;
  }
};

struct Attributes {
  std::map<std::string, std::vector<int64_t>> integers;
  std::map<std::string, float> floats;
};

struct Call {
  std::vector<const Array*> inputs;  // null: not connected
  std::vector<Array> outputs;
  int threads;
};

template <class Out, class In>
Out* As(In* from) {
  return reinterpret_cast<Out*>(const_cast<std::remove_const_t<In>*>(from));
}

// A status is a text, and no status is null.
inline Status* Fail(const char* text) { return As<Status>(strdup(text)); }

inline Status* ParallelFor(const KernelContext* context, void (*body)(void*, size_t), size_t total, size_t, void* data) {
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t i = next++; i < total; i = next++) body(data, i);
  };
  std::vector<std::thread> others;
  for (int i = 1; i < As<const Call>(context)->threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  return nullptr;
}

inline Status* MakeOutput(KernelContext* context, size_t index, const int64_t* shape, size_t rank, Value** value) {
  Array& made = As<Call>(context)->outputs[index];
  made.shape.assign(shape, shape + rank);
  made.floats.assign(static_cast<size_t>(Array::Size(made.shape)), -1.0f);
  *value = As<Value>(&made);
  return nullptr;
}

inline std::vector<const CustomOp*>& Ops() {
  static std::vector<const CustomOp*> ops;
  return ops;
}

template <class Function>
void Set(Api& api, Slot slot, Function* function) {
  api.slot[slot] = reinterpret_cast<void (*)()>(function);
}

inline const Api* MakeApi() {
  static Api api{};
  Set<Status*(ErrorCode, const char*)>(api, kCreateStatus, [](ErrorCode, const char* text) { return Fail(text); });
  Set<void(Status*)>(api, kReleaseStatus, [](Status* status) { std::free(status); });
  Set<Status*(const char*, Domain**)>(api, kCreateCustomOpDomain, [](const char*, Domain** domain) -> Status* {
    *domain = nullptr;
    return nullptr;
  });
  Set<Status*(Domain*, const CustomOp*)>(api, kCustomOpDomainAdd, [](Domain*, const CustomOp* op) -> Status* {
    Ops().push_back(op);
    return nullptr;
  });
  Set<Status*(SessionOptions*, Domain*)>(api, kAddCustomOpDomain, [](SessionOptions*, Domain*) -> Status* { return nullptr; });
  Set<Status*(Value*, void**)>(api, kGetTensorMutableData, [](Value* value, void** data) -> Status* {
    Array* array = As<Array>(value);
    *data = array->ints.empty() ? static_cast<void*>(array->floats.data()) : array->ints.data();
    return nullptr;
  });
  Set<Status*(const Value*, ShapeInfo**)>(api, kGetTensorTypeAndShape, [](const Value* value, ShapeInfo** info) -> Status* {
    *info = As<ShapeInfo>(value);
    return nullptr;
  });
  Set<void(ShapeInfo*)>(api, kReleaseTensorTypeAndShapeInfo, [](ShapeInfo*) {});
  Set<Status*(const ShapeInfo*, size_t*)>(api, kGetDimensionsCount, [](const ShapeInfo* info, size_t* count) -> Status* {
    *count = As<const Array>(info)->shape.size();
    return nullptr;
  });
  Set<Status*(const ShapeInfo*, int64_t*, size_t)>(
      api, kGetDimensions, [](const ShapeInfo* info, int64_t* shape, size_t count) -> Status* {
        std::memcpy(shape, As<const Array>(info)->shape.data(), count * sizeof(int64_t));
        return nullptr;
      });
  Set<Status*(Allocator**)>(api, kGetAllocatorWithDefaultOptions, [](Allocator** allocator) -> Status* {
    *allocator = nullptr;
    return nullptr;
  });
  Set<Status*(Allocator*, size_t, void**)>(api, kAllocatorAlloc, [](Allocator*, size_t bytes, void** memory) -> Status* {
    *memory = std::malloc(bytes);
    return nullptr;
  });
  Set<Status*(Allocator*, void*)>(api, kAllocatorFree, [](Allocator*, void* memory) -> Status* {
    std::free(memory);
    return nullptr;
  });
  Set<Status*(const KernelInfo*, const char*, float*)>(
      api, kKernelInfoGetAttributeFloat, [](const KernelInfo* info, const char* name, float* value) -> Status* {
        const auto& floats = As<const Attributes>(info)->floats;
        if (floats.count(name) == 0) return Fail("absent");
        *value = floats.at(name);
        return nullptr;
      });
  Set<Status*(const KernelInfo*, const char*, int64_t*)>(
      api, kKernelInfoGetAttributeInt64, [](const KernelInfo* info, const char* name, int64_t* value) -> Status* {
        const auto& integers = As<const Attributes>(info)->integers;
        if (integers.count(name) == 0) return Fail("absent");
        *value = integers.at(name)[0];
        return nullptr;
      });
  Set<Status*(const KernelInfo*, const char*, int64_t*, size_t*)>(
      api, kKernelInfoGetAttributeArrayInt64,
      [](const KernelInfo* info, const char* name, int64_t* values, size_t* count) -> Status* {
        const auto& integers = As<const Attributes>(info)->integers;
        if (integers.count(name) == 0) return Fail("absent");
        const std::vector<int64_t>& found = integers.at(name);
        *count = found.size();
        if (values != nullptr) std::memcpy(values, found.data(), found.size() * sizeof(int64_t));
        return nullptr;
      });
  Set<Status*(const KernelContext*, size_t*)>(api, kKernelContextGetInputCount,
                                              [](const KernelContext* context, size_t* count) -> Status* {
                                                *count = As<const Call>(context)->inputs.size();
                                                return nullptr;
                                              });
  Set<Status*(const KernelContext*, size_t*)>(api, kKernelContextGetOutputCount,
                                              [](const KernelContext* context, size_t* count) -> Status* {
                                                *count = As<const Call>(context)->outputs.size();
                                                return nullptr;
                                              });
  Set<Status*(const KernelContext*, size_t, const Value**)>(
      api, kKernelContextGetInput, [](const KernelContext* context, size_t index, const Value** value) -> Status* {
        *value = As<const Value>(As<const Call>(context)->inputs[index]);
        return nullptr;
      });
  Set(api, kKernelContextGetOutput, MakeOutput);
  Set(api, kKernelContextParallelFor, ParallelFor);
  return &api;
}

inline void Check(Status* status) {
  if (status == nullptr) return;
  std::fprintf(stderr, "%s\n", As<const char>(status));
  std::exit(1);
}

// Loads the library and remembers its ops; ends the program where it cannot.
inline void Load(const char* path) {
  void* library = dlopen(path, RTLD_NOW);
  if (library == nullptr) Check(Fail(dlerror()));
  static const ApiBase base = {[](uint32_t) { return MakeApi(); }, [] { return "1.17.0"; }};
  using Register = Status*(SessionOptions*, const ApiBase*);
  Check(reinterpret_cast<Register*>(dlsym(library, "RegisterCustomOps"))(nullptr, &base));
}

// Makes the library take the caches for so large, in bytes.
inline void UseCaches(const char* path, int64_t first, int64_t second) {
  void* library = dlopen(path, RTLD_NOW);
  reinterpret_cast<void (*)(int64_t, int64_t)>(dlsym(library, "SparclUseCaches"))(first, second);
}

// Runs an op. Ends the program with the op's message where it refuses.
inline std::vector<Array> Run(const std::string& name, std::vector<const Array*> inputs, const Attributes& attributes,
                              size_t outputs, int threads, int repeats = 1) {
  for (const CustomOp* op : Ops()) {
    if (name != op->GetName(op)) continue;
    void* kernel = nullptr;
    Check(op->CreateKernelV2(op, MakeApi(), As<const KernelInfo>(&attributes), &kernel));
    Call call = {std::move(inputs), std::vector<Array>(outputs), threads};
    for (int i = 0; i < repeats; ++i) Check(op->KernelComputeV2(kernel, As<KernelContext>(&call)));
    op->KernelDestroy(kernel);
    return std::move(call.outputs);
  }
  Check(Fail(("no op " + name).c_str()));
  return {};
}

}  // namespace stand_in
