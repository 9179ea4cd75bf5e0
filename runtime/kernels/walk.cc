#include "walk.h"

namespace sparcl {

namespace {

int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }
int64_t Most(int64_t a, int64_t b) { return a > b ? a : b; }
constexpr int64_t kLeastTasks = 4;
// Floats of a row of a block: long enough that the pixels around it are few beside it.
constexpr int64_t kRow = 256;
// Rows that are not halved for the sake of more tasks.
constexpr int64_t kLowBlock = 4;

int64_t DivideUp(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Cuts `size` into pieces of about the same size, none larger than `most`.
int64_t Piece(int64_t size, int64_t most) {
  if (size <= 0) return 1;
  return DivideUp(size, DivideUp(size, Least(size, Most(1, most))));
}

// Of the stride's phases, only those that a tap reads are copied: those below this number hold them all.
int64_t Phases(const TapAxis& axis) { return Least(axis.stride, axis.reach); }

bool Reads(const TapAxis& axis, int64_t displacement) {
  for (int64_t i = 0; i < axis.count; ++i) {
    if ((displacement - (axis.shift[i] - axis.least)) % axis.stride == 0) return true;
  }
  return false;
}

void Prefetch(Numbers ahead, int64_t count) {
  if (ahead.halves != nullptr) {
    for (int64_t line = 0; line < count; line += 32) __builtin_prefetch(ahead.halves + line, 0, 2);
    return;
  }
  for (int64_t line = 0; line < count; line += 16) __builtin_prefetch(ahead.floats + line, 0, 2);
}

void CopyRuns(const Simd& simd, Numbers from, int64_t from_step, float* to, int64_t run, int64_t count,
              const Normalisation& of, int64_t channel) {
  if (of.factor != nullptr) {
    return simd.normalise_runs(from, from_step, to, run, run, count, of.factor[channel], of.offset[channel], of.relu);
  }
  if (from.halves != nullptr) return simd.widen_runs(from.halves, from_step, to, run, run, count);
  simd.copy_runs(from.floats, from_step, to, run, run, count);
}

}  // namespace

TapAxis ForwardTaps(const Axis& axis) {
  TapAxis taps;
  taps.stride = axis.stride;
  taps.count = axis.kernel;
  for (int64_t i = 0; i < axis.kernel; ++i) taps.shift[i] = static_cast<int32_t>(i * axis.dilation - axis.pad_begin);
  taps.least = taps.shift[0];
  taps.reach = (axis.kernel - 1) * axis.dilation + 1;
  return taps;
}

namespace {

// With one vector a pixel, a register tile is a square of pixels, whose taps overlap the most. Planes too small for that
// take more of the batch at once. A batch that is not whole vectors stays in one run, with the next pixel's behind it.
int64_t Run(int64_t batch, int64_t rows, int64_t cols, const TileShape& tile, const Simd& simd) {
  const int64_t pixels = Least(cols, tile.cols) * Least(rows, tile.rows);
  const int64_t wide = simd.lanes * Most(1, tile.rows * tile.cols / pixels);
  if (batch <= wide) return Most(1, batch);
  if (batch % wide == 0) return wide;
  return batch % simd.lanes == 0 ? simd.lanes : batch;
}

}  // namespace

Budget BudgetFor(double window) {
  // Times the second level: a task's outputs.
  constexpr double kOutput = 2.0;
  const Caches caches = ChosenCaches();
  return {kBlockFloats, caches.FirstFloats(window), caches.SecondFloats(kOutput)};
}

TileShape TileOf(const Simd& simd, int64_t block) {
  if (block > 1) return {Most(1, simd.accumulators / (2 * block)), 2, block};
  return {Most(1, simd.accumulators / 4), 4, 1};
}

// With few weights it is the sums of every chunk that take the time, which are read and written in between. A tile of half
// the height has twice the channels in a chunk.
TileShape TileOf(const Simd& simd, int64_t kept, int64_t of) {
  constexpr int64_t kFew = 12, kLowRows = 2;
  TileShape tile = TileOf(simd, 1);
  if (kept * kFew <= of) tile.rows = Least(tile.rows, kLowRows);
  return tile;
}

Cut CutUp(const Walk* walks, int64_t count, const Budget& budget, const TileShape& tile, const Simd& simd) {
  Cut cut{};
  cut.lanes = simd.lanes;
  cut.tile_rows = tile.rows;
  int64_t rows = 1, cols = 1, row_reach = 1, col_reach = 1, phases = 1;
  for (int64_t w = 0; w < count; ++w) {
    const Walk& walk = walks[w];
    rows = Most(rows, walk.output.rows);
    cols = Most(cols, walk.output.cols);
    row_reach = Most(row_reach, walk.rows.reach);
    col_reach = Most(col_reach, DivideUp(walk.cols.reach, walk.cols.stride));
    phases = Most(phases, Phases(walk.cols));
  }
  cut.run = Run(walks[0].batch, rows, cols, tile, simd);
  const int64_t runs = DivideUp(walks[0].batch, cut.run);
  // Two neighbours at once, because the tensors are read and written a line and its neighbour at a time.
  cut.parts = runs % 2 == 0 ? 2 : 1;
  cut.batch_blocks = runs / cut.parts;
  // With strides a block reads so many more pixels than it writes.
  const int64_t read = Phases(walks[0].rows) * Phases(walks[0].cols);
  // Walks are tasks of their own, but not equally large ones.
  const int64_t wanted = count > 1 ? kLeastTasks / 2 : kLeastTasks;
  cut.cols = Piece(cols, Most(8, kRow / cut.run));
  cut.col_blocks = DivideUp(cols, cut.cols);
  cut.rows = Piece(rows, budget.block / (read * cut.cols * cut.run * cut.parts));
  const int64_t row_tasks = DivideUp(wanted, cut.col_blocks * cut.batch_blocks);
  while (cut.rows >= 2 * kLowBlock && DivideUp(rows, cut.rows) < row_tasks) cut.rows = DivideUp(cut.rows, 2);
  cut.row_blocks = DivideUp(rows, cut.rows);
  cut.phase_floats = (cut.cols + col_reach - 1) * cut.run;
  cut.row_floats = phases * cut.phase_floats;
  const int64_t row_stride = walks[0].rows.stride;
  cut.channel_floats = ((cut.rows - 1) * row_stride + row_reach) * cut.row_floats;

  const int64_t inputs = walks[0].input.channels, outputs = walks[0].output.channels;
  const int64_t tile_rows = Least(cut.rows, tile.rows), tile_cols = Least(cut.cols, Most(1, tile.cols * cut.lanes / cut.run));
  const int64_t window = ((tile_rows - 1) * row_stride + row_reach) * phases * (tile_cols + col_reach - 1) * cut.run;
  cut.chunk = Piece(inputs, budget.window / window);
  cut.chunks = DivideUp(inputs, cut.chunk);
  const int64_t fitting = budget.output / (cut.OutputFloats() * cut.parts);
  // Every block of output channels copies the input anew, so they are few; but four threads shall have work.
  cut.outputs = Piece(outputs, Least(fitting, DivideUp(outputs, DivideUp(wanted, cut.blocks()))));
  cut.outputs = DivideUp(cut.outputs, tile.channels) * tile.channels;
  cut.output_blocks = DivideUp(outputs, cut.outputs);
  return cut;
}

Failure CheckCut(const Context& context, const Cut& cut, int64_t buckets) {
  if (cut.run < kMaxPlaces && cut.InputFloats() < kMaxPlaces && buckets < kMaxPlaces) return nullptr;
  return context.Fail(Message() << "the kernel, the batch or the channels are too large for offsets of 32 bits");
}

Block BlockAt(const Cut& cut, const Walk& walk, int64_t number) {
  Block block;
  block.batch = number % cut.batch_blocks * cut.parts * cut.run;
  number /= cut.batch_blocks;
  block.row = number / cut.col_blocks * cut.rows;
  block.col = number % cut.col_blocks * cut.cols;
  block.rows = Most(0, Least(cut.rows, walk.output.rows - block.row));
  block.cols = Most(0, Least(cut.cols, walk.output.cols - block.col));
  return block;
}

int32_t TapOffset(const Cut& cut, const Walk& walk, int64_t i, int64_t j) {
  const int64_t row = walk.rows.shift[i] - walk.rows.least;
  const int64_t col = walk.cols.shift[j] - walk.cols.least;
  const int64_t phase = col % walk.cols.stride, step = col / walk.cols.stride;
  return static_cast<int32_t>(row * cut.row_floats + phase * cut.phase_floats + step * cut.run);
}

void FillForwardOffsets(const ConvShape& shape, const Walk& walk, const Cut& cut, int32_t* offset) {
  int64_t place = 0;
  for (int64_t c = 0; c < shape.channels; ++c) {
    for (int64_t i = 0; i < shape.height.kernel; ++i) {
      for (int64_t j = 0; j < shape.width.kernel; ++j, ++place) {
        offset[place] = static_cast<int32_t>(c % cut.chunk * cut.channel_floats) + TapOffset(cut, walk, i, j);
      }
    }
  }
}

void CopyIn(const Simd& simd, const Cut& cut, const Walk& walk, const Block& block, Numbers input,
            const Normalisation& normalisation, int64_t first, int64_t count, float* scratch) {
  const int64_t batch = walk.batch, stride = walk.cols.stride, run = cut.run;
  const int64_t input_rows = (block.rows - 1) * walk.rows.stride + walk.rows.reach;
  const int64_t columns = block.cols + (walk.cols.reach - 1) / stride;
  const int64_t top = block.row * walk.rows.stride + walk.rows.least;
  const int64_t plane = walk.input.rows * walk.input.cols * batch;
  for (int64_t channel = 0; channel < count; ++channel) {
    for (int64_t row = 0; row < input_rows; ++row) {
      if (!Reads(walk.rows, row)) continue;
      const bool inside = top + row >= 0 && top + row < walk.input.rows;
      for (int64_t phase = 0; phase < Phases(walk.cols); ++phase) {
        // Column m of the copy is input column start + m * stride; those inside of the plane are before <= m < after.
        const int64_t start = block.col * stride + walk.cols.least + phase;
        const int64_t left = Least(columns, start >= 0 ? 0 : DivideUp(-start, stride));
        const int64_t before = inside ? left : columns;
        const int64_t after = Most(before, Least(columns, DivideUp(walk.input.cols - start, stride)));
        Numbers from = input + (first + channel) * plane + block.batch +
                            ((top + row) * walk.input.cols + start + before * stride) * batch;
        float* to = scratch + channel * cut.channel_floats + row * cut.row_floats + phase * cut.phase_floats;
        // The same row two channels on: planes lie too far apart for the processor to see a pattern.
        for (int64_t m = 0; m < after - before; ++m) Prefetch(from + (2 * plane + m * stride * batch), cut.parts * run);
        for (int64_t part = 0; part < cut.parts; ++part, from = from + run, to += cut.InputFloats()) {
          if (before > 0) simd.fill(0.0f, to, before * run);
          CopyRuns(simd, from, stride * batch, to + before * run, run, after - before, normalisation, first + channel);
          if (after < columns) simd.fill(0.0f, to + after * run, (columns - after) * run);
        }
      }
    }
  }
  // What the last vector of a part's last row reads past its end.
  for (int64_t part = 0; part < cut.parts; ++part) {
    simd.fill(0.0f, scratch + part * cut.InputFloats() + count * cut.channel_floats, cut.lanes);
  }
}

}  // namespace sparcl
