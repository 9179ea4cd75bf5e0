// What an op sees of ONNX Runtime: its attributes when it is created, its tensors and threads when it runs.
#pragma once

#include "abi/message.h"
#include "abi/ort_abi.h"
#include "numbers.h"

namespace sparcl {

constexpr int kMaxRank = 4;

// A tensor of the graph. `data` is null for an optional input or output that is not connected.
struct Tensor {
  void* data = nullptr;
  int rank = 0;
  int64_t shape[kMaxRank] = {};
  int64_t size = 0;
  bool half = false;  // bfloat16 in place of float32

  explicit operator bool() const { return data != nullptr || rank != 0; }
  float* floats() const { return static_cast<float*>(data); }
  int32_t* ints() const { return static_cast<int32_t*>(data); }
  uint16_t* halves() const { return static_cast<uint16_t*>(data); }
  Numbers numbers() const { return half ? Numbers{nullptr, halves()} : Numbers{floats(), nullptr}; }
};

// Writes "[2, 3]".
Message& operator<<(Message& message, const Tensor& tensor);

// Functions return null when all is well and ONNX Runtime's status otherwise; the caller hands the status on.
using Failure = ort::Status*;

class Attributes {
 public:
  Attributes(const ort::Api& api, const ort::KernelInfo* info, const char* op) : api_(api), info_(info), op_(op) {}

  // Fails with the op's name before the message.
  Failure Fail(const Message& message) const;
  // An absent attribute leaves `value` as it is.
  void Get(const char* name, float& value) const;
  void Get(const char* name, int64_t& value) const;
  // `count` integers; anything else than absent or `count` integers fails. An absent one leaves `values`.
  Failure Get(const char* name, int64_t* values, size_t count) const;

 private:
  bool Absent(Failure failure) const;

  const ort::Api& api_;
  const ort::KernelInfo* info_;
  const char* op_;
};

class Context {
 public:
  Context(const ort::Api& api, ort::KernelContext* context, const char* op) : api_(api), context_(context), op_(op) {}

  const ort::Api& api() const { return api_; }

  // Fails with the op's name before the message; ONNX Runtime adds the node's name.
  Failure Fail(const Message& message) const;

  Failure Input(size_t index, const char* name, int rank, Tensor& tensor) const;
  Failure OptionalInput(size_t index, const char* name, int rank, Tensor& tensor) const;
  // One tensor that comes as the float32 input `index` or as the bfloat16 input `half`.
  Failure StoredInput(size_t index, size_t half, const char* name, int rank, Tensor& tensor) const;
  Failure OptionalStoredInput(size_t index, size_t half, const char* name, int rank, Tensor& tensor) const;
  // Allocates the output. `tensor.data` stays null when nothing reads it.
  Failure Output(size_t index, const int64_t* shape, int rank, Tensor& tensor) const;

  // Calls body(0) ... body(count - 1) on the session's threads.
  template <class Body>
  Failure Parallel(size_t count, const Body& body) const {
    if (count == 1) {
      body(0);
      return nullptr;
    }
    auto call = [](void* data, size_t index) { (*static_cast<const Body*>(data))(index); };
    return ParallelFor(call, count, const_cast<Body*>(&body));
  }

 private:
  Failure ParallelFor(void (*call)(void*, size_t), size_t count, void* data) const;
  Failure Read(const ort::Value* value, const char* name, int rank, Tensor& tensor) const;

  const ort::Api& api_;
  ort::KernelContext* context_;
  const char* op_;
};

}  // namespace sparcl
