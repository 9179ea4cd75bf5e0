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

// Lets the tile write into the output, where each vector is one pixel.
void WriteTo(const WalkJob& job, const Task& task, int64_t part, Tile& tile) {
  const Placement& at = job.placements[task.walk];
  const int64_t batch = job.walks[task.walk].batch;
  tile.out_channel = job.plane.rows * job.plane.cols * batch;
  tile.out_row = at.row_step * job.plane.cols * batch;
  tile.out_vector = at.col_step * batch;
  tile.out = job.output + OutputPlace(job, task, 0, 0) + part * job.cut.run;
}

// Calls body(place of the row in the output, the row of y) for every row, where y holds [part][channel][row][column][run].
template <class Body>
void ForEachRow(const WalkJob& job, const Task& task, float* y, const Body& body) {
  const Cut& cut = job.cut;
  const int64_t y_row = cut.Vectors(task.block.cols) * cut.lanes;
  for (int64_t channel = 0; channel < task.count; ++channel) {
    for (int64_t row = 0; row < task.block.rows; ++row) {
      const int64_t place = OutputPlace(job, task, channel, row);
      for (int64_t part = 0; part < cut.parts; ++part) {
        body(place + part * cut.run, y + (part * cut.outputs + channel) * cut.OutputFloats() + row * y_row);
      }
    }
  }
}

// Floats from one pixel of a walk's row to the next in the output.
int64_t OutputStep(const WalkJob& job, const Task& task) {
  return job.placements[task.walk].col_step * job.walks[task.walk].batch;
}

void CopyOut(const Simd& simd, const WalkJob& job, const Task& task, float* y) {
  const int64_t run = job.cut.run, step = OutputStep(job, task);
  ForEachRow(job, task, y, [&](int64_t place, const float* row) {
    simd.copy_runs(row, run, job.output + place, step, run, task.block.cols);
  });
}

// Lets the sums start from the addend; what a row's last vector has behind its end is 0.
void CopyAddend(const Simd& simd, const WalkJob& job, const Task& task, float* y) {
  const int64_t run = job.cut.run, step = OutputStep(job, task), floats = task.block.cols * run;
  const int64_t rest = job.cut.Vectors(task.block.cols) * job.cut.lanes - floats;
  ForEachRow(job, task, y, [&](int64_t place, float* row) {
    simd.copy_runs(job.addend + place, step, row, run, run, task.block.cols);
    if (rest > 0) simd.fill(0.0f, row + floats, rest);
  });
}

void FillWithBias(const Simd& simd, const WalkJob& job, const Task& task, float* y) {
  const Cut& cut = job.cut;
  for (int64_t part = 0; part < cut.parts; ++part) {
    for (int64_t channel = 0; channel < task.count; ++channel) {
      const float start = job.bias == nullptr ? 0.0f : job.bias[task.first + channel];
      simd.fill(start, y + (part * cut.outputs + channel) * cut.OutputFloats(), cut.OutputFloats());
    }
  }
}

void RunTask(const Simd& simd, const WalkJob& job, const Task& task, Workspace& memory) {
  const Cut& cut = job.cut;
  const Walk& walk = job.walks[task.walk];
  float* x = memory.Take<float>(cut.parts * cut.InputFloats());
  float* y = memory.Take<float>(cut.parts * cut.outputs * cut.OutputFloats());
  if (job.addend != nullptr) {
    CopyAddend(simd, job, task, y);
  } else {
    FillWithBias(simd, job, task, y);
  }
  const bool taps = walk.rows.count * walk.cols.count > 0;
  const bool direct = taps && cut.run == cut.lanes;
  const int32_t* starts = job.starts + (task.walk * walk.output.channels + task.first) * cut.chunks;
  for (int64_t chunk = 0; taps && chunk < cut.chunks; ++chunk) {
    const int64_t from = chunk * cut.chunk;
    CopyIn(simd, cut, walk, task.block, job.input, from, Least(cut.chunk, walk.input.channels - from), x);
    for (int64_t part = 0; part < cut.parts; ++part) {
      float* sums = y + part * cut.outputs * cut.OutputFloats();
      const int64_t vectors = cut.Vectors(task.block.cols);
      Tile tile = {x + part * cut.InputFloats(), InputRowStride(cut, walk), sums, cut.OutputFloats(), task.block.rows,
                   vectors, sums, cut.OutputFloats(), vectors * cut.lanes, cut.lanes};
      if (direct && chunk + 1 == cut.chunks) WriteTo(job, task, part, tile);
      simd.accumulate({job.entries, starts + chunk, cut.chunks, task.count}, tile);
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
