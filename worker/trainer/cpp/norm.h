// What the fused layers share: maps, statistics of a batch, and the boundary to Rust.
#pragma once

#include <torch/csrc/autograd/custom_function.h>
#include <torch/types.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "loops.h"
#include "rows.h"

namespace swath {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr auto kLast = at::MemoryFormat::ChannelsLast;

inline Cut cut_of(const Tensor& map) { return Cut(map.size(1), map.numel()); }

inline float* floats(const Tensor& tensor) { return tensor.mutable_data_ptr<float>(); }
inline const float* read(const Tensor& tensor) { return tensor.const_data_ptr<float>(); }

// The arguments of a batch normalization as they come from Rust: gamma, beta, running mean and
// variance, the share of a batch in the latter, and what is added to a variance.
struct NormArguments {
  const void* scale;
  const void* shift;
  const void* mean;
  const void* variance;
  double momentum;
  double epsilon;
};

// The arguments of a batch normalization.
struct Norm {
  Tensor scale;
  Tensor shift;
  Tensor mean;
  Tensor variance;
  double momentum;
  double epsilon;

  Norm(const Tensor& scale_, const Tensor& shift_, const Tensor& mean_, const Tensor& variance_,
       double momentum_, double epsilon_)
      : scale(scale_),
        shift(shift_),
        mean(mean_),
        variance(variance_),
        momentum(momentum_),
        epsilon(epsilon_) {}

  // Moves the running statistics of channel c by those of a batch of `count` places.
  void run(int64_t c, double batch_mean, double batch_variance, double count) const {
    const double keep = 1.0 - momentum;
    float* means = mean.mutable_data_ptr<float>();
    float* variances = variance.mutable_data_ptr<float>();
    const double unbiased = batch_variance * count / std::max(1.0, count - 1.0);
    means[c] = static_cast<float>(keep * means[c] + momentum * batch_mean);
    variances[c] = static_cast<float>(keep * variances[c] + momentum * unbiased);
  }
};

// Mean and 1 / sqrt(variance + epsilon) per channel of a batch.
struct Statistics {
  Tensor mean;
  Tensor inverse;
};

// Statistics from sums of x - origin and its square; they move the running ones.
inline Statistics statistics(const Norm& norm, const Cut& cut, const Sums& sums,
                      const std::vector<float>& origin) {
  const auto sum = Sums::folded(cut, sums.first);
  const auto square = Sums::folded(cut, sums.second);
  const double count = static_cast<double>(cut.count / cut.channels);
  Statistics found{at::empty({cut.channels}, at::kFloat), at::empty({cut.channels}, at::kFloat)};
  float* mean = floats(found.mean);
  float* inverse = floats(found.inverse);
  for (int64_t c = 0; c < cut.channels; ++c) {
    const double shifted = sum[c] / count;
    const double variance = std::max(0.0, square[c] / count - shifted * shifted);
    const double centre = origin[c] + shifted;
    mean[c] = static_cast<float>(centre);
    inverse[c] = static_cast<float>(1.0 / std::sqrt(variance + norm.epsilon));
    norm.run(c, centre, variance, count);
  }
  return found;
}

// The affine map x * scale + shift that a normalization amounts to.
struct Affine {
  std::vector<float> scale;
  std::vector<float> shift;

  Affine(const Cut& cut, const Tensor& mean, const Tensor& inverse, const Tensor& gamma,
         const Tensor& beta) {
    const float *m = read(mean), *i = read(inverse), *g = read(gamma), *b = read(beta);
    scale = cut.repeated([&](int64_t c) { return g[c] * i[c]; });
    shift = cut.repeated([&](int64_t c) { return b[c] - m[c] * (g[c] * i[c]); });
  }
};

// One pixel is about as large as the others, so sums of differences from it lose no digits.
inline std::vector<float> origin_of(const Cut& cut, const float* map) {
  return cut.repeated([&](int64_t c) { return map[c]; });
}

// Statistics of a map; they move the running ones.
inline Statistics measured(const Tensor& map, const Norm& norm) {
  const Cut cut = cut_of(map);
  const float* values = read(map);
  const auto origin = origin_of(cut, values);
  Sums sums(cut);
  cut.each([&](int64_t start, int64_t count, int64_t task) {
    loops::moments(values + start, count, cut.block, origin.data(), sums.first_of(task),
                   sums.second_of(task));
  });
  return statistics(norm, cut, sums, origin);
}

inline Tensor applied(const Tensor& map, const Cut& cut, const Affine& affine, bool relu) {
  Tensor out = at::empty_like(map, map.options(), kLast);
  const float* x = read(map);
  float* y = floats(out);
  cut.each([&](int64_t start, int64_t count, int64_t) {
    loops::apply(x + start, count, cut.block, affine.scale.data(), affine.shift.data(), relu,
                 y + start);
  });
  return out;
}

// A gradient that nobody else holds may be overwritten: it is in the cache already.
inline bool is_own(const Tensor& gradient) {
  return gradient.use_count() == 1 && gradient.storage().use_count() == 1;
}

inline const Tensor& of(const void* tensor) { return *static_cast<const Tensor*>(tensor); }

// Runs `work`. Returns null, or the message of what it threw, which the caller must free.
template <typename Work>
char* caught(const Work& work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an unknown C++ exception");
  }
}

}  // namespace swath
