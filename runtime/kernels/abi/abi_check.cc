// Compares ort_abi.h with ONNX Runtime's official header, at compile time only. Built when ORT_INCLUDE_DIR is given.
#include "abi/ort_abi.h"

#include <onnxruntime_c_api.h>

namespace sparcl::ort {

#define SPARCL_SAME_SLOT(ours, official) \
  static_assert(ours * sizeof(void*) == offsetof(::OrtApi, official), "the slot of " #official " in OrtApi")

SPARCL_SAME_SLOT(kCreateStatus, CreateStatus);
SPARCL_SAME_SLOT(kCreateCustomOpDomain, CreateCustomOpDomain);
SPARCL_SAME_SLOT(kCustomOpDomainAdd, CustomOpDomain_Add);
SPARCL_SAME_SLOT(kAddCustomOpDomain, AddCustomOpDomain);
SPARCL_SAME_SLOT(kGetTensorMutableData, GetTensorMutableData);
SPARCL_SAME_SLOT(kGetTensorElementType, GetTensorElementType);
SPARCL_SAME_SLOT(kGetDimensionsCount, GetDimensionsCount);
SPARCL_SAME_SLOT(kGetDimensions, GetDimensions);
SPARCL_SAME_SLOT(kGetTensorTypeAndShape, GetTensorTypeAndShape);
SPARCL_SAME_SLOT(kAllocatorAlloc, AllocatorAlloc);
SPARCL_SAME_SLOT(kAllocatorFree, AllocatorFree);
SPARCL_SAME_SLOT(kGetAllocatorWithDefaultOptions, GetAllocatorWithDefaultOptions);
SPARCL_SAME_SLOT(kKernelInfoGetAttributeFloat, KernelInfoGetAttribute_float);
SPARCL_SAME_SLOT(kKernelInfoGetAttributeInt64, KernelInfoGetAttribute_int64);
SPARCL_SAME_SLOT(kKernelContextGetInputCount, KernelContext_GetInputCount);
SPARCL_SAME_SLOT(kKernelContextGetOutputCount, KernelContext_GetOutputCount);
SPARCL_SAME_SLOT(kKernelContextGetInput, KernelContext_GetInput);
SPARCL_SAME_SLOT(kKernelContextGetOutput, KernelContext_GetOutput);
SPARCL_SAME_SLOT(kReleaseStatus, ReleaseStatus);
SPARCL_SAME_SLOT(kReleaseTensorTypeAndShapeInfo, ReleaseTensorTypeAndShapeInfo);
SPARCL_SAME_SLOT(kKernelInfoGetAttributeArrayInt64, KernelInfoGetAttributeArray_int64);

#define SPARCL_SAME_FIELD(name) \
  static_assert(offsetof(CustomOp, name) == offsetof(::OrtCustomOp, name), "the place of OrtCustomOp::" #name)

SPARCL_SAME_FIELD(version);
SPARCL_SAME_FIELD(CreateKernel);
SPARCL_SAME_FIELD(GetName);
SPARCL_SAME_FIELD(GetExecutionProviderType);
SPARCL_SAME_FIELD(GetInputType);
SPARCL_SAME_FIELD(GetInputTypeCount);
SPARCL_SAME_FIELD(GetOutputType);
SPARCL_SAME_FIELD(GetOutputTypeCount);
SPARCL_SAME_FIELD(KernelDestroy);
SPARCL_SAME_FIELD(GetInputCharacteristic);
SPARCL_SAME_FIELD(GetOutputCharacteristic);

// What older headers do not have yet is checked against those that do.
#if ORT_API_VERSION >= 17
SPARCL_SAME_SLOT(kKernelContextParallelFor, KernelContext_ParallelFor);
SPARCL_SAME_FIELD(GetInputMemoryType);
SPARCL_SAME_FIELD(GetVariadicInputMinArity);
SPARCL_SAME_FIELD(GetVariadicOutputHomogeneity);
SPARCL_SAME_FIELD(CreateKernelV2);
SPARCL_SAME_FIELD(KernelComputeV2);
#endif

static_assert(int{kFloat} == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT && int{kInt32} == ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32);
static_assert(int{kFail} == ORT_FAIL && int{kInvalidArgument} == ORT_INVALID_ARGUMENT);
static_assert(int{kRequired} == INPUT_OUTPUT_REQUIRED && int{kOptional} == INPUT_OUTPUT_OPTIONAL);
static_assert(int{kDefaultMemory} == OrtMemTypeDefault);

}  // namespace sparcl::ort
