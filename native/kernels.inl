// The kernels, written once over a vector type `V` that each simd_*.cpp defines first:
//
//   V::LANES, V::ROWS (rows a register tile holds), V::load, V::store, V::broadcast, V::zero,
//   V::multiply_add(a, b, c) = a * b + c, V::max
//
// Included inside an anonymous namespace: every instruction set gets code of its own.

constexpr std::size_t VECTORS = colxtr::PANEL / V::LANES;

// R rows times one panel, in registers.
template <std::size_t R>
inline void tile(const float *rows, std::size_t dim, const float *panel, V (&sums)[R][VECTORS]) {
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

void multiply(const float *rows, std::size_t n_rows, std::size_t dim, const float *panels,
              std::size_t n_panels, float *products) {
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

constexpr std::size_t ROW_BLOCK = 128;                // rows that share a block of panels
constexpr std::size_t PANEL_BLOCK_BYTES = 256 << 10;  // of panels: about half of an L2 cache

// The running best of each row, one candidate per lane: reduced to one at the end.
struct Best {
    float score[ROW_BLOCK][colxtr::PANEL];
    std::uint32_t column[ROW_BLOCK][colxtr::PANEL];
};

inline void update(Best &best, std::size_t row, std::uint32_t first_column, const float *products) {
    float *score = best.score[row];
    std::uint32_t *column = best.column[row];
    for (std::size_t lane = 0; lane < colxtr::PANEL; ++lane) {
        const bool better = products[lane] > score[lane];
        score[lane] = better ? products[lane] : score[lane];
        column[lane] = better ? first_column + static_cast<std::uint32_t>(lane) : column[lane];
    }
}

inline std::uint32_t reduce(const Best &best, std::size_t row, std::size_t n_columns) {
    float top = -3.402823466e38f;
    std::uint32_t found = 0;
    for (std::size_t lane = 0; lane < colxtr::PANEL; ++lane) {
        const float score = best.score[row][lane];
        const std::uint32_t column = best.column[row][lane];
        if (column < n_columns && (score > top || (score == top && column < found))) {
            top = score;
            found = column;
        }
    }
    return found;
}

void nearest(const float *rows, std::size_t n_rows, std::size_t dim, const float *panels,
             std::size_t n_columns, std::uint32_t *result) {
    constexpr std::size_t R = V::ROWS;
    const std::size_t n_panels = (n_columns + colxtr::PANEL - 1) / colxtr::PANEL;
    const std::size_t panel_size = dim * colxtr::PANEL;
    std::size_t block = PANEL_BLOCK_BYTES / (panel_size * sizeof(float));
    if (block == 0) block = 1;
    Best best;
    for (std::size_t row0 = 0; row0 < n_rows; row0 += ROW_BLOCK) {
        const std::size_t count = n_rows - row0 < ROW_BLOCK ? n_rows - row0 : ROW_BLOCK;
        for (std::size_t r = 0; r < ROW_BLOCK; ++r)
            for (std::size_t lane = 0; lane < colxtr::PANEL; ++lane) {
                best.score[r][lane] = -3.402823466e38f;
                best.column[r][lane] = static_cast<std::uint32_t>(lane);
            }
        for (std::size_t p0 = 0; p0 < n_panels; p0 += block) {
            const std::size_t p1 = p0 + block < n_panels ? p0 + block : n_panels;
            for (std::size_t row = 0; row < count; row += R)
                for (std::size_t p = p0; p < p1; ++p) {
                    V sums[R][VECTORS];
                    tile<R>(rows + (row0 + row) * dim, dim, panels + p * panel_size, sums);
                    // The last panel may end in zero columns; without them unless it is whole.
                    const std::size_t first = p * colxtr::PANEL;
                    float products[colxtr::PANEL];
                    for (std::size_t r = 0; r < R; ++r) {
                        for (std::size_t v = 0; v < VECTORS; ++v)
                            V::store(products + v * V::LANES, sums[r][v]);
                        for (std::size_t lane = n_columns - first; lane < colxtr::PANEL; ++lane)
                            products[lane] = -3.402823466e38f;
                        update(best, row + r, static_cast<std::uint32_t>(first), products);
                    }
                }
        }
        for (std::size_t r = 0; r < count; ++r) result[row0 + r] = reduce(best, r, n_columns);
    }
}

void maximum(float *into, const float *from, std::size_t n) {
    for (std::size_t i = 0; i < n; i += V::LANES)
        V::store(into + i, V::max(V::load(into + i), V::load(from + i)));
}
