// Loops over rows of C floats, one row per pixel: a feature map that lies channels last.
//
// Coefficients per channel are repeated over a block of several rows, so that every inner loop is
// long and vectorizes whatever C is. Work is cut into tasks of a fixed number of blocks and their
// sums are added in order, so results do not depend on the number of threads.
#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace swath {

// A loop is compiled for every vector width that a machine may have; the loader picks.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 12
#define SWATH_VECTORIZED \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SWATH_VECTORIZED
#endif

// The fewest elements of a block.
constexpr int64_t kBlock = 256;
// How many blocks are summed in floats before the sums are added to doubles.
constexpr int64_t kFlush = 64;
// Elements of a task: far fewer would cost synchronization, far more would leave threads idle.
constexpr int64_t kTask = 1 << 17;

// How `count` elements in rows of `channels` are divided into tasks.
struct Cut {
  int64_t channels;
  int64_t count;
  int64_t repeats;
  int64_t block;
  int64_t step;
  int64_t tasks;

  Cut(int64_t channels_, int64_t count_) : channels(channels_), count(count_) {
    repeats = (kBlock + channels - 1) / channels;
    block = channels * repeats;
    step = std::max<int64_t>(1, kTask / block) * block;
    tasks = (count + step - 1) / step;
  }

  // A value per channel, repeated over a block.
  template <typename Value>
  std::vector<float> repeated(const Value& value) const {
    std::vector<float> pattern(block);
    for (int64_t at = 0; at < block; ++at)
      pattern[at] = at < channels ? static_cast<float>(value(at)) : pattern[at - channels];
    return pattern;
  }

  // Calls `work(start, count, task)` for every task.
  template <typename Work>
  void each(const Work& work) const {
    at::parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
      for (int64_t task = first; task < last; ++task) {
        const int64_t start = task * step;
        work(start, std::min(step, count - start), task);
      }
    });
  }
};

// Two sums per channel.
struct Sums {
  const Cut& cut;
  std::vector<double> first;
  std::vector<double> second;

  explicit Sums(const Cut& cut_)
      : cut(cut_), first(cut_.tasks * cut_.block), second(cut_.tasks * cut_.block) {}

  double* first_of(int64_t task) { return first.data() + task * cut.block; }
  double* second_of(int64_t task) { return second.data() + task * cut.block; }

  // Adds up the sums of all tasks and repeats.
  static std::vector<double> folded(const Cut& cut, const std::vector<double>& parts) {
    std::vector<double> sums(cut.channels);
    for (size_t at = 0; at < parts.size(); ++at) sums[at % cut.channels] += parts[at];
    return sums;
  }
};

}  // namespace swath
