// The end of a shake-shake block (Gastaldi 2017), fused for the CPU:
//
//   sum = skip + alpha * norm_a(a) + (1 - alpha) * norm_b(b),  y = relu(sum)
//
// whose gradient is that of the same formula with beta in the place of alpha. alpha and beta hold
// one number per image, or one for all.

#include "norm.h"

namespace swath {
namespace {

// Each image is a task, because each has its own coefficients.
struct Images {
  int64_t count;
  int64_t pixels;
  Cut cut;

  explicit Images(const Tensor& map)
      : count(map.size(0)), pixels(map.size(2) * map.size(3)), cut(map.size(1), map.numel()) {}

  int64_t elements() const { return pixels * cut.channels; }

  template <typename Work>
  void each(const Work& work) const {
    const int64_t grain = std::max<int64_t>(1, kTask / 4 / elements());
    at::parallel_for(0, count, grain, [&](int64_t first, int64_t last) {
      for (int64_t image = first; image < last; ++image) work(image, image * elements());
    });
  }
};

float share(const Tensor& shares, int64_t image) {
  return read(shares)[shares.numel() == 1 ? 0 : image];
}

SWATH_VECTORIZED
static void mix_block(const float* __restrict a, const float* __restrict b,
                      const float* __restrict skip, int64_t n, float alpha,
                      const float* __restrict scale_a, const float* __restrict scale_b,
                      const float* __restrict shift_a, const float* __restrict shift_b,
                      float* __restrict sum, float* __restrict y) {
  const float rest = 1.0f - alpha;
  for (int64_t i = 0; i < n; ++i) {
    const float whole = skip[i] + alpha * (a[i] * scale_a[i] + shift_a[i]) +
                        rest * (b[i] * scale_b[i] + shift_b[i]);
    sum[i] = whole;
    y[i] = whole < 0.0f ? 0.0f : whole;
  }
}

// g = whole + (y > 0) * (first + second), and its sums with a and b.
SWATH_VECTORIZED
static void gather_block(const float* __restrict whole, const float* __restrict first,
                         const float* __restrict second, const float* __restrict sum,
                         const float* __restrict a, const float* __restrict b, int64_t n,
                         const float* __restrict mean_a, const float* __restrict mean_b,
                         float* __restrict g, float* __restrict total, float* __restrict with_a,
                         float* __restrict with_b) {
  for (int64_t i = 0; i < n; ++i) {
    const float passed = sum[i] > 0.0f ? first[i] + second[i] : 0.0f;
    const float value = whole[i] + passed;
    g[i] = value;
    total[i] += value;
    with_a[i] += value * (a[i] - mean_a[i]);
    with_b[i] += value * (b[i] - mean_b[i]);
  }
}

SWATH_VECTORIZED
static void part_block(const float* __restrict g, const float* __restrict a,
                       const float* __restrict b, int64_t n, float beta,
                       const float* __restrict mean_a, const float* __restrict mean_b,
                       const float* __restrict by_g_a, const float* __restrict by_x_a,
                       const float* __restrict constant_a, const float* __restrict by_g_b,
                       const float* __restrict by_x_b, const float* __restrict constant_b,
                       float* __restrict da, float* __restrict db) {
  const float rest = 1.0f - beta;
  for (int64_t i = 0; i < n; ++i) {
    da[i] = by_g_a[i] * (beta * g[i]) + by_x_a[i] * (a[i] - mean_a[i]) + constant_a[i];
    db[i] = by_g_b[i] * (rest * g[i]) + by_x_b[i] * (b[i] - mean_b[i]) + constant_b[i];
  }
}

// The coefficients of a normalization's backward pass, and the gradients of its parameters.
struct Spread {
  std::vector<float> mean, by_g, by_x, constant;
  Tensor scale, shift;

  Spread(const Cut& cut, const Tensor& mean_, const Tensor& inverse, const Tensor& gamma,
         const std::vector<double>& sum, const std::vector<double>& product) {
    const float *m = read(mean_), *i = read(inverse), *s = read(gamma);
    const double count = static_cast<double>(cut.count / cut.channels);
    mean = cut.repeated([&](int64_t c) { return m[c]; });
    by_g = cut.repeated([&](int64_t c) { return double(s[c]) * i[c]; });
    by_x = cut.repeated(
        [&](int64_t c) { return -double(s[c]) * i[c] * i[c] * i[c] * product[c] / count; });
    constant = cut.repeated([&](int64_t c) { return -double(s[c]) * i[c] * sum[c] / count; });
    scale = at::empty({cut.channels}, at::kFloat);
    shift = at::empty({cut.channels}, at::kFloat);
    for (int64_t c = 0; c < cut.channels; ++c) {
      floats(scale)[c] = static_cast<float>(product[c] * i[c]);
      floats(shift)[c] = static_cast<float>(sum[c]);
    }
  }
};

Tensor zeros_for(const Tensor& gradient, const Tensor& map) {
  return gradient.defined() ? gradient.contiguous(kLast)
                            : at::zeros_like(map, map.options(), kLast);
}

struct Shaken : torch::autograd::Function<Shaken> {
  static variable_list forward(AutogradContext* context, const Tensor& a_, const Tensor& b_,
                               const Tensor& skip_, const Tensor& alpha, const Tensor& beta,
                               const Tensor& scale_a, const Tensor& shift_a,
                               const Tensor& scale_b, const Tensor& shift_b,
                               const std::vector<Tensor>& running, double momentum,
                               double epsilon) {
    const Tensor a = a_.contiguous(kLast), b = b_.contiguous(kLast);
    const Tensor skip = skip_.contiguous(kLast);
    const Images images(a);
    const Cut& cut = images.cut;
    const Norm norm_a(scale_a, shift_a, running[0], running[1], momentum, epsilon);
    const Norm norm_b(scale_b, shift_b, running[2], running[3], momentum, epsilon);
    const Statistics of_a = measured(a, norm_a), of_b = measured(b, norm_b);
    const Affine affine_a(cut, of_a.mean, of_a.inverse, scale_a, shift_a);
    const Affine affine_b(cut, of_b.mean, of_b.inverse, scale_b, shift_b);
    Tensor sum = at::empty_like(a, a.options(), kLast);
    Tensor y = at::empty_like(a, a.options(), kLast);
    const float *ap = read(a), *bp = read(b), *sp = read(skip);
    float *out = floats(sum), *active = floats(y);
    images.each([&](int64_t image, int64_t start) {
      const float mine = share(alpha, image);
      const int64_t end = start + images.elements();
      for (int64_t at = start; at < end; at += cut.block)
        mix_block(ap + at, bp + at, sp + at, std::min(cut.block, end - at), mine,
                  affine_a.scale.data(), affine_b.scale.data(), affine_a.shift.data(),
                  affine_b.shift.data(), out + at, active + at);
    });
    context->save_for_backward({a, b, sum, beta, of_a.mean, of_a.inverse, of_b.mean, of_b.inverse,
                                scale_a, scale_b});
    context->set_materialize_grads(false);
    // The activated map goes two ways; each has a gradient of its own.
    return {sum, y, y.alias()};
  }

  static variable_list backward(AutogradContext* context, variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor a = saved[0], b = saved[1], sum = saved[2], beta = saved[3];
    const Images images(a);
    const Cut& cut = images.cut;
    const Tensor whole = zeros_for(gradients[0], a);
    const Tensor first = zeros_for(gradients[1], a), second = zeros_for(gradients[2], a);
    gradients.clear();
    Tensor g = at::empty_like(a, a.options(), kLast);
    std::vector<double> parts(images.count * cut.block * 3);
    const auto mean_a = cut.repeated([&](int64_t c) { return read(saved[4])[c]; });
    const auto mean_b = cut.repeated([&](int64_t c) { return read(saved[6])[c]; });
    const float *wp = read(whole), *fp = read(first), *sp = read(second), *op = read(sum);
    const float *ap = read(a), *bp = read(b);
    float* gp = floats(g);
    images.each([&](int64_t image, int64_t start) {
      std::vector<float> sums(cut.block * 3);
      const int64_t end = start + images.elements();
      for (int64_t at = start; at < end; at += cut.block)
        gather_block(wp + at, fp + at, sp + at, op + at, ap + at, bp + at,
                     std::min(cut.block, end - at), mean_a.data(), mean_b.data(), gp + at,
                     sums.data(), sums.data() + cut.block, sums.data() + 2 * cut.block);
      std::copy(sums.begin(), sums.end(), parts.begin() + image * cut.block * 3);
    });
    std::vector<double> sum_a(cut.channels), sum_b(cut.channels);
    std::vector<double> product_a(cut.channels), product_b(cut.channels);
    for (int64_t image = 0; image < images.count; ++image) {
      const double mine = share(beta, image), rest = 1.0 - mine;
      const double* part = parts.data() + image * cut.block * 3;
      for (int64_t at = 0; at < cut.block; ++at) {
        const int64_t c = at % cut.channels;
        sum_a[c] += mine * part[at];
        sum_b[c] += rest * part[at];
        product_a[c] += mine * part[cut.block + at];
        product_b[c] += rest * part[2 * cut.block + at];
      }
    }
    const Spread of_a(cut, saved[4], saved[5], saved[8], sum_a, product_a);
    const Spread of_b(cut, saved[6], saved[7], saved[9], sum_b, product_b);
    Tensor da = at::empty_like(a, a.options(), kLast);
    Tensor db = at::empty_like(a, a.options(), kLast);
    float *dap = floats(da), *dbp = floats(db);
    images.each([&](int64_t image, int64_t start) {
      const float mine = share(beta, image);
      const int64_t end = start + images.elements();
      for (int64_t at = start; at < end; at += cut.block)
        part_block(gp + at, ap + at, bp + at, std::min(cut.block, end - at), mine,
                   of_a.mean.data(), of_b.mean.data(), of_a.by_g.data(), of_a.by_x.data(),
                   of_a.constant.data(), of_b.by_g.data(), of_b.by_x.data(), of_b.constant.data(),
                   dap + at, dbp + at);
    });
    return {da,         db,         g,          Tensor(), Tensor(), of_a.scale, of_a.shift,
            of_b.scale, of_b.shift, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace
}  // namespace swath

extern "C" char* swath_shake(void** out, const void* const* maps,
                             const swath::NormArguments* norm_a,
                             const swath::NormArguments* norm_b) {
  return swath::caught([&] {
    using namespace swath;
    const std::vector<Tensor> running{of(norm_a->mean), of(norm_a->variance), of(norm_b->mean),
                                      of(norm_b->variance)};
    const auto made = Shaken::apply(of(maps[0]), of(maps[1]), of(maps[2]), of(maps[3]), of(maps[4]),
                                    of(norm_a->scale), of(norm_a->shift), of(norm_b->scale),
                                    of(norm_b->shift), running, norm_a->momentum, norm_a->epsilon);
    for (size_t at = 0; at < 3; ++at) out[at] = new Tensor(made[at]);
  });
}
