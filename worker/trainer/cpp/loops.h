// The inner loops of the fused layers. `count` elements; patterns of `block` elements.
#pragma once

#include <cstdint>

namespace swath {
namespace loops {

// y = x * scale + shift, and 0 for less where `relu`.
void apply(const float* x, int64_t count, int64_t block, const float* scale, const float* shift,
           bool relu, float* y);

// Sums of x - origin and of its square.
void moments(const float* x, int64_t count, int64_t block, const float* origin, double* sum,
             double* square);

// out = a + b with the moments of out; out may be a.
void add_moments(const float* a, const float* b, int64_t count, int64_t block, const float* origin,
                 float* out, double* sum, double* square);

// Sums of g and of g * (x - mean), where g counts only if `relu` let x pass.
void reduce(const float* g, const float* x, int64_t count, int64_t block, const float* scale,
            const float* shift, const float* mean, bool relu, double* sum, double* product);

// dx = a * g + b * (x - mean) + c (+ more), g as in `reduce`; dx may be g or more.
void spread(const float* g, const float* x, const float* more, int64_t count, int64_t block,
            const float* scale, const float* shift, const float* mean, bool relu, const float* a,
            const float* b, const float* c, float* dx);

}  // namespace loops
}  // namespace swath
