// The kernels, written once over a vector type `V` that each simd_*.cpp defines first:
//
//   V::LANES, V::ROWS (rows a register tile holds), V::load, V::store, V::broadcast, V::zero,
//   V::multiply_add(a, b, c) = a * b + c, V::max
//
// Included inside an anonymous namespace: every instruction set gets code of its own.

constexpr std::size_t VECTORS = colxtr::PANEL / V::LANES;

// R rows times one panel, in registers.
template <std::size_t R>
inline void tile(const float* rows, std::size_t dim, const float* panel, V (&sums)[R][VECTORS]) {
    for (std::size_t r = 0; r < R; ++r)
        for (std::size_t v = 0; v < VECTORS; ++v) sums[r][v] = V::zero();
    for (std::size_t d = 0; d < dim; ++d) {
        V columns[VECTORS];
        for (std::size_t v = 0; v < VECTORS; ++v)
            columns[v] = V::load(panel + d * colxtr::PANEL + v * V::LANES);
        for (std::size_t r = 0; r < R; ++r) {
            const V value = V::broadcast(rows + r * dim + d);
            for (std::size_t v = 0; v < VECTORS; ++v)
                sums[r][v] = V::multiply_add(value, columns[v], sums[r][v]);
        }
    }
}

void multiply(const float* rows, std::size_t n_rows, std::size_t dim, const float* panels,
              std::size_t n_panels, float* products) {
    constexpr std::size_t R = V::ROWS;
    static_assert(colxtr::ROWS % R == 0, "rows are readable up to a multiple of colxtr::ROWS");
    const std::size_t stride = n_panels * colxtr::PANEL;
    for (std::size_t row = 0; row < n_rows; row += R)
        for (std::size_t p = 0; p < n_panels; ++p) {
            V sums[R][VECTORS];
            tile<R>(rows + row * dim, dim, panels + p * dim * colxtr::PANEL, sums);
            for (std::size_t r = 0; r < R; ++r)
                for (std::size_t v = 0; v < VECTORS; ++v)
                    V::store(products + (row + r) * stride + p * colxtr::PANEL + v * V::LANES,
                             sums[r][v]);
        }
}

void maximum(float* into, const float* from, std::size_t n) {
    for (std::size_t i = 0; i < n; i += V::LANES)
        V::store(into + i, V::max(V::load(into + i), V::load(from + i)));
}
