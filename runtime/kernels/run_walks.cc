#include "run_walks.h"

namespace sparcl {

namespace {

int64_t Least(int64_t a, int64_t b) { return a < b ? a : b; }

// One block of one walk for some of the output channels.
struct Task {
  int64_t walk;
  Block block;
  int64_t first, count;  // output channels
};

Task TaskAt(const WalkJob& job, size_t number) {
  const Cut& cut = job.cut;
  Task task;
  int64_t rest = static_cast<int64_t>(number);
  task.first = rest % cut.output_blocks * cut.outputs;
  rest /= cut.output_blocks;
  task.walk = rest / cut.blocks();
  task.block = BlockAt(cut, job.walks[task.walk], rest % cut.blocks());
  task.count = Least(cut.outputs, job.walks[task.walk].output.channels - task.first);
  return task;
}

// Where the first pixel of a row of the task's block lies in a tensor of the output's shape.
int64_t OutputPlace(const WalkJob& job, const Task& task, int64_t channel, int64_t row) {
  const Placement& at = job.placements[task.walk];
  const int64_t plane_row = at.row + (task.block.row + row) * at.row_step;
  const int64_t pixel = ((task.first + channel) * job.plane.rows + plane_row) * job.plane.cols + at.col + task.block.col * at.col_step;
  return pixel * job.walks[task.walk].batch + task.block.batch;
}

// Floats from one pixel of a walk's row to the next in the output.
int64_t OutputStep(const WalkJob& job, const Task& task) {
  return job.placements[task.walk].col_step * job.walks[task.walk].batch;
}

// A part of the block in a tensor of the output's shape, where each vector is one pixel.
template <class Float>
Sums<Float> InTensor(const WalkJob& job, const Task& task, int64_t part, Float* tensor) {
  if (tensor == nullptr) return {nullptr, 0, 0, 0};
  const int64_t row = job.plane.cols * job.walks[task.walk].batch;
  return {tensor + OutputPlace(job, task, 0, 0) + part * job.cut.run, job.plane.rows * row,
          job.placements[task.walk].row_step * row, OutputStep(job, task)};
}

// The scratch of a part, where y holds [part][channel][row][column][run].
template <class Float>
Sums<Float> InScratch(const WalkJob& job, const Task& task, int64_t part, Float* y) {
  const Cut& cut = job.cut;
  return {y + part * cut.outputs * cut.OutputFloats(), cut.OutputFloats(), cut.Vectors(task.block.cols) * cut.lanes,
          cut.lanes};
}

// Calls body(place in the output, place in y) for every row of the block.
template <class Body>
void ForEachRow(const WalkJob& job, const Task& task, float* y, const Body& body) {
  for (int64_t part = 0; part < job.cut.parts; ++part) {
    const Sums<float> scratch = InScratch(job, task, part, y);
    for (int64_t channel = 0; channel < task.count; ++channel) {
      for (int64_t row = 0; row < task.block.rows; ++row) {
        const int64_t place = OutputPlace(job, task, channel, row) + part * job.cut.run;
        body(place, scratch.at + channel * scratch.channel + row * scratch.row);
      }
    }
  }
}

void CopyOut(const Simd& simd, const WalkJob& job, const Task& task, float* y) {
  const int64_t run = job.cut.run, step = OutputStep(job, task);
  ForEachRow(job, task, y, [&](int64_t place, const float* row) {
    const Written to = job.output + place;
    if (to.floats != nullptr) simd.copy_runs(row, run, to.floats, step, run, task.block.cols);
    if (to.halves != nullptr) simd.narrow_runs(row, run, to.halves, step, run, task.block.cols);
  });
}

// What a row's last vector has behind its end is 0.
void CopyAddend(const Simd& simd, const WalkJob& job, const Task& task, float* y) {
  const int64_t run = job.cut.run, step = OutputStep(job, task), floats = task.block.cols * run;
  const int64_t rest = job.cut.Vectors(task.block.cols) * job.cut.lanes - floats;
  ForEachRow(job, task, y, [&](int64_t place, float* row) {
    simd.copy_runs(job.addend + place, step, row, run, run, task.block.cols);
    if (rest > 0) simd.fill(0.0f, row + floats, rest);
  });
}

void RunTask(const Simd& simd, const WalkJob& job, const Task& task, Workspace& memory) {
  const Cut& cut = job.cut;
  const Walk& walk = job.walks[task.walk];
  float* x = memory.Take<float>(cut.parts * cut.InputFloats());
  float* y = memory.Take<float>(cut.parts * cut.outputs * cut.OutputFloats());
  const bool direct = cut.run == cut.lanes;
  const bool copied = job.addend != nullptr && !direct;
  if (copied) CopyAddend(simd, job, task, y);
  const float* bias = job.bias == nullptr ? nullptr : job.bias + task.first;
  const bool taps = walk.rows.count * walk.cols.count > 0;
  const int64_t lists = (walk.output.channels + job.block - 1) / job.block;
  const int32_t* first_starts = job.starts + task.walk * lists * cut.chunks + task.first / job.block * job.list_step;
  for (int64_t chunk = 0; chunk < cut.chunks; ++chunk) {
    const int64_t from = chunk * cut.chunk;
    const int32_t* starts = first_starts + chunk * job.chunk_step;
    if (taps) CopyIn(simd, cut, walk, task.block, job.input, job.normalisation, from, Least(cut.chunk, walk.input.channels - from), x);
    for (int64_t part = 0; part < cut.parts; ++part) {
      Tile tile = {x + part * cut.InputFloats(), InputRowStride(cut, walk), task.block.rows, cut.Vectors(task.block.cols), cut.tile_rows,
                   InScratch<const float>(job, task, part, y), false, InScratch(job, task, part, y), bias, false, {nullptr, 0, 0, 0}};
      if (chunk == 0 && !copied) {
        tile.from = InTensor(job, task, part, job.addend);
        tile.from_far = tile.from.at != nullptr;
      }
      if (direct && chunk + 1 == cut.chunks) {
        tile.to = InTensor(job, task, part, job.output.floats);
        tile.half = InTensor(job, task, part, job.output.halves);
        tile.past_caches = tile.to.at != nullptr && PastCaches(simd, job.output.floats, walk.batch * job.plane.channels * job.plane.rows * job.plane.cols);
      }
      const Entries& entries = job.entries;
      if (entries.kernels != nullptr) {
        simd.accumulate_kernels({{entries.kernels, starts, job.list_step, task.count}, entries.mirrored}, tile);
      } else if (entries.blocks != nullptr) {
        simd.accumulate_blocks({entries.blocks, starts, job.list_step, task.count}, tile);
      } else {
        simd.accumulate({entries.single, starts, job.list_step, task.count}, tile);
      }
    }
  }
  if (!direct) CopyOut(simd, job, task, y);
}

}  // namespace

Failure RunWalks(const Context& context, const WalkJob& job) {
  const Simd& simd = ChosenSimd();
  const Cut& cut = job.cut;
  const size_t bytes = Workspace::Bytes<float>(cut.parts * cut.InputFloats()) +
                       Workspace::Bytes<float>(cut.parts * cut.outputs * cut.OutputFloats());
  int out_of_memory = 0;
  auto run = [&](size_t number) {
    const Task task = TaskAt(job, number);
    if (task.block.rows <= 0 || task.block.cols <= 0) return;
    Workspace memory(context.api(), bytes);
    if (memory.failed()) {
      __atomic_store_n(&out_of_memory, 1, __ATOMIC_RELAXED);
      return;
    }
    RunTask(simd, job, task, memory);
  };
  if (Failure failure = context.Parallel(job.count * cut.blocks() * cut.output_blocks, run)) return failure;
  return out_of_memory ? context.Fail(Message() << "out of memory") : nullptr;
}

}  // namespace sparcl
