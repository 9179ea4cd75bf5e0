#include "ops/sparse_conv_input_grad.h"

#include "kept_kernels.h"
#include "run_scatter.h"
#include "run_walks.h"

namespace sparcl {

namespace {

// Times the first level, as in the forward pass.
constexpr double kWindow = 1.5, kSharedWindow = 6.0;

// The input pixels h with (h + pad_begin) % stride == phase are fed by the taps with (i * dilation) % stride == phase
// alone. Numbered from the first of them, they make a grid on which the gradient is a walk of stride 1 over dy.
struct Phase {
  TapAxis taps;
  int64_t first;  // the first of its input pixels
  int64_t size;   // how many there are
};

Phase PhaseOf(const Axis& axis, int64_t input, int64_t number) {
  Phase phase;
  phase.first = ((number - axis.pad_begin) % axis.stride + axis.stride) % axis.stride;
  phase.size = input > phase.first ? (input - phase.first + axis.stride - 1) / axis.stride : 0;
  // From the last tap to the first, which is the order of ascending displacements.
  for (int64_t i = axis.kernel - 1; i >= 0; --i) {
    if (i * axis.dilation % axis.stride != number) continue;
    const int64_t shift = (phase.first + axis.pad_begin - i * axis.dilation) / axis.stride;
    phase.taps.shift[phase.taps.count++] = static_cast<int32_t>(shift);
  }
  if (phase.taps.count > 0) {
    phase.taps.least = phase.taps.shift[0];
    phase.taps.reach = phase.taps.shift[phase.taps.count - 1] - phase.taps.least + 1;
  }
  return phase;
}

// Which of its phase's taps tap i is.
int64_t Rank(const Axis& axis, int64_t i) {
  int64_t rank = 0;
  for (int64_t later = i + 1; later < axis.kernel; ++later) {
    if ((later - i) * axis.dilation % axis.stride == 0) ++rank;
  }
  return rank;
}

int64_t PhaseOfTap(const ConvShape& shape, int64_t i, int64_t j) {
  const Axis &height = shape.height, &width = shape.width;
  return i * height.dilation % height.stride * width.stride + j * width.dilation % width.stride;
}

// The lists of a chunk of output channels lie one behind the other: sorting them then writes to few pages at a time.
void FillTable(const ConvShape& shape, const Walk* walks, const Cut& cut, int32_t* bucket, int32_t* offset) {
  const Axis &height = shape.height, &width = shape.width;
  for (int64_t i = 0; i < height.kernel; ++i) {
    for (int64_t j = 0; j < width.kernel; ++j) {
      const int64_t phase = PhaseOfTap(shape, i, j);
      const int32_t at = TapOffset(cut, walks[phase], Rank(height, i), Rank(width, j));
      for (int64_t c = 0; c < shape.channels; ++c) {
        const int64_t place = (c * height.kernel + i) * width.kernel + j;
        bucket[place] = static_cast<int32_t>(phase * cut.chunks * shape.channels + c);
        offset[place] = at;
      }
    }
  }
}

void FillScatterTable(const ConvShape& shape, const Walk* walks, const ScatterCut& cut, int64_t blocks, int32_t* bucket,
                      int32_t* offset) {
  const Axis &height = shape.height, &width = shape.width;
  for (int64_t i = 0; i < height.kernel; ++i) {
    for (int64_t j = 0; j < width.kernel; ++j) {
      const int64_t phase = PhaseOfTap(shape, i, j);
      const int32_t at = ScatterOffset(cut, walks[phase], Rank(height, i), Rank(width, j));
      for (int64_t c = 0; c < shape.channels; ++c) {
        const int64_t place = (c * height.kernel + i) * width.kernel + j;
        bucket[place] = static_cast<int32_t>(phase * blocks * cut.chunks + c / cut.chunk);
        offset[place] = static_cast<int32_t>(c % cut.chunk * cut.channel_floats) + at;
      }
    }
  }
}

// Computes dx by scattering blocks.
Failure Scatter(const Context& context, const ConvShape& shape, const Weight& weight, ScatterJob job) {
  const ScatterCut& cut = job.cut;
  const int64_t blocks = weight.Lists(kBlock), buckets = cut.walks * blocks * cut.chunks, places = shape.row_places();
  const int64_t kept = BlockPlaces(weight);
  Workspace memory(context.api(), Workspace::Bytes<BlockEntry>(kept) + 2 * Workspace::Bytes<int32_t>(places) +
                                      Workspace::Bytes<int32_t>(buckets + 1));
  if (memory.failed()) return context.Fail(Message() << "out of memory");
  BlockEntry* entries = memory.Take<BlockEntry>(kept);
  int32_t* bucket = memory.Take<int32_t>(places);
  int32_t* offset = memory.Take<int32_t>(places);
  int32_t* starts = memory.Take<int32_t>(buckets + 1);
  FillScatterTable(shape, job.walks, cut, blocks, bucket, offset);
  const SortTable table = {bucket, offset, buckets, 1, cut.chunks, 0};
  const SortTarget target = {{nullptr, entries}, nullptr, nullptr, 1, nullptr, starts};
  if (Failure failure = SortEntries(context, weight, places, kBlock, table, target)) return failure;
  job.blocks = entries;
  job.starts = starts;
  return RunScatter(context, job);
}

Failure CheckAddend(const Context& context, const Tensor& addend, const int64_t (&shape)[4]) {
  if (!addend) return nullptr;
  for (int axis = 0; axis < 4; ++axis) {
    if (addend.shape[axis] == shape[axis]) continue;
    return context.Fail(Message() << "addend is " << addend << ", not [" << shape[0] << ", " << shape[1] << ", " << shape[2]
                                  << ", " << shape[3] << "]");
  }
  return nullptr;
}

}  // namespace

Failure SparseConvInputGrad::Read(const Attributes& attributes) {
  if (Failure failure = shape.Read(attributes)) return failure;
  if (Failure failure = attributes.Get("input_shape", input_shape, 2)) return failure;
  for (int64_t size : input_shape) {
    if (size < 1) return attributes.Fail(Message() << "attribute input_shape is missing or not positive");
    if (size >= kMaxPlaces) return attributes.Fail(Message() << "attribute input_shape has " << size << ", which is too large");
  }
  return nullptr;
}

Failure SparseConvInputGrad::Run(const Context& context) const {
  Tensor dy, values, addend, dx;
  Weight weight;
  if (Failure failure = context.Input(0, "dy", 4, dy)) return failure;
  if (Failure failure = context.Input(1, "values", 1, values)) return failure;
  if (Failure failure = ReadWeight(context, shape, &values, 2, weight)) return failure;
  if (Failure failure = context.OptionalInput(4, "addend", 4, addend)) return failure;
  if (Failure failure = CheckGradient(context, shape, weight, dy, input_shape[0], input_shape[1])) return failure;
  const int64_t batch = dy.shape[3];
  const int64_t dx_shape[] = {shape.channels, input_shape[0], input_shape[1], batch};
  if (Failure failure = CheckAddend(context, addend, dx_shape)) return failure;
  if (Failure failure = context.Output(0, dx_shape, 4, dx)) return failure;
  if (dx.size == 0) return nullptr;

  const int64_t phases = shape.height.stride * shape.width.stride, places = shape.row_places();
  Workspace walk_memory(context.api(), Workspace::Bytes<Walk>(phases) + Workspace::Bytes<Placement>(phases));
  if (walk_memory.failed()) return context.Fail(Message() << "out of memory");
  Walk* walks = walk_memory.Take<Walk>(phases);
  Placement* placements = walk_memory.Take<Placement>(phases);
  for (int64_t phase = 0; phase < phases; ++phase) {
    const Phase rows = PhaseOf(shape.height, input_shape[0], phase / shape.width.stride);
    const Phase cols = PhaseOf(shape.width, input_shape[1], phase % shape.width.stride);
    walks[phase] = {batch, {weight.channels, dy.shape[1], dy.shape[2]}, {shape.channels, rows.size, cols.size}, rows.taps, cols.taps};
    placements[phase] = {rows.first, cols.first, shape.height.stride, shape.width.stride};
  }
  const ScatterCut scatter = CutScatter(walks, phases, ChosenSimd());
  const Plane plane = {shape.channels, input_shape[0], input_shape[1]};
  const int64_t kernel = batch % ChosenSimd().lanes == 0 ? PlacesOfKernel(shape, weight) : 1;
  if (shape.block > 1 && kernel == 1 && Scatters(walks[0], scatter, weight.live())) {
    return Scatter(context, shape, weight, {walks, placements, scatter, nullptr, nullptr, dy.floats(),
                                            addend.floats(), dx.floats(), plane});
  }
  const TileShape tile = kernel > 1 ? TileOf(ChosenSimd(), 1) : TileOf(ChosenSimd(), weight.live(), weight.channels * places);
  const Cut cut = CutUp(walks, phases, BudgetFor(kernel > 1 ? kSharedWindow : kWindow), tile, ChosenSimd());
  const int64_t group = cut.run == cut.lanes ? kernel : 1;
  const int64_t buckets = phases * shape.channels * cut.chunks;
  if (Failure failure = CheckCut(context, cut, buckets)) return failure;
  Workspace memory(context.api(), EntryBytes(weight, 1, group) + 2 * Workspace::Bytes<int32_t>(places) +
                                      Workspace::Bytes<int32_t>(buckets + 1));
  if (memory.failed()) return context.Fail(Message() << "out of memory");
  Entries entries = TakeEntries(memory, weight, 1, group);
  entries.mirrored = true;
  int32_t* bucket = memory.Take<int32_t>(places);
  int32_t* offset = memory.Take<int32_t>(places);
  int32_t* starts = memory.Take<int32_t>(buckets + 1);
  FillTable(shape, walks, cut, bucket, offset);
  const SortTable table = {bucket, offset, buckets, cut.chunk, shape.channels, cut.channel_floats};
  if (Failure failure = SortEntries(context, weight, places, 1, table, {entries, nullptr, nullptr, group, nullptr, starts})) return failure;
  return RunWalks(context, {walks, placements, phases, cut, 1, entries, starts, 1, shape.channels, {dy.floats(), nullptr}, {}, nullptr, addend.floats(),
                            {dx.floats(), nullptr}, plane});
}

}  // namespace sparcl
