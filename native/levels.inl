// Rows of levels, similarities in eight bits without a sign: written once over the vector type `V`
// (kernels.inl) and `B`, of 16 bytes, that each simd_*.cpp defines first:
//
//   B::load, B::store, B::max, B::above(a, b): a - b, not below 0; B::sum(a): of all lanes;
//   B::reaches(a, b): whether a lane of a is at least that of b;
//   B::from_floats(values, factors): 16 products, rounded, not below 1 and not above 255

constexpr std::size_t BYTES = 16;
static_assert(colxtr::STRIP % BYTES == 0, "rows of levels are whole vectors");

void to_levels(const float* rows, std::size_t n_rows, std::size_t stride, const float* factors,
               std::uint8_t* into) {
    for (std::size_t row = 0; row < n_rows; ++row)
        for (std::size_t lane = 0; lane < stride; lane += BYTES)
            B::store(into + row * stride + lane,
                     B::from_floats(rows + row * stride + lane, factors + lane));
}

// With the number of vectors of a row known, or 0: then it is stride / BYTES.
template <std::size_t VECTORS_OF_ROW>
inline std::size_t raise_rows(const std::uint8_t* ordinals, unsigned width, std::size_t begin,
                              std::size_t end, std::uint64_t first, std::uint64_t n_rows,
                              const std::uint8_t* levels, std::size_t stride, std::uint8_t* rows,
                              std::uint32_t* touched, std::size_t* n_touched) {
    const std::size_t vectors = VECTORS_OF_ROW ? VECTORS_OF_ROW : stride / BYTES;
    const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
    std::size_t count = *n_touched, at = begin;
    for (; at < end; ++at) {
        std::uint64_t word;
        memcpy(&word, ordinals + (at * width >> 3), sizeof word);
        const std::uint64_t row = (word >> (at * width & 7) & mask) - first;
        if (row >= n_rows) break;
        std::uint8_t* into = rows + row * vectors * BYTES;
        touched[count] = static_cast<std::uint32_t>(row);
        count += into[0] == 0;
        for (std::size_t v = 0; v < vectors; ++v)
            B::store(into + v * BYTES,
                     B::max(B::load(into + v * BYTES), B::load(levels + v * BYTES)));
    }
    *n_touched = count;
    return at;
}

std::size_t raise_levels(const std::uint8_t* ordinals, unsigned width, std::size_t begin,
                         std::size_t end, std::uint64_t first, std::uint64_t n_rows,
                         const std::uint8_t* levels, std::size_t stride, std::uint8_t* rows,
                         std::uint32_t* touched, std::size_t* n_touched) {
    const auto raise = stride / BYTES == 1   ? raise_rows<1>
                       : stride / BYTES == 2 ? raise_rows<2>
                                             : raise_rows<0>;
    return raise(ordinals, width, begin, end, first, n_rows, levels, stride, rows, touched,
                 n_touched);
}

void sum_levels(const std::uint8_t* rows, const std::uint32_t* which, std::size_t n,
                std::size_t stride, const std::uint8_t* floors, std::uint32_t* sums) {
    for (std::size_t i = 0; i < n; ++i) {
        const std::uint8_t* row = rows + which[i] * stride;
        std::uint32_t sum = 1;
        for (std::size_t lane = 0; lane < stride; lane += BYTES)
            sum += B::sum(B::above(B::load(row + lane), B::load(floors + lane)));
        sums[i] = sum;
    }
}

std::size_t find_near(const std::uint8_t* const* rows, std::size_t n_rows, std::size_t stride,
                      const std::uint8_t* margins, const std::uint8_t* least, std::uint8_t* largest,
                      std::uint32_t* found) {
    for (std::size_t lane = 0; lane < stride; lane += BYTES) {
        B most = B::load(rows[0] + lane);
        for (std::size_t r = 1; r < n_rows; ++r) most = B::max(most, B::load(rows[r] + lane));
        B::store(largest + lane,
                 B::max(B::above(most, B::load(margins + lane)), B::load(least + lane)));
    }
    std::size_t count = 0;
    for (std::size_t r = 0; r < n_rows; ++r) {
        bool near = false;
        for (std::size_t lane = 0; lane < stride; lane += BYTES)
            near |= B::reaches(B::load(rows[r] + lane), B::load(largest + lane));
        found[count] = static_cast<std::uint32_t>(r);
        count += near;
    }
    return count;
}
