// Replays a tape (tests/parity/tape.py) with a library of ONNX Runtime that it loads by name:
//
//   replay LIBONNXRUNTIME.so FOLDER RESULTS STEPS [KERNELS.so]
//
// FOLDER has tape.tsv and tape.bin; results.tsv and results.bin go into the folder RESULTS. It ends after so many steps, and with STEPS 0
// only at the tape's end. One thread. Built against the headers of the Android package, for glibc.
#define ORT_API_MANUAL_INIT
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "onnxruntime_cxx_api.h"

namespace {

using Parts = std::vector<std::string>;

struct Type {
  const char* name;
  ONNXTensorElementDataType code;
  size_t bytes;
};

constexpr Type kTypes[] = {
    {"float32", ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4}, {"float64", ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, 8},
    {"int32", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, 4},   {"int64", ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, 8},
    {"uint8", ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, 1},   {"bool", ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, 1},
};

template <class Matches>
const Type& Find(Matches matches) {
  for (const Type& type : kTypes) {
    if (matches(type)) return type;
  }
  throw std::runtime_error("a dtype that no tape has");
}

Parts Split(const std::string& line, char at) {
  Parts parts;
  std::istringstream stream(line);
  for (std::string part; std::getline(stream, part, at);) parts.push_back(part);
  return parts;
}

// bionic keeps a thread's stack canary at a fixed place behind the thread pointer, which glibc gives to the program's own thread-local
// data: without these bytes that would be overwritten (arm64).
thread_local volatile char canary_place[256] = {1};

constexpr size_t kAligned = 64;

class Tape {
 public:
  Tape(const std::string& folder, const std::string& results, const char* kernels) : lines_(folder + "/tape.tsv") {
    if (!lines_) throw std::runtime_error(folder + "/tape.tsv: cannot be read");
    ReadBytes(folder + "/tape.bin");
    options_.SetIntraOpNumThreads(1);
    with_kernels_ = options_.Clone();
    if (kernels != nullptr) with_kernels_.RegisterCustomOpsLibrary(kernels);
    results_.open(results + "/results.tsv");
    result_bytes_.open(results + "/results.bin", std::ios::binary);
  }

  void Replay(int64_t steps) {
    int64_t done = 0;
    for (std::string line; std::getline(lines_, line);) {
      const Parts parts = Split(line, '\t');
      if (parts[0] == "mark" && ++done == steps) return;
      Do(parts);
    }
  }

 private:
  void Do(const Parts& parts) {
    const std::string& what = parts[0];
    if (what == "graph") Open(parts);
    if (what == "value") values_[parts[1]] = Value(parts);
    if (what == "join") values_[parts[1]] = Join(parts);
    if (what == "run") Begin(parts[1]);
    if (what == "in") inputs_.emplace_back(parts[1], parts[2]);
    if (what == "out") outputs_.emplace_back(parts[1], parts[2]);
    if (what == "end") Run();
    if (what == "write") Write(parts[1]);
  }

  void ReadBytes(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    file.seekg(0, std::ios::end);
    const size_t length = static_cast<size_t>(file.tellg());
    // aligned_alloc wants a multiple, and a tape without values one byte.
    bytes_.reset(static_cast<char*>(std::aligned_alloc(kAligned, (length / kAligned + 1) * kAligned)));
    file.seekg(0);
    file.read(bytes_.get(), static_cast<std::streamsize>(length));
  }

  void Open(const Parts& parts) {
    const bool kernels = parts[3] == "1";
    sessions_.emplace(parts[1], Ort::Session(env_, parts[2].c_str(), kernels ? with_kernels_ : options_));
  }

  Ort::Value Value(const Parts& parts) {
    std::vector<int64_t> shape;
    for (const std::string& length : Split(parts[3], ',')) shape.push_back(std::stoll(length));
    const Type& type = Find([&](const Type& one) { return parts[2] == one.name; });
    char* at = bytes_.get() + std::stoull(parts[4]);
    return Ort::Value::CreateTensor(memory_, at, std::stoull(parts[5]), shape.data(), shape.size(), type.code);
  }

  Ort::Value Join(const Parts& parts) {
    const int64_t length = static_cast<int64_t>(parts.size()) - 2;
    const auto code = values_.at(parts[2]).GetTensorTypeAndShapeInfo().GetElementType();
    const Type& type = Find([&](const Type& one) { return code == one.code; });
    Ort::AllocatorWithDefaultOptions allocator;
    Ort::Value joined = Ort::Value::CreateTensor(allocator, &length, 1, code);
    char* at = static_cast<char*>(joined.GetTensorMutableRawData());
    for (size_t place = 2; place < parts.size(); ++place, at += type.bytes) {
      std::memcpy(at, values_.at(parts[place]).GetTensorRawData(), type.bytes);
    }
    return joined;
  }

  void Begin(const std::string& graph) {
    graph_ = graph;
    inputs_.clear();
    outputs_.clear();
  }

  void Run() {
    std::vector<const char*> in, out;
    std::vector<const OrtValue*> given;
    std::vector<OrtValue*> found(outputs_.size(), nullptr);
    for (const auto& [name, value] : inputs_) {
      in.push_back(name.c_str());
      given.push_back(values_.at(value));
    }
    for (const auto& [name, value] : outputs_) out.push_back(name.c_str());
    OrtSession* session = sessions_.at(graph_);
    Ort::ThrowOnError(Ort::GetApi().Run(session, nullptr, in.data(), given.data(), in.size(), out.data(), out.size(), found.data()));
    for (size_t place = 0; place < outputs_.size(); ++place) values_[outputs_[place].second] = Ort::Value(found[place]);
  }

  void Write(const std::string& name) {
    const Ort::Value& value = values_.at(name);
    const auto info = value.GetTensorTypeAndShapeInfo();
    const Type& type = Find([&](const Type& one) { return info.GetElementType() == one.code; });
    const size_t length = info.GetElementCount() * type.bytes;
    std::string shape;
    for (const int64_t one : info.GetShape()) shape += (shape.empty() ? "" : ",") + std::to_string(one);
    results_ << "value\t" << name << '\t' << type.name << '\t' << shape << '\t' << written_ << '\t' << length << '\n';
    result_bytes_.write(static_cast<const char*>(value.GetTensorRawData()), static_cast<std::streamsize>(length));
    written_ += length;
  }

  struct Free {
    void operator()(char* at) const { std::free(at); }
  };

  std::ifstream lines_;
  std::unique_ptr<char, Free> bytes_;
  Ort::Env env_{ORT_LOGGING_LEVEL_ERROR, "replay"};
  Ort::SessionOptions options_;
  Ort::SessionOptions with_kernels_{nullptr};
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  std::map<std::string, Ort::Session> sessions_;
  std::map<std::string, Ort::Value> values_;
  std::string graph_;
  std::vector<std::pair<std::string, std::string>> inputs_, outputs_;
  std::ofstream results_, result_bytes_;
  size_t written_ = 0;
};

const OrtApiBase& Load(const char* library) {
  void* const handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) throw std::runtime_error(dlerror());
  const auto base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(handle, "OrtGetApiBase"));
  if (base == nullptr) throw std::runtime_error(std::string(library) + ": is no ONNX Runtime");
  return *base();
}

}  // namespace

int main(int count, char** arguments) try {
  canary_place[0] = 1;
  if (count < 5) throw std::runtime_error("usage: replay LIBONNXRUNTIME.so FOLDER RESULTS STEPS [KERNELS.so]");
  const OrtApiBase& base = Load(arguments[1]);
  Ort::InitApi(base.GetApi(ORT_API_VERSION));
  Tape(arguments[2], arguments[3], count > 5 ? arguments[5] : nullptr).Replay(std::atoll(arguments[4]));
  std::printf("%s\n", base.GetVersionString());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "replay: %s\n", error.what());
  return 1;
}
