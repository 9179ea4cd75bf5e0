// run LIBRARY threads: every op over random shapes with 1 and with 8 threads; exit code 1 where a bit differs.
// run LIBRARY OP CHANNELS OUTPUTS SIZE BATCH PERCENT BLOCK REPEATS [FIRST SECOND]: one op again and again, for tools that
// count, with caches of so many bytes where they are given.
#include <random>

#include "stand_in.h"

using stand_in::Array;
using stand_in::Attributes;

namespace {

std::mt19937 generator(1);

int64_t Draw(int64_t least, int64_t most) { return std::uniform_int_distribution<int64_t>(least, most)(generator); }

Array Random(std::vector<int64_t> shape) {
  Array made{std::move(shape), {}, {}};
  std::normal_distribution<float> normal;
  made.floats.resize(static_cast<size_t>(Array::Size(made.shape)));
  for (float& one : made.floats) one = normal(generator);
  return made;
}

Array Ints(std::vector<int32_t> values) { return {{static_cast<int64_t>(values.size())}, {}, std::move(values)}; }

// A square convolution with padding 1, its kept weights, and tensors for its three ops.
struct Convolution {
  Attributes attributes;
  Array values, index, rows, x, dy;

  Convolution(int64_t channels, int64_t outputs, int64_t size, int64_t batch, int64_t percent, int64_t block,
              int64_t kernel, int64_t stride) {
    const int64_t places = channels * kernel * kernel, out = (size + 2 - kernel) / stride + 1;
    std::vector<int32_t> kept = {-1}, starts = {0};
    kept.clear();
    std::vector<bool> mask(static_cast<size_t>(places));
    for (int64_t o = 0; o < outputs; ++o) {
      for (int64_t p = 0; p < places; ++p) {
        if (o % block == 0) mask[static_cast<size_t>(p)] = Draw(0, 99) < percent;
        if (mask[static_cast<size_t>(p)]) kept.push_back(static_cast<int32_t>(o * places + p));
      }
      starts.push_back(static_cast<int32_t>(kept.size()));
    }
    if (kept.empty()) kept.push_back(0);
    values = Random({static_cast<int64_t>(kept.size())});
    index = Ints(std::move(kept));
    rows = Ints(std::move(starts));
    x = Random({channels, size, size, batch});
    dy = Random({outputs, out, out, batch});
    attributes.integers = {{"kernel_shape", {kernel, kernel}}, {"strides", {stride, stride}}, {"pads", {1, 1, 1, 1}},
                           {"channels", {channels}},           {"block", {block}},            {"input_shape", {size, size}}};
  }

  std::vector<Array> Run(const std::string& op, int threads, int repeats = 1) const {
    if (op == "SparseConv") return stand_in::Run(op, {&x, &values, &index, &rows}, attributes, 1, threads, repeats);
    if (op == "SparseConvInputGrad") return stand_in::Run(op, {&dy, &values, &index, &rows}, attributes, 1, threads, repeats);
    return stand_in::Run(op, {&x, &dy, &index, &rows}, attributes, 1, threads, repeats);
  }
};

bool Same(const std::vector<Array>& one, const std::vector<Array>& other) {
  for (size_t i = 0; i < one.size(); ++i) {
    if (one[i].floats.size() != other[i].floats.size()) return false;
    if (std::memcmp(one[i].floats.data(), other[i].floats.data(), one[i].floats.size() * sizeof(float)) != 0) return false;
  }
  return true;
}

std::vector<Array> RunNormalisation(const Array& x, const Array& dy, int threads) {
  const int64_t channels = x.shape[0];
  Array scale{{channels}, std::vector<float>(static_cast<size_t>(channels), 1.5f), {}}, bias = scale, mean = scale, var = scale;
  Attributes attributes;
  attributes.integers = {{"relu", {1}}};
  std::vector<Array> made = stand_in::Run("BatchNormTraining", {&x, &scale, &bias, nullptr, &mean, &var}, attributes, 5, threads);
  const std::vector<Array> back =
      stand_in::Run("BatchNormGrad", {&dy, &x, &scale, &made[3], &made[4], &made[0]}, attributes, 4, threads);
  made.insert(made.end(), back.begin(), back.end());
  made.push_back(stand_in::Run("BatchNormApply", {&x, &scale, &bias, &dy}, attributes, 1, threads)[0]);
  return made;
}

std::vector<Array> RunPool(const Array& x, int threads) {
  Attributes attributes;
  attributes.integers = {{"kernel_shape", {2, 2}}, {"strides", {1, 1}}};
  std::vector<Array> made = stand_in::Run("MaxPoolBatchLast", {&x}, attributes, 1, threads);
  const Array dy = made[0];
  const std::vector<Array> back = stand_in::Run("MaxPoolBatchLastGrad", {&dy, &x, &made[0]}, attributes, 1, threads);
  made.insert(made.end(), back.begin(), back.end());
  return made;
}

int CheckThreads() {
  constexpr int kCases = 24, kThreads = 8;
  for (int number = 0; number < kCases; ++number) {
    const int64_t block = number % 2 == 0 ? 1 : 4, stride = Draw(1, 2);
    const int64_t batch = number % 3 == 0 ? Draw(1, 40) : 16 * Draw(1, 3);
    // Every eighth case has all weights of 3x3 kernels, whose taps share loads.
    const bool whole = number % 8 == 2;
    const Convolution layer(Draw(1, 24), Draw(1, 24), Draw(3, 20), whole ? 32 : batch, whole ? 100 : Draw(5, 60), block,
                            whole ? 3 : Draw(1, 3), whole ? 1 : stride);
    for (const char* op : {"SparseConv", "SparseConvInputGrad", "SparseConvWeightGrad"}) {
      if (Same(layer.Run(op, 1), layer.Run(op, kThreads))) continue;
      std::printf("case %d: %s differs between 1 and %d threads\n", number, op, kThreads);
      return 1;
    }
    const Array gradient = Random(layer.x.shape);
    if (!Same(RunNormalisation(layer.x, gradient, 1), RunNormalisation(layer.x, gradient, kThreads)) ||
        !Same(RunPool(layer.x, 1), RunPool(layer.x, kThreads))) {
      std::printf("case %d: a normalisation or a pool differs between 1 and %d threads\n", number, kThreads);
      return 1;
    }
  }
  std::printf("%d cases, every op: the same bits with 1 and with %d threads\n", kCases, kThreads);
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 3) return 2;
  stand_in::Load(arguments[1]);
  const std::string what = arguments[2];
  if (what == "threads") return CheckThreads();
  if (count < 10) return 2;
  if (count > 11) stand_in::UseCaches(arguments[1], std::atoll(arguments[10]), std::atoll(arguments[11]));
  int64_t of[7];
  for (int i = 0; i < 7; ++i) of[i] = std::atoll(arguments[3 + i]);
  const Convolution layer(of[0], of[1], of[2], of[3], of[4], of[5], 3, 1);
  const Array made = layer.Run(what, 1, static_cast<int>(of[6]))[0];
  // Every machine draws the same numbers: these sums are alike on all of them but for rounding.
  double sum = 0, weighted = 0;
  for (size_t i = 0; i < made.floats.size(); ++i) {
    sum += made.floats[i];
    weighted += made.floats[i] * static_cast<double>(i % 97);
  }
  std::printf("%s of %zu kept weights: %zu numbers, sums %.3f and %.1f\n", what.c_str(), layer.values.floats.size(),
              made.floats.size(), sum, weighted);
  return 0;
}
