#include "ops/sparse_conv_weight_grad.h"

#include "entries.h"
#include "kept_kernels.h"
#include "walk.h"

namespace sparcl {

namespace {

int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t Most(int64_t a, int64_t b) { return a > b ? a : b; }

// Times the first level: what a register tile reads of a chunk, as in the walks. Blocks of channels share each load.
constexpr double kWindow = 1.5, kSharedWindow = 3.0;
// Floats of a task's gradients. Fixed, because the order of the sums follows from it.
constexpr int64_t kOutput = 512 * 1024;
// Tasks to aim at: enough for the threads of a phone or a desktop to balance.
constexpr int64_t kTasks = 16;
// Floats of the partial sums of all parts.
constexpr int64_t kPartialFloats = int64_t{1} << 22;

// Channels between a row that is copied and the one that is fetched meanwhile.
constexpr int64_t kAhead = 2;

struct Job {
  const Weight& weight;
  const Walk& walk;
  const Cut& cut;
  const Place* places;
  const KernelPlace* kernels;  // in place of the places; null: the weights are not kept by kernels
  int64_t block;               // 1, or kBlock for blocks of output channels
  const int32_t* starts;       // by (output channel or block, chunk)
  Numbers x;
  Normalisation normalisation;
  const float* dy;
  int64_t parts;    // of the blocks; each sums on its own, and the sums are added in order
  float* partial;   // [parts, K]; with one part the output itself
};

// The gradient's block of the output channels, [part][channel][row][column][run], zeros up to a whole vector.
void CopyGradient(const Simd& simd, const Job& job, const Block& block, int64_t first, int64_t count, float* scratch) {
  const Cut& cut = job.cut;
  const int64_t batch = job.walk.batch, floats = block.cols * cut.run;
  const int64_t row_floats = cut.Vectors(block.cols) * cut.lanes;
  const int64_t plane = job.walk.output.rows * job.walk.output.cols * batch;
  for (int64_t channel = 0; channel < count; ++channel) {
    for (int64_t row = 0; row < block.rows; ++row) {
      const int64_t at = ((first + channel) * job.walk.output.rows + block.row + row) * job.walk.output.cols + block.col;
      // As in CopyIn: the same row of a plane to come, which lies too far away for the processor to see a pattern.
      for (int64_t pixel = 0; pixel < block.cols; ++pixel) {
        const float* ahead = job.dy + kAhead * plane + (at + pixel) * batch + block.batch;
        for (int64_t line = 0; line < cut.parts * cut.run; line += 16) __builtin_prefetch(ahead + line, 0, 2);
      }
      for (int64_t part = 0; part < cut.parts; ++part) {
        float* to = scratch + (part * cut.outputs + channel) * cut.OutputFloats() + row * row_floats;
        simd.copy_runs(job.dy + at * batch + block.batch + part * cut.run, batch, to, cut.run, cut.run, block.cols);
        if (floats < row_floats) simd.fill(0.0f, to + floats, row_floats - floats);
      }
    }
  }
}

// Adds one block's share of the gradients of output channels first to first + count - 1.
void AddBlock(const Simd& simd, const Job& job, const Block& block, int64_t first, int64_t count, float* x, float* dy,
              float* sums) {
  const Cut& cut = job.cut;
  CopyGradient(simd, job, block, first, count, dy);
  for (int64_t chunk = 0; chunk < cut.chunks; ++chunk) {
    const int64_t from = chunk * cut.chunk;
    CopyIn(simd, cut, job.walk, block, job.x, job.normalisation, from, Least(cut.chunk, job.walk.input.channels - from), x);
    for (int64_t part = 0; part < cut.parts; ++part) {
      const int32_t* starts = job.starts + first / job.block * cut.chunks + chunk;
      const float* gradient = dy + part * cut.outputs * cut.OutputFloats();
      const int64_t x_row = InputRowStride(cut, job.walk), vectors = cut.Vectors(block.cols);
      const GradientBlock of_part = {x + part * cut.InputFloats(), x_row, gradient, cut.OutputFloats(), block.rows, vectors};
      if (job.kernels != nullptr) {
        simd.dot_kernels({job.kernels, starts, cut.chunks, count}, of_part, sums);
        continue;
      }
      if (job.block == 1) {
        simd.dot({job.places, starts, cut.chunks, count}, of_part, sums);
        continue;
      }
      for (int64_t channel = 0; channel < count; channel += job.block, starts += cut.chunks) {
        const Place* places = job.places + starts[0];
        const int64_t kept = starts[1] - starts[0];
        float* of[kBlock];
        const int64_t channels = Least(kBlock, count - channel);
        for (int64_t i = 0; i < channels; ++i) of[i] = sums + job.weight.rows[first + channel + i];
        simd.dot_blocks(places, kept, x + part * cut.InputFloats(), x_row, gradient + channel * cut.OutputFloats(),
                        cut.OutputFloats(), channels, block.rows, vectors, of);
      }
    }
  }
}

void RunTask(const Simd& simd, const Job& job, size_t number, Workspace& memory) {
  const Cut& cut = job.cut;
  float* x = memory.Take<float>(cut.parts * cut.InputFloats());
  float* dy = memory.Take<float>(cut.parts * cut.outputs * cut.OutputFloats());
  const int64_t part = static_cast<int64_t>(number) / cut.output_blocks;
  const int64_t first = static_cast<int64_t>(number) % cut.output_blocks * cut.outputs;
  const int64_t count = Least(cut.outputs, job.weight.channels - first);
  float* sums = job.partial + part * job.weight.stored;
  const int64_t begin = job.weight.rows[first], end = job.weight.rows[first + count];
  simd.fill(0.0f, sums + begin, end - begin);
  // Where a row ends within a vector, the rest of dy's vector is 0, and x's must at least be finite.
  if (cut.run % cut.lanes != 0) simd.fill(0.0f, x, cut.parts * cut.InputFloats());
  for (int64_t block = part * cut.blocks() / job.parts; block < (part + 1) * cut.blocks() / job.parts; ++block) {
    AddBlock(simd, job, BlockAt(cut, job.walk, block), first, count, x, dy, sums);
  }
}

Failure RunTasks(const Context& context, const Job& job) {
  const Simd& simd = ChosenSimd();
  const size_t bytes =
      Workspace::Bytes<float>(job.cut.parts * job.cut.InputFloats()) +
                       Workspace::Bytes<float>(job.cut.parts * job.cut.outputs * job.cut.OutputFloats());
  int out_of_memory = 0;
  auto run = [&](size_t number) {
    Workspace memory(context.api(), bytes);
    if (memory.failed()) {
      __atomic_store_n(&out_of_memory, 1, __ATOMIC_RELAXED);
      return;
    }
    RunTask(simd, job, number, memory);
  };
  if (Failure failure = context.Parallel(job.parts * job.cut.output_blocks, run)) return failure;
  return out_of_memory ? context.Fail(Message() << "out of memory") : nullptr;
}

}  // namespace

Failure SparseConvWeightGrad::Run(const Context& context) const {
  Tensor x, dy, mask, dvalues;
  Weight weight;
  if (Failure failure = context.StoredInput(0, 5, "x", 4, x)) return failure;
  if (Failure failure = context.Input(1, "dy", 4, dy)) return failure;
  if (Failure failure = ReadWeight(context, shape, nullptr, 2, weight)) return failure;
  if (Failure failure = context.OptionalInput(4, "mask", 1, mask)) return failure;
  if (Failure failure = CheckChannels(context, shape, x)) return failure;
  Normalisation normalisation;
  if (Failure failure = ReadNormalisation(context, shape, 6, normalisation)) return failure;
  if (x.shape[3] != dy.shape[3]) {
    return context.Fail(Message() << "the batch of x " << x << " is not that of dy " << dy);
  }
  if (Failure failure = CheckGradient(context, shape, weight, dy, x.shape[1], x.shape[2])) return failure;
  if (mask && mask.size != weight.stored) {
    return context.Fail(Message() << "mask has " << mask.size << " numbers for " << weight.stored << " stored places");
  }
  if (Failure failure = context.Output(0, &weight.stored, 1, dvalues)) return failure;
  const Simd& simd = ChosenSimd();
  simd.fill(0.0f, dvalues.floats() + weight.live(), weight.stored - weight.live());
  if (dy.size == 0) {
    simd.fill(0.0f, dvalues.floats(), weight.live());
    return nullptr;
  }

  const Walk walk = {x.shape[3], {shape.channels, x.shape[1], x.shape[2]}, {weight.channels, dy.shape[1], dy.shape[2]},
                     ForwardTaps(shape.height), ForwardTaps(shape.width)};
  // A gradient mask chooses single weights.
  const int64_t block = mask ? 1 : shape.block;
  const int64_t kernel = !mask && block == 1 && x.shape[3] % simd.lanes == 0 ? PlacesOfKernel(shape, weight) : 1;
  const bool shared = block > 1 || kernel > 1;
  const Budget budget = {kBlockFloats, ChosenCaches().FirstFloats(shared ? kSharedWindow : kWindow), kOutput};
  const TileShape tile = shared ? TileOf(simd, block) : TileShape{simd.dot_rows, simd.dot_vectors, 1};
  const Cut cut = CutUp(&walk, 1, budget, tile, simd);
  const int64_t group = cut.run == cut.lanes ? kernel : 1;
  const int64_t most_parts = Most(1, kPartialFloats / Most(1, weight.stored));
  const int64_t parts = Least(Least(cut.blocks(), most_parts), Most(1, kTasks / cut.output_blocks));
  const int64_t partial_floats = parts == 1 ? 0 : parts * weight.stored;
  const int64_t buckets = weight.Lists(block) * cut.chunks, places = shape.row_places();
  if (Failure failure = CheckCut(context, cut, buckets)) return failure;
  const int64_t single = group > 1 ? 0 : weight.live(), by_kernel = group > 1 ? weight.live() / group : 0;
  Workspace memory(context.api(), Workspace::Bytes<Place>(single) + Workspace::Bytes<KernelPlace>(by_kernel) + Workspace::Bytes<int32_t>(places) +
                                      Workspace::Bytes<int32_t>(buckets + 1) +
                                      Workspace::Bytes<float>(partial_floats));
  if (memory.failed()) return context.Fail(Message() << "out of memory");
  Place* kept = memory.Take<Place>(single);
  KernelPlace* kernels = group > 1 ? memory.Take<KernelPlace>(by_kernel) : nullptr;
  int32_t* offset = memory.Take<int32_t>(places);
  int32_t* starts = memory.Take<int32_t>(buckets + 1);
  float* partial = parts == 1 ? dvalues.floats() : memory.Take<float>(partial_floats);
  FillForwardOffsets(shape, walk, cut, offset);
  const ListTable table = {offset, cut.chunk * shape.taps(), cut.chunks};
  if (Failure failure = ListEntries(context, weight, places, block, table, {{}, kept, kernels, group, mask.floats(), starts})) return failure;
  const Job job = {weight, walk, cut, kept, kernels, block, starts, x.numbers(), normalisation, dy.floats(), parts, partial};
  if (Failure failure = RunTasks(context, job)) return failure;
  if (parts == 1) return nullptr;
  simd.copy(partial, dvalues.floats(), weight.live());
  for (int64_t part = 1; part < parts; ++part) {
    simd.add(partial + part * weight.stored, dvalues.floats(), weight.live());
  }
  return nullptr;
}

}  // namespace sparcl
