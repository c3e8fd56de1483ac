// `Kernels::improve`, over the vector type of kernels.inl.

// As `tile`, for rows that do not lie side by side.
template <std::size_t R>
inline void scattered_tile(const float* const (&rows)[R], std::size_t dim, const float* panel,
                           V (&sums)[R][VECTORS]) {
    for (std::size_t r = 0; r < R; ++r)
        for (std::size_t v = 0; v < VECTORS; ++v) sums[r][v] = V::zero();
    for (std::size_t d = 0; d < dim; ++d) {
        V columns[VECTORS];
        for (std::size_t v = 0; v < VECTORS; ++v)
            columns[v] = V::load(panel + d * colxtr::PANEL + v * V::LANES);
        for (std::size_t r = 0; r < R; ++r) {
            const V value = V::broadcast(rows[r] + d);
            for (std::size_t v = 0; v < VECTORS; ++v)
                sums[r][v] = V::multiply_add(value, columns[v], sums[r][v]);
        }
    }
}

inline void keep_better(colxtr::Best& best, std::uint32_t first_column, const float* products) {
    for (std::size_t lane = 0; lane < colxtr::PANEL; ++lane) {
        const bool better = products[lane] > best.score[lane];
        best.score[lane] = better ? products[lane] : best.score[lane];
        best.column[lane] =
            better ? first_column + static_cast<std::uint32_t>(lane) : best.column[lane];
    }
}

void improve(const float* rows, const std::uint32_t* which, std::size_t n_rows, std::size_t dim,
             const float* panels, std::size_t n_columns, std::uint32_t first_column,
             colxtr::Best* best) {
    constexpr std::size_t R = V::ROWS;
    for (std::size_t i = 0; i < n_rows; i += R) {
        const std::size_t count = n_rows - i < R ? n_rows - i : R;
        const float* some[R];
        for (std::size_t r = 0; r < R; ++r)  // the last tile repeats its first row
            some[r] = rows + which[r < count ? i + r : i] * dim;
        for (std::size_t first = 0; first < n_columns; first += colxtr::PANEL) {
            V sums[R][VECTORS];
            scattered_tile<R>(some, dim, panels + first * dim, sums);
            float products[colxtr::PANEL];
            for (std::size_t r = 0; r < count; ++r) {
                for (std::size_t v = 0; v < VECTORS; ++v)
                    V::store(products + v * V::LANES, sums[r][v]);
                // The last panel may end in zero columns; without them unless it is whole.
                for (std::size_t lane = n_columns - first; lane < colxtr::PANEL; ++lane)
                    products[lane] = -3.402823466e38f;
                keep_better(best[which[i + r]], first_column + static_cast<std::uint32_t>(first),
                            products);
            }
        }
    }
}
