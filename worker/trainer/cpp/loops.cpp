#include "loops.h"

#include <algorithm>
#include <vector>

#include "rows.h"

namespace swath {
namespace loops {

namespace {

// Which ReLU and addend a loop has is fixed at compile time: no branch is left in it.
template <bool kRelu>
inline __attribute__((always_inline)) float passed(float g, float x, float scale, float shift) {
  return kRelu && !(x * scale + shift > 0.0f) ? 0.0f : g;
}

inline void flush(std::vector<float>& part, double* sum, int64_t block) {
  for (int64_t at = 0; at < block; ++at) {
    sum[at] += part[at];
    part[at] = 0.0f;
  }
}

}  // namespace

SWATH_VECTORIZED
static void apply_block(const float* __restrict x, int64_t n, const float* __restrict scale,
                        const float* __restrict shift, float* __restrict y) {
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * scale[i] + shift[i];
}

SWATH_VECTORIZED
static void apply_relu_block(const float* __restrict x, int64_t n, const float* __restrict scale,
                             const float* __restrict shift, float* __restrict y) {
  for (int64_t i = 0; i < n; ++i) {
    const float value = x[i] * scale[i] + shift[i];
    // NaN stays NaN, because it is not less than 0.
    y[i] = value < 0.0f ? 0.0f : value;
  }
}

void apply(const float* x, int64_t count, int64_t block, const float* scale, const float* shift,
           bool relu, float* y) {
  const auto one = relu ? apply_relu_block : apply_block;
  for (int64_t at = 0; at < count; at += block)
    one(x + at, std::min(block, count - at), scale, shift, y + at);
}

SWATH_VECTORIZED
static void moments_block(const float* __restrict x, int64_t n, const float* __restrict origin,
                          float* __restrict sum, float* __restrict square) {
  for (int64_t i = 0; i < n; ++i) {
    const float value = x[i] - origin[i];
    sum[i] += value;
    square[i] += value * value;
  }
}

void moments(const float* x, int64_t count, int64_t block, const float* origin, double* sum,
             double* square) {
  std::vector<float> part(block), part_square(block);
  int64_t blocks = 0;
  for (int64_t at = 0; at < count; at += block) {
    moments_block(x + at, std::min(block, count - at), origin, part.data(), part_square.data());
    if (++blocks % kFlush == 0 || at + block >= count) {
      flush(part, sum, block);
      flush(part_square, square, block);
    }
  }
}

SWATH_VECTORIZED
static void add_moments_block(const float* a, const float* __restrict b, int64_t n,
                              const float* __restrict origin, float* out, float* __restrict sum,
                              float* __restrict square) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    const float whole = a[i] + b[i];
    out[i] = whole;
    const float value = whole - origin[i];
    sum[i] += value;
    square[i] += value * value;
  }
}

void add_moments(const float* a, const float* b, int64_t count, int64_t block, const float* origin,
                 float* out, double* sum, double* square) {
  std::vector<float> part(block), part_square(block);
  int64_t blocks = 0;
  for (int64_t at = 0; at < count; at += block) {
    add_moments_block(a + at, b + at, std::min(block, count - at), origin, out + at, part.data(),
                      part_square.data());
    if (++blocks % kFlush == 0 || at + block >= count) {
      flush(part, sum, block);
      flush(part_square, square, block);
    }
  }
}

#define SWATH_REDUCE_BLOCK(NAME, RELU)                                                           \
  SWATH_VECTORIZED                                                                               \
  static void NAME(const float* __restrict g, const float* __restrict x, int64_t n,              \
                   const float* __restrict scale, const float* __restrict shift,                 \
                   const float* __restrict mean, float* __restrict sum, float* __restrict product) { \
    for (int64_t i = 0; i < n; ++i) {                                                            \
      const float value = passed<RELU>(g[i], x[i], scale[i], shift[i]);                          \
      sum[i] += value;                                                                           \
      product[i] += value * (x[i] - mean[i]);                                                    \
    }                                                                                            \
  }

SWATH_REDUCE_BLOCK(reduce_block, false)
SWATH_REDUCE_BLOCK(reduce_relu_block, true)

void reduce(const float* g, const float* x, int64_t count, int64_t block, const float* scale,
            const float* shift, const float* mean, bool relu, double* sum, double* product) {
  const auto one = relu ? reduce_relu_block : reduce_block;
  std::vector<float> part(block), part_product(block);
  int64_t blocks = 0;
  for (int64_t at = 0; at < count; at += block) {
    one(g + at, x + at, std::min(block, count - at), scale, shift, mean, part.data(),
        part_product.data());
    if (++blocks % kFlush == 0 || at + block >= count) {
      flush(part, sum, block);
      flush(part_product, product, block);
    }
  }
}

#define SWATH_SPREAD_BLOCK(NAME, RELU, MORE)                                                      \
  SWATH_VECTORIZED                                                                                \
  static void NAME(const float* g, const float* __restrict x, const float* more, int64_t n,       \
                   const float* __restrict scale, const float* __restrict shift,                  \
                   const float* __restrict mean, const float* __restrict a,                       \
                   const float* __restrict b, const float* __restrict c, float* dx) {             \
    _Pragma("GCC ivdep") for (int64_t i = 0; i < n; ++i) {                                        \
      const float value = passed<RELU>(g[i], x[i], scale[i], shift[i]);                           \
      float whole = a[i] * value + b[i] * (x[i] - mean[i]) + c[i];                                \
      if (MORE) whole += more[i];                                                                 \
      dx[i] = whole;                                                                              \
    }                                                                                             \
  }

SWATH_SPREAD_BLOCK(spread_block, false, false)
SWATH_SPREAD_BLOCK(spread_more_block, false, true)
SWATH_SPREAD_BLOCK(spread_relu_block, true, false)
SWATH_SPREAD_BLOCK(spread_relu_more_block, true, true)

void spread(const float* g, const float* x, const float* more, int64_t count, int64_t block,
            const float* scale, const float* shift, const float* mean, bool relu, const float* a,
            const float* b, const float* c, float* dx) {
  const auto one = relu ? (more ? spread_relu_more_block : spread_relu_block)
                        : (more ? spread_more_block : spread_block);
  for (int64_t at = 0; at < count; at += block)
    one(g + at, x + at, more ? more + at : nullptr, std::min(block, count - at), scale, shift, mean,
        a, b, c, dx + at);
}

}  // namespace loops
}  // namespace swath
