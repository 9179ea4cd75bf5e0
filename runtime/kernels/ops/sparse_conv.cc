#include "ops/sparse_conv.h"

#include "kept_kernels.h"
#include "run_walks.h"

namespace sparcl {

namespace {

// Times the first level; measured on the layers of ResNet-18 (docs/kernels.md, "Caches"). Blocks and whole kernels share each load, so
// that it may come from further away.
constexpr double kWindow = 1.5, kSharedWindow = 6.0;

}  // namespace

Failure SparseConv::Run(const Context& context) const {
  Tensor x, values, bias, y, y16;
  Weight weight;
  if (Failure failure = context.StoredInput(0, 5, "x", 4, x)) return failure;
  if (Failure failure = context.Input(1, "values", 1, values)) return failure;
  if (Failure failure = ReadWeight(context, shape, &values, 2, weight)) return failure;
  if (Failure failure = context.OptionalInput(4, "bias", 1, bias)) return failure;
  if (Failure failure = CheckChannels(context, shape, x)) return failure;
  Normalisation normalisation;
  if (Failure failure = ReadNormalisation(context, shape, 6, normalisation)) return failure;
  if (bias && bias.size != weight.channels) {
    return context.Fail(Message() << "bias has " << bias.size << " numbers for " << weight.channels << " output channels");
  }
  const int64_t rows = shape.height.OutputSize(x.shape[1]), cols = shape.width.OutputSize(x.shape[2]);
  if (x.shape[1] < 1 || x.shape[2] < 1 || rows < 1 || cols < 1) {
    return context.Fail(Message() << "the kernel is larger than the padded x " << x);
  }
  const int64_t y_shape[] = {weight.channels, rows, cols, x.shape[3]};
  if (Failure failure = context.Output(0, y_shape, 4, y)) return failure;
  if (Failure failure = context.Output(1, y_shape, 4, y16)) return failure;
  if (y.size == 0 && y16.size == 0) return nullptr;

  const Walk walk = {x.shape[3], {shape.channels, x.shape[1], x.shape[2]}, {weight.channels, rows, cols},
                     ForwardTaps(shape.height), ForwardTaps(shape.width)};
  const int64_t block = shape.block;
  const Simd& simd = ChosenSimd();
  const int64_t kernel = block == 1 && x.shape[3] % simd.lanes == 0 ? PlacesOfKernel(shape, weight) : 1;
  const bool shared = block > 1 || kernel > 1;
  const TileShape tile = shared ? TileOf(simd, block) : TileOf(simd, weight.live(), weight.channels * shape.row_places());
  const Cut cut = CutUp(&walk, 1, BudgetFor(shared ? kSharedWindow : kWindow), tile, simd);
  const int64_t group = cut.run == cut.lanes ? kernel : 1;
  const int64_t buckets = weight.Lists(block) * cut.chunks, places = shape.row_places();
  if (Failure failure = CheckCut(context, cut, buckets)) return failure;
  Workspace memory(context.api(), EntryBytes(weight, block, group) + Workspace::Bytes<int32_t>(places) + Workspace::Bytes<int32_t>(buckets + 1));
  if (memory.failed()) return context.Fail(Message() << "out of memory");
  const Entries entries = TakeEntries(memory, weight, block, group);
  int32_t* offset = memory.Take<int32_t>(places);
  int32_t* starts = memory.Take<int32_t>(buckets + 1);
  FillForwardOffsets(shape, walk, cut, offset);
  const ListTable table = {offset, cut.chunk * shape.taps(), cut.chunks};
  const SortTarget target = {entries, nullptr, nullptr, group, nullptr, starts};
  if (Failure failure = ListEntries(context, weight, places, block, table, target)) return failure;

  const Placement placement = {0, 0, 1, 1};
  return RunWalks(context, {&walk, &placement, 1, cut, block, entries, starts, cut.chunks, 1, x.numbers(), normalisation, bias.floats(), nullptr,
                            {y.floats(), y16.halves()}, {weight.channels, rows, cols}});
}

}  // namespace sparcl
