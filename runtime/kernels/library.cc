// What ONNX Runtime calls when it loads the library: registers the ops in the domain `sparcl`.
#include "abi/op.h"
#include "ops/batch_norm_apply.h"
#include "ops/batch_norm_grad.h"
#include "ops/batch_norm_training.h"
#include "ops/max_pool_batch_last.h"
#include "ops/max_pool_batch_last_grad.h"
#include "ops/sparse_conv.h"
#include "ops/sparse_conv_input_grad.h"
#include "ops/sparse_conv_weight_grad.h"

namespace sparcl {
namespace {

// ONNX Runtime keeps the pointers as long as any session lives.
template <class Op>
const ort::CustomOp* Registered() {
  static constexpr Registration<Op> kRegistration;
  return &kRegistration;
}

Failure Register(ort::SessionOptions* options, const ort::Api& api) {
  ort::Domain* domain = nullptr;
  if (Failure failure = api.At<Failure(const char*, ort::Domain**)>(ort::kCreateCustomOpDomain)("sparcl", &domain)) {
    return failure;
  }
  const ort::CustomOp* const ops[] = {
      Registered<SparseConv>(),
      Registered<SparseConvInputGrad>(),
      Registered<SparseConvWeightGrad>(),
      Registered<BatchNormTraining>(),
      Registered<BatchNormApply>(),
      Registered<BatchNormGrad>(),
      Registered<MaxPoolBatchLast>(),
      Registered<MaxPoolBatchLastGrad>(),
  };
  for (const ort::CustomOp* op : ops) {
    auto add = api.At<Failure(ort::Domain*, const ort::CustomOp*)>(ort::kCustomOpDomainAdd);
    if (Failure failure = add(domain, op)) return failure;
  }
  return api.At<Failure(ort::SessionOptions*, ort::Domain*)>(ort::kAddCustomOpDomain)(options, domain);
}

}  // namespace
}  // namespace sparcl

extern "C" __attribute__((visibility("default"))) sparcl::Failure RegisterCustomOps(
    sparcl::ort::SessionOptions* options, const sparcl::ort::ApiBase* base) {
  const sparcl::ort::Api* api = base->GetApi(sparcl::ort::kApiVersion);
  if (api != nullptr) return sparcl::Register(options, *api);
  // Older than 1.17, whose table ends before the slot that the kernels need; CreateStatus is in every version's.
  const sparcl::ort::Api* first = base->GetApi(1);
  auto create = first->At<sparcl::Failure(sparcl::ort::ErrorCode, const char*)>(sparcl::ort::kCreateStatus);
  return create(sparcl::ort::kFail, "the sparcl kernels need ONNX Runtime 1.17 or newer");
}
