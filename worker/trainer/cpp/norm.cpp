// Layers fused for the CPU: batch normalization with what surrounds it, on feature maps of floats
// that lie channels last. Forward and backward each read every map as few times as the formulas
// allow; a training step spends most of its time outside convolutions on reading and writing maps.
//
// Batch normalization as Ioffe & Szegedy (2015) and PyTorch's constants have it.

#include "norm.h"

namespace swath {
namespace {

// The gradients of a normalization for its input, scale and shift. `more` is added to the first.
variable_list backward(const Tensor& gradient, const Tensor& more, const Tensor& map,
                       const Tensor& mean, const Tensor& inverse, const Tensor& gamma,
                       const Tensor& beta, bool relu) {
  const Cut cut = cut_of(map);
  const Affine affine(cut, mean, inverse, gamma, beta);
  const float *m = read(mean), *i = read(inverse), *s = read(gamma);
  const auto means = cut.repeated([&](int64_t c) { return m[c]; });
  const bool own = is_own(gradient) && gradient.is_contiguous(kLast);
  const Tensor g = gradient.contiguous(kLast);
  const float *gp = read(g), *x = read(map);
  Sums sums(cut);
  cut.each([&](int64_t start, int64_t count, int64_t task) {
    loops::reduce(gp + start, x + start, count, cut.block, affine.scale.data(),
                  affine.shift.data(), means.data(), relu, sums.first_of(task),
                  sums.second_of(task));
  });
  const auto sum = Sums::folded(cut, sums.first);
  const auto product = Sums::folded(cut, sums.second);
  const double count = static_cast<double>(cut.count / cut.channels);
  // dx = gamma/sd * (g - mean(g) - (x - mean)/variance * mean(g * (x - mean)))
  const auto a = cut.repeated([&](int64_t c) { return double(s[c]) * i[c]; });
  const auto b = cut.repeated(
      [&](int64_t c) { return -double(s[c]) * i[c] * i[c] * i[c] * product[c] / count; });
  const auto c0 = cut.repeated([&](int64_t c) { return -double(s[c]) * i[c] * sum[c] / count; });
  const Tensor extra = more.defined() ? more.contiguous(kLast) : more;
  const Tensor dx = own ? g : at::empty_like(g, g.options(), kLast);
  const float* e = extra.defined() ? read(extra) : nullptr;
  float* out = floats(dx);
  cut.each([&](int64_t start, int64_t n, int64_t) {
    loops::spread(gp + start, x + start, e ? e + start : nullptr, n, cut.block,
                  affine.scale.data(), affine.shift.data(), means.data(), relu, a.data(), b.data(),
                  c0.data(), out + start);
  });
  Tensor dscale = at::empty({cut.channels}, at::kFloat);
  Tensor dshift = at::empty({cut.channels}, at::kFloat);
  for (int64_t c = 0; c < cut.channels; ++c) {
    floats(dscale)[c] = static_cast<float>(product[c] * i[c]);
    floats(dshift)[c] = static_cast<float>(sum[c]);
  }
  return {dx, dscale, dshift};
}

// y = norm(x), with a ReLU on it or none.
struct Normalized : torch::autograd::Function<Normalized> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& scale,
                        const Tensor& shift, const Tensor& mean, const Tensor& variance,
                        double momentum, double epsilon, bool relu) {
    const Tensor map = x.contiguous(kLast);
    const Statistics found = measured(map, Norm{scale, shift, mean, variance, momentum, epsilon});
    context->save_for_backward({map, found.mean, found.inverse, scale, shift});
    context->saved_data["relu"] = relu;
    const Cut cut = cut_of(map);
    return applied(map, cut, Affine(cut, found.mean, found.inverse, scale, shift), relu);
  }

  static variable_list backward(AutogradContext* context, variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor gradient = std::move(gradients[0]);
    gradients.clear();
    const auto found = swath::backward(gradient, Tensor(), saved[0], saved[1], saved[2], saved[3],
                                       saved[4], context->saved_data["relu"].toBool());
    return {found[0], found[1], found[2], Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

// sum = a + b, y = relu(norm(sum)): where a residual block ends and the next begins.
struct Joined : torch::autograd::Function<Joined> {
  static variable_list forward(AutogradContext* context, const Tensor& a, const Tensor& b,
                               const Tensor& scale, const Tensor& shift, const Tensor& mean,
                               const Tensor& variance, double momentum, double epsilon,
                               bool relu) {
    const Tensor left = a.contiguous(kLast);
    const Tensor right = b.contiguous(kLast);
    const Cut cut = cut_of(left);
    const float *l = read(left), *r = read(right);
    const auto origin = cut.repeated([&](int64_t c) { return l[c] + r[c]; });
    // The sum takes the place of `a`: no layer that makes one half of a sum reads its output
    // again (autograd would report that). A leaf is somebody's data, and a view shows it.
    const bool in_place = left.is_same(a) && !a.is_leaf() && !a.is_view();
    if (in_place) context->mark_dirty({a});
    Tensor whole = in_place ? a : at::empty_like(left, left.options(), kLast);
    float* out = floats(whole);
    Sums sums(cut);
    cut.each([&](int64_t start, int64_t count, int64_t task) {
      loops::add_moments(l + start, r + start, count, cut.block, origin.data(), out + start,
                         sums.first_of(task), sums.second_of(task));
    });
    const Norm norm{scale, shift, mean, variance, momentum, epsilon};
    const Statistics found = statistics(norm, cut, sums, origin);
    context->save_for_backward({whole, found.mean, found.inverse, scale, shift});
    context->saved_data["relu"] = relu;
    context->set_materialize_grads(false);
    Tensor y = applied(whole, cut, Affine(cut, found.mean, found.inverse, scale, shift), relu);
    return {whole, y};
  }

  static variable_list backward(AutogradContext* context, variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const Tensor more = std::move(gradients[0]);
    const Tensor gradient = std::move(gradients[1]);
    gradients.clear();
    if (!gradient.defined())
      return {more, more, Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor(), Tensor()};
    const auto found = swath::backward(gradient, more, saved[0], saved[1], saved[2], saved[3],
                                       saved[4], context->saved_data["relu"].toBool());
    return {found[0], found[0],  found[1], found[2], Tensor(),
            Tensor(), Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace
}  // namespace swath

// Each function returns null, or a message that the caller frees. Tensors that come out belong to
// the caller.
extern "C" {

char* swath_norm(void** out, const void* x, const swath::NormArguments* n, int relu) {
  return swath::caught([&] {
    using namespace swath;
    *out = new Tensor(Normalized::apply(of(x), of(n->scale), of(n->shift), of(n->mean),
                                        of(n->variance), n->momentum, n->epsilon, relu != 0));
  });
}

char* swath_join(void** sum, void** out, const void* a, const void* b,
                 const swath::NormArguments* n, int relu) {
  return swath::caught([&] {
    using namespace swath;
    auto made = Joined::apply(of(a), of(b), of(n->scale), of(n->shift), of(n->mean),
                              of(n->variance), n->momentum, n->epsilon, relu != 0);
    *sum = new Tensor(made[0]);
    *out = new Tensor(made[1]);
  });
}

}  // extern "C"
