// A dense block (Huang et al. 2017), fused for the CPU. The maps of a block lie side by side in one
// buffer, to which each layer adds its own; statistics are measured once per channel, when it is
// added, as they are the same for every layer that reads it. On the way back all layers add to one
// buffer of gradients. Nothing is concatenated or sliced.

#include "norm.h"

namespace swath {
namespace {

// Pixels of a task.
int64_t grain(int64_t channels) { return std::max<int64_t>(16, kTask / channels); }

// Calls `work(first, last, task)` for tasks of pixels; tasks do not depend on the threads.
template <typename Work>
void each_task(int64_t pixels, int64_t step, const Work& work) {
  const int64_t tasks = (pixels + step - 1) / step;
  at::parallel_for(0, tasks, 1, [&](int64_t from, int64_t to) {
    for (int64_t task = from; task < to; ++task)
      work(task * step, std::min(pixels, (task + 1) * step), task);
  });
}

SWATH_VECTORIZED
static void add_moments(const float* __restrict x, int64_t n, const float* __restrict origin,
                        float* __restrict out, float* __restrict sum, float* __restrict square) {
  for (int64_t c = 0; c < n; ++c) {
    out[c] = x[c];
    const float value = x[c] - origin[c];
    sum[c] += value;
    square[c] += value * value;
  }
}

SWATH_VECTORIZED
static void activate(const float* __restrict x, int64_t n, const float* __restrict scale,
                     const float* __restrict shift, float* __restrict y) {
  for (int64_t c = 0; c < n; ++c) {
    const float value = x[c] * scale[c] + shift[c];
    y[c] = value < 0.0f ? 0.0f : value;
  }
}

SWATH_VECTORIZED
static void reduce(const float* __restrict g, const float* __restrict x, int64_t n,
                   const float* __restrict scale, const float* __restrict shift,
                   const float* __restrict mean, float* __restrict sum,
                   float* __restrict product) {
  for (int64_t c = 0; c < n; ++c) {
    const float value = x[c] * scale[c] + shift[c] > 0.0f ? g[c] : 0.0f;
    sum[c] += value;
    product[c] += value * (x[c] - mean[c]);
  }
}

SWATH_VECTORIZED
static void spread(const float* __restrict g, const float* __restrict x,
                   const float* __restrict more, int64_t n, const float* __restrict scale,
                   const float* __restrict shift, const float* __restrict mean,
                   const float* __restrict by_g, const float* __restrict by_x,
                   const float* __restrict constant, float* __restrict out) {
  for (int64_t c = 0; c < n; ++c) {
    const float value = x[c] * scale[c] + shift[c] > 0.0f ? g[c] : 0.0f;
    out[c] = more[c] + by_g[c] * value + by_x[c] * (x[c] - mean[c]) + constant[c];
  }
}

SWATH_VECTORIZED
static void spread_in_place(const float* __restrict g, const float* __restrict x, int64_t n,
                            const float* __restrict scale, const float* __restrict shift,
                            const float* __restrict mean, const float* __restrict by_g,
                            const float* __restrict by_x, const float* __restrict constant,
                            float* __restrict out) {
  for (int64_t c = 0; c < n; ++c) {
    const float value = x[c] * scale[c] + shift[c] > 0.0f ? g[c] : 0.0f;
    out[c] += by_g[c] * value + by_x[c] * (x[c] - mean[c]) + constant[c];
  }
}

// The first `channels` channels of a buffer, as a tensor of its own: no view of the buffer that
// autograd would track.
Tensor prefix(const Tensor& buffer, int64_t channels) {
  const auto size = buffer.sizes();
  Tensor view = at::empty({0}, buffer.options());
  view.set_(buffer.storage(), 0, {size[0], channels, size[2], size[3]}, buffer.strides());
  return view;
}

// Copies the new maps into the buffer and measures them.
void add(const Tensor& map, const Tensor& buffer, const Tensor& means, const Tensor& variances,
         int64_t offset) {
  const int64_t channels = map.size(1), row = buffer.size(1);
  const int64_t pixels = map.numel() / channels, step = grain(channels);
  const int64_t tasks = (pixels + step - 1) / step;
  const float* x = read(map);
  float* out = floats(buffer) + offset;
  const std::vector<float> origin(x, x + channels);
  std::vector<double> sums(tasks * channels), squares(tasks * channels);
  each_task(pixels, step, [&](int64_t first, int64_t last, int64_t task) {
    std::vector<float> sum(channels), square(channels);
    double *total = sums.data() + task * channels, *total_square = squares.data() + task * channels;
    for (int64_t from = first; from < last; from += kFlush * 8) {
      const int64_t to = std::min(last, from + kFlush * 8);
      for (int64_t pixel = from; pixel < to; ++pixel)
        add_moments(x + pixel * channels, channels, origin.data(), out + pixel * row, sum.data(),
                    square.data());
      for (int64_t c = 0; c < channels; ++c) {
        total[c] += sum[c];
        total_square[c] += square[c];
        sum[c] = square[c] = 0.0f;
      }
    }
  });
  for (int64_t c = 0; c < channels; ++c) {
    double sum = 0.0, square = 0.0;
    for (int64_t task = 0; task < tasks; ++task) {
      sum += sums[task * channels + c];
      square += squares[task * channels + c];
    }
    const double shifted = sum / pixels;
    floats(means)[offset + c] = static_cast<float>(origin[c] + shifted);
    floats(variances)[offset + c] =
        static_cast<float>(std::max(0.0, square / pixels - shifted * shifted));
  }
}

// Per channel: the affine map of a normalization, and 1 / sd.
struct Coefficients {
  std::vector<float> scale, shift, inverse;

  Coefficients(int64_t channels, const Tensor& means, const Tensor& variances, const Tensor& gamma,
               const Tensor& beta, double epsilon)
      : scale(channels), shift(channels), inverse(channels) {
    const float *m = read(means), *v = read(variances), *g = read(gamma), *b = read(beta);
    for (int64_t c = 0; c < channels; ++c) {
      inverse[c] = static_cast<float>(1.0 / std::sqrt(double(v[c]) + epsilon));
      scale[c] = g[c] * inverse[c];
      shift[c] = b[c] - m[c] * scale[c];
    }
  }
};

// (features, new maps) -> (features with the new maps, relu(norm(them))).
struct Grown : torch::autograd::Function<Grown> {
  static variable_list forward(AutogradContext* context,
                               const std::optional<Tensor>& features, const Tensor& maps, const Tensor& scale, const Tensor& shift,
                               const std::vector<Tensor>& state, double momentum, double epsilon) {
    const Tensor &running_mean = state[0], &running_variance = state[1];
    const Tensor &buffer = state[2], &means = state[3], &variances = state[4];
    const int64_t offset = features ? features->size(1) : 0;
    const int64_t channels = offset + maps.size(1), row = buffer.size(1);
    const int64_t pixels = buffer.numel() / row;
    add(maps.contiguous(kLast), buffer, means, variances, offset);
    const Norm norm(scale, shift, running_mean, running_variance, momentum, epsilon);
    for (int64_t c = 0; c < channels; ++c)
      norm.run(c, read(means)[c], read(variances)[c], static_cast<double>(pixels));
    const Coefficients of(channels, means, variances, scale, shift, epsilon);
    const auto size = buffer.sizes();
    Tensor y = at::empty({size[0], channels, size[2], size[3]}, buffer.options(), kLast);
    const float* x = read(buffer);
    float* out = floats(y);
    each_task(pixels, grain(channels), [&](int64_t first, int64_t last, int64_t) {
      for (int64_t pixel = first; pixel < last; ++pixel)
        activate(x + pixel * row, channels, of.scale.data(), of.shift.data(),
                 out + pixel * channels);
    });
    context->save_for_backward({scale, shift});
    // Kept as they are: later layers add channels to them, and change none.
    context->saved_data["buffer"] = buffer;
    context->saved_data["means"] = means;
    context->saved_data["variances"] = variances;
    context->saved_data["offset"] = offset;
    context->saved_data["epsilon"] = epsilon;
    context->set_materialize_grads(false);
    return {prefix(buffer, channels), y};
  }

  static variable_list backward(AutogradContext* context, variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor gamma = saved[0], beta = saved[1];
    const Tensor buffer = context->saved_data["buffer"].toTensor();
    const Tensor means = context->saved_data["means"].toTensor();
    const Tensor variances = context->saved_data["variances"].toTensor();
    const int64_t offset = context->saved_data["offset"].toInt();
    const int64_t channels = gamma.numel(), row = buffer.size(1);
    const int64_t added = channels - offset, pixels = buffer.numel() / row;
    const Coefficients of(channels, means, variances, gamma, beta,
                          context->saved_data["epsilon"].toDouble());
    Tensor later = std::move(gradients[0]);
    const Tensor g = gradients[1].contiguous(kLast);
    gradients.clear();
    // The gradients from later layers are in the buffer that this function made for the last one.
    const bool first_back = !later.defined();
    Tensor sink = first_back ? at::zeros_like(buffer) : later;
    if (!first_back && later.strides() != buffer.strides()) {
      sink = at::zeros_like(buffer);
      prefix(sink, channels).copy_(later);
    }
    const float *gp = read(g), *x = read(buffer), *m = read(means);
    const int64_t step = grain(channels), tasks = (pixels + step - 1) / step;
    std::vector<double> sums(tasks * channels), products(tasks * channels);
    each_task(pixels, step, [&](int64_t first, int64_t last, int64_t task) {
      std::vector<float> sum(channels), product(channels);
      for (int64_t pixel = first; pixel < last; ++pixel)
        reduce(gp + pixel * channels, x + pixel * row, channels, of.scale.data(), of.shift.data(),
               m, sum.data(), product.data());
      std::copy(sum.begin(), sum.end(), sums.begin() + task * channels);
      std::copy(product.begin(), product.end(), products.begin() + task * channels);
    });
    Tensor dscale = at::empty({channels}, at::kFloat), dshift = at::empty({channels}, at::kFloat);
    std::vector<float> by_g(channels), by_x(channels), constant(channels);
    for (int64_t c = 0; c < channels; ++c) {
      double sum = 0.0, product = 0.0;
      for (int64_t task = 0; task < tasks; ++task) {
        sum += sums[task * channels + c];
        product += products[task * channels + c];
      }
      const double inverse = of.inverse[c], factor = double(read(gamma)[c]) * inverse;
      by_g[c] = static_cast<float>(factor);
      by_x[c] = static_cast<float>(-factor * inverse * inverse * product / pixels);
      constant[c] = static_cast<float>(-factor * sum / pixels);
      floats(dscale)[c] = static_cast<float>(product * inverse);
      floats(dshift)[c] = static_cast<float>(sum);
    }
    const auto size = buffer.sizes();
    Tensor fresh = at::empty({size[0], added, size[2], size[3]}, buffer.options(), kLast);
    float *out = floats(sink), *own = floats(fresh);
    each_task(pixels, step, [&](int64_t first, int64_t last, int64_t) {
      for (int64_t pixel = first; pixel < last; ++pixel) {
        const float *gs = gp + pixel * channels, *xs = x + pixel * row;
        float* sinks = out + pixel * row;
        spread_in_place(gs, xs, offset, of.scale.data(), of.shift.data(), m, by_g.data(),
                        by_x.data(), constant.data(), sinks);
        // Nobody adds to the newest maps any more: their gradient is complete.
        spread(gs + offset, xs + offset, sinks + offset, added, of.scale.data() + offset,
               of.shift.data() + offset, m + offset, by_g.data() + offset, by_x.data() + offset,
               constant.data() + offset, own + pixel * added);
      }
    });
    const Tensor rest = offset > 0 ? prefix(sink, offset) : Tensor();
    return {rest, fresh, dscale, dshift, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace
}  // namespace swath

// `features` may be null: the block begins. `state`: buffer, means and variances of its channels.
extern "C" char* swath_grow(void** grown, void** out, const void* features, const void* maps,
                            const swath::NormArguments* norm, const void* const* state) {
  return swath::caught([&] {
    using namespace swath;
    const std::vector<Tensor> kept{of(norm->mean), of(norm->variance), of(state[0]), of(state[1]),
                                   of(state[2])};
    const auto made =
        Grown::apply(features ? std::optional<Tensor>(of(features)) : std::nullopt, of(maps), of(norm->scale),
                     of(norm->shift), kept, norm->momentum, norm->epsilon);
    *grown = new Tensor(made[0]);
    *out = new Tensor(made[1]);
  });
}
