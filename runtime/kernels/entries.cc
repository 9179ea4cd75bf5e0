#include "entries.h"

#include "kept_kernels.h"

namespace sparcl {

namespace {

// Calls body(local, e) for every `group`th place e of output channel o, where local is its place within the channel.
// Returns the first place that is out of order or out of range, or -1.
template <class Body>
int64_t ForEachPlace(const Weight& weight, int64_t row_places, int64_t o, int64_t group, const Body& body) {
  const int64_t base = o * row_places;
  int64_t before = -1;
  for (int64_t e = weight.rows[o]; e < weight.rows[o + 1]; e += group) {
    const int64_t local = weight.index[e] - base;
    if (local <= before || local >= row_places) return e;
    before = local;
    body(local, e);
  }
  return -1;
}

// Whether output channel `other` keeps the same places as `first`, whose own are in order.
bool KeepsTheSame(const Weight& weight, int64_t row_places, int64_t first, int64_t other) {
  const int32_t *one = weight.index + weight.rows[first], *two = weight.index + weight.rows[other];
  const int64_t count = weight.rows[first + 1] - weight.rows[first];
  if (weight.rows[other + 1] - weight.rows[other] != count) return false;
  for (int64_t i = 0; i < count; ++i) {
    if (two[i] - one[i] != (other - first) * row_places) return false;
  }
  return true;
}

// Calls body(write), where write(slot, local, share, e, unit) puts what the target wants of the place e, the channel's place
// `local`, into its slot; its offset is that of the table, and the share.
template <class Body>
void WithWriter(const Weight& weight, int64_t block, const int32_t* offset, const SortTarget& target, const Body& body) {
  const Entries& entries = target.entries;
  const int64_t group = target.group;
  if (entries.single != nullptr) {
    return body([&](int32_t slot, int64_t local, int32_t share, int64_t e, int64_t) {
      entries.single[slot] = {offset[local] + share, weight.values[e]};
    });
  }
  if (entries.kernels != nullptr) {
    // Mirrored, the last tap reads the first pixel.
    const int32_t* first = offset + (entries.mirrored ? kTaps - 1 : 0);
    return body([&](int32_t slot, int64_t local, int32_t share, int64_t e, int64_t) {
      KernelEntry& entry = entries.kernels[slot];
      entry.offset = first[local - local % kTaps] + share;
      entry.pattern = PatternOf(weight.index + e, group);
      for (int64_t i = 0; i < group; ++i) entry.values[i] = weight.values[e + i];
    });
  }
  if (entries.blocks != nullptr) {
    return body([&](int32_t slot, int64_t local, int32_t share, int64_t e, int64_t unit) {
      const int64_t o = unit * kBlock, from_first = e - weight.rows[o];
      BlockEntry& entry = entries.blocks[slot];
      entry.offset = offset[local] + share;
      for (int64_t i = 0; i < kBlock; ++i) {
        entry.values[i] = o + i < weight.channels ? weight.values[weight.rows[o + i] + from_first] : 0.0f;
      }
    });
  }
  if (target.kernel_places != nullptr) {
    return body([&](int32_t slot, int64_t local, int32_t share, int64_t e, int64_t) {
      target.kernel_places[slot] = {offset[local - local % kTaps] + share, PatternOf(weight.index + e, group), static_cast<int32_t>(e)};
    });
  }
  body([&](int32_t slot, int64_t local, int32_t share, int64_t e, int64_t unit) {
    target.places[slot] = {offset[local] + share, static_cast<int32_t>(block > 1 ? e - weight.rows[unit * block] : e)};
  });
}

// Returns the first channel of a block that keeps other places than the first channel, as ~channel, or kNothing.
constexpr int64_t kNothing = INT64_MIN;

int64_t OtherPlaces(const Weight& weight, int64_t row_places, int64_t block, int64_t unit) {
  const int64_t o = unit * block;
  for (int64_t other = o + 1; other < o + block && other < weight.channels; ++other) {
    if (!KeepsTheSame(weight, row_places, o, other)) return ~other;
  }
  return kNothing;
}

// Which units, output channels or blocks of them, are a task's.
struct Share {
  int64_t units, per_task;

  int64_t tasks() const { return (units + per_task - 1) / per_task; }
  int64_t Begin(size_t task) const { return static_cast<int64_t>(task) * per_task; }
  int64_t End(size_t task) const {
    const int64_t end = Begin(task) + per_task;
    return end < units ? end : units;
  }
};

// About 32 tasks of whole chunks of units.
Share ShareOut(int64_t units, int64_t chunk) {
  constexpr int64_t kTasks = 32;
  const int64_t chunks = (units + chunk - 1) / chunk;
  return {units, (chunks + kTasks - 1) / kTasks * chunk};
}

// Units are handled `chunk` at a time, so that no two tasks share a bucket.
struct Sorter {
  const Weight& weight;
  int64_t row_places;
  int64_t block;
  const SortTable& table;
  const SortTarget& target;
  Share share;
  int64_t* wrong;   // [tasks] places, or ~channel of a block's channel that keeps others than the first
  int32_t* cursor;  // [buckets]

  void Count(size_t task) const {
    wrong[task] = kNothing;
    for (int64_t unit = share.Begin(task); unit < share.End(task); ++unit) {
      int32_t* counts = cursor + unit / table.chunk * table.bucket_step;
      const int64_t bad = ForEachPlace(weight, row_places, unit * block, target.group,
                                       [&](int64_t local, int64_t) { ++counts[table.bucket[local]]; });
      if (wrong[task] != kNothing) continue;
      wrong[task] = bad >= 0 ? bad : OtherPlaces(weight, row_places, block, unit);
    }
  }

  // Writes the running sum of the counts to starts, and makes each bucket's cursor its start.
  void Sum() const {
    int32_t sum = 0;
    for (int64_t bucket = 0; bucket < table.buckets; ++bucket) {
      target.starts[bucket] = sum;
      sum += cursor[bucket];
      cursor[bucket] = target.starts[bucket];
    }
    target.starts[table.buckets] = sum;
  }

  void Place(size_t task) const {
    WithWriter(weight, block, table.offset, target, [&](const auto& write) {
      for (int64_t unit = share.Begin(task); unit < share.End(task); ++unit) {
        int32_t* next = cursor + unit / table.chunk * table.bucket_step;
        const int32_t moved = static_cast<int32_t>(unit % table.chunk * table.offset_step);
        ForEachPlace(weight, row_places, unit * block, target.group, [&](int64_t local, int64_t e) {
          write(next[table.bucket[local]]++, local, moved, e, unit);
        });
      }
    });
  }
};

// Units whose places are in order already: each task writes those of some units, from slots that are known before.
struct Lister {
  const Weight& weight;
  int64_t row_places;
  int64_t block;
  const ListTable& table;
  const SortTarget& target;
  Share share;
  int64_t* wrong;   // as the Sorter's
  int32_t* slots;   // [units + 1]: where the entries of a unit begin

  void Count(size_t task) const {
    for (int64_t unit = share.Begin(task); unit < share.End(task); ++unit) {
      const int64_t begin = weight.rows[unit * block], end = weight.rows[unit * block + 1];
      int32_t wanted = static_cast<int32_t>((end - begin) / target.group);
      if (target.mask != nullptr) {
        wanted = 0;
        for (int64_t e = begin; e < end; ++e) wanted += target.mask[e] != 0.0f;
      }
      slots[unit + 1] = wanted;
    }
  }

  void Sum() const {
    const int64_t units = weight.Lists(block);
    slots[0] = 0;
    for (int64_t unit = 0; unit < units; ++unit) slots[unit + 1] += slots[unit];
    target.starts[units * table.chunks] = slots[units];
  }

  void List(size_t task) const {
    wrong[task] = kNothing;
    WithWriter(weight, block, table.offset, target, [&](const auto& write) {
      for (int64_t unit = share.Begin(task); unit < share.End(task) && wrong[task] == kNothing; ++unit) {
        const int64_t bad = ListUnit(unit, write);
        wrong[task] = bad >= 0 ? bad : OtherPlaces(weight, row_places, block, unit);
      }
    });
  }

  template <class Write>
  int64_t ListUnit(int64_t unit, const Write& write) const {
    int32_t slot = slots[unit];
    int32_t* starts = target.starts + unit * table.chunks;
    int32_t* const last = starts + table.chunks - 1;
    int64_t end_of_chunk = table.chunk_places;
    *starts = slot;
    const int64_t bad = ForEachPlace(weight, row_places, unit * block, target.group, [&](int64_t local, int64_t e) {
      if (target.mask != nullptr && target.mask[e] == 0.0f) return;
      for (; local >= end_of_chunk; end_of_chunk += table.chunk_places) *++starts = slot;
      write(slot++, local, 0, e, unit);
    });
    while (starts < last) *++starts = slot;
    return bad;
  }
};

Failure DescribeWrong(const Context& context, const Weight& weight, int64_t row_places, int64_t place) {
  if (place < 0) {
    const int64_t other = ~place, first = other - other % kBlock;
    return context.Fail(Message() << "output channel " << other << " keeps other places than channel " << first
                                  << ", with which the attribute block puts it together");
  }
  int64_t o = 0;
  while (weight.rows[o + 1] <= place) ++o;
  Message message;
  message << "index[" << place << "] is " << int64_t{weight.index[place]} << ": output channel " << o
          << " needs ascending positions in [" << o * row_places << ", " << (o + 1) * row_places << ")";
  return context.Fail(message);
}

}  // namespace

int64_t BlockPlaces(const Weight& weight) {
  int64_t places = 0;
  for (int64_t o = 0; o < weight.channels; o += kBlock) places += weight.rows[o + 1] - weight.rows[o];
  return places;
}

size_t EntryBytes(const Weight& weight, int64_t block, int64_t group) {
  if (group > 1) return Workspace::Bytes<KernelEntry>(weight.live() / group);
  return block > 1 ? Workspace::Bytes<BlockEntry>(BlockPlaces(weight)) : Workspace::Bytes<Entry>(weight.live());
}

Entries TakeEntries(Workspace& memory, const Weight& weight, int64_t block, int64_t group) {
  if (group > 1) return {nullptr, nullptr, memory.Take<KernelEntry>(weight.live() / group), false};
  if (block > 1) return {nullptr, memory.Take<BlockEntry>(BlockPlaces(weight)), nullptr, false};
  return {memory.Take<Entry>(weight.live()), nullptr, nullptr, false};
}

namespace {

Failure DescribeFirst(const Context& context, const Weight& weight, int64_t row_places, const int64_t* wrong, int64_t tasks) {
  for (int64_t task = 0; task < tasks; ++task) {
    if (wrong[task] != kNothing) return DescribeWrong(context, weight, row_places, wrong[task]);
  }
  return nullptr;
}

}  // namespace

Failure SortEntries(const Context& context, const Weight& weight, int64_t row_places, int64_t block,
                    const SortTable& table, const SortTarget& target) {
  const Share share = ShareOut(weight.Lists(block), table.chunk);
  const int64_t tasks = share.tasks();
  Workspace memory(context.api(), Workspace::Bytes<int64_t>(tasks) + Workspace::Bytes<int32_t>(table.buckets));
  if (memory.failed()) return context.Fail(Message() << "out of memory");
  int64_t* wrong = memory.Take<int64_t>(tasks);
  int32_t* cursor = memory.Take<int32_t>(table.buckets);
  for (int64_t bucket = 0; bucket < table.buckets; ++bucket) cursor[bucket] = 0;

  const Sorter sorter{weight, row_places, block, table, target, share, wrong, cursor};
  if (Failure failure = context.Parallel(tasks, [&](size_t task) { sorter.Count(task); })) return failure;
  if (Failure failure = DescribeFirst(context, weight, row_places, wrong, tasks)) return failure;
  sorter.Sum();
  return context.Parallel(tasks, [&](size_t task) { sorter.Place(task); });
}

Failure ListEntries(const Context& context, const Weight& weight, int64_t row_places, int64_t block,
                    const ListTable& table, const SortTarget& target) {
  const Share share = ShareOut(weight.Lists(block), 1);
  const int64_t tasks = share.tasks();
  Workspace memory(context.api(), Workspace::Bytes<int64_t>(tasks) + Workspace::Bytes<int32_t>(share.units + 1));
  if (memory.failed()) return context.Fail(Message() << "out of memory");
  int64_t* wrong = memory.Take<int64_t>(tasks);
  int32_t* slots = memory.Take<int32_t>(share.units + 1);

  const Lister lister{weight, row_places, block, table, target, share, wrong, slots};
  if (Failure failure = context.Parallel(tasks, [&](size_t task) { lister.Count(task); })) return failure;
  lister.Sum();
  if (Failure failure = context.Parallel(tasks, [&](size_t task) { lister.List(task); })) return failure;
  return DescribeFirst(context, weight, row_places, wrong, tasks);
}

}  // namespace sparcl
