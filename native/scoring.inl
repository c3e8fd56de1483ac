// The kernels of search, written once over the vector types that each simd_*.cpp defines first: `V`
// (kernels.inl), with
//
//   V::add, V::multiply, V::between(a, low, high): a bit for each lane with low < a <= high,
//   V::Counter, V::count(c, a, b): c + 1 in the lanes with a > b, V::load_count, V::store_count
//
// and `I`, of LANES 32-bit sums of products of bytes:
//
//   I::Group (four values of a row, for all lanes), I::Columns (four values of each lane's column),
//   I::group, I::columns, I::dot(sums, group, columns), which adds, I::load, I::to_float,
//   I::start(strip, n_groups, into): sums of STRIP lanes before the first `dot`,
//   I::SUMS (how many of them a register tile holds)
//
// No multiplication is contracted with an addition here (the build says so to the compiler): all
// instruction sets round alike.

constexpr std::size_t STRIP_VECTORS = colxtr::STRIP / I::LANES;
static_assert(I::LANES == V::LANES, "sums become floats vector by vector");

// The sums of R rows and one strip, or two neighbours, in registers.
template <std::size_t R, std::size_t STRIPS>
struct Tile {
    static constexpr std::size_t VECTORS = STRIPS * STRIP_VECTORS;
    I sums[R][VECTORS];

    explicit Tile(const std::int32_t* start) {
        for (std::size_t r = 0; r < R; ++r)
            for (std::size_t v = 0; v < VECTORS; ++v) sums[r][v] = I::load(start + v * I::LANES);
    }

    // Adds the products of four dimensions; `values(r)` points to those of a row.
    template <typename Values>
    void add(const std::int8_t* strips, std::size_t dim, std::size_t d, const Values& values) {
        typename I::Columns columns[VECTORS];
        for (std::size_t v = 0; v < VECTORS; ++v) {
            const std::int8_t* strip = strips + v / STRIP_VECTORS * colxtr::STRIP * dim;
            columns[v] = I::columns(strip + d * colxtr::STRIP + v % STRIP_VECTORS * I::LANES * 4);
        }
        for (std::size_t r = 0; r < R; ++r) {
            const typename I::Group group = I::group(values(r));
            for (std::size_t v = 0; v < VECTORS; ++v) I::dot(sums[r][v], group, columns[v]);
        }
    }
};

struct PlainRows {
    const std::int8_t* const* values;

    template <std::size_t R, std::size_t STRIPS>
    void add(Tile<R, STRIPS>& tile, std::size_t row, std::size_t dim,
             const std::int8_t* strips) const {
        const std::int8_t* first[R];
        for (std::size_t r = 0; r < R; ++r) first[r] = values[row + r];
        for (std::size_t d = 0; d < dim; d += 4)
            tile.add(strips, dim, d, [&](std::size_t r) { return first[r] + d; });
    }
};

// Codes of a trellis: their values are read where the codewords lie, and never put together.
template <std::size_t WIDTH>
struct CodedRows {
    static constexpr std::size_t AHEAD = 7;  // codewords that one load of eight bytes tells
    const std::int8_t* codebook;
    const std::uint8_t* const* codes;

    template <std::size_t R, std::size_t STRIPS>
    void add(Tile<R, STRIPS>& tile, std::size_t row, std::size_t dim,
             const std::int8_t* strips) const {
        const std::size_t n_bytes = dim / WIDTH;
        const std::int8_t* codewords[R];
        const auto add_codewords = [&](std::size_t byte) {
            for (std::size_t part = 0; part < WIDTH; part += 4)
                tile.add(strips, dim, byte * WIDTH + part,
                         [&](std::size_t r) { return codewords[r] + part; });
        };
        for (std::size_t r = 0; r < R; ++r) {
            const std::uint8_t* code = codes[row + r];
            const std::size_t found = std::size_t{code[0]} << 4 | code[n_bytes - 1] >> 4;
            codewords[r] = codebook + found * WIDTH;
        }
        add_codewords(0);
        for (std::size_t byte = 1; byte < n_bytes; byte += AHEAD) {
            // Eight bytes from the one before on, or the last eight.
            const std::size_t from = byte - 1 < n_bytes - 8 ? byte - 1 : n_bytes - 8;
            const std::size_t count = n_bytes - byte < AHEAD ? n_bytes - byte : AHEAD;
            std::uint64_t words[R];
            for (std::size_t r = 0; r < R; ++r) {
                memcpy(&words[r], codes[row + r] + from, sizeof words[r]);
                words[r] >>= 8 * (byte - 1 - from) + 4;
            }
            for (std::size_t i = 0; i < count; ++i) {
                for (std::size_t r = 0; r < R; ++r) {
                    codewords[r] = codebook + (words[r] & 0xfff) * WIDTH;
                    words[r] >>= 8;
                }
                add_codewords(byte + i);
            }
        }
    }
};

template <std::size_t R, std::size_t STRIPS>
inline void store_scores(const Tile<R, STRIPS>& tile, const colxtr::ScoredRows& rows,
                         std::size_t row, std::size_t lane0, std::size_t stride, float* scores) {
    for (std::size_t r = 0; r < R; ++r) {
        const V gain = V::broadcast(rows.gains + row + r);
        for (std::size_t v = 0; v < tile.VECTORS; ++v) {
            const std::size_t lane = lane0 + v * V::LANES;
            V score = V::multiply(gain, I::to_float(tile.sums[r][v]));
            if (rows.bases)
                score = V::add(V::multiply(V::broadcast(rows.weights + row + r),
                                           V::load(rows.bases[row + r] + lane)),
                               score);
            V::store(scores + (row + r) * stride + lane, score);
        }
    }
}

// The scores of STRIPS strips from `strip` on.
template <std::size_t STRIPS, typename Values>
inline void score_strips(const Values& values, const colxtr::ScoredRows& rows, std::size_t n_rows,
                         std::size_t dim, const std::int8_t* strips, std::size_t strip,
                         std::size_t stride, float* scores) {
    constexpr std::size_t R = I::SUMS / (STRIPS * STRIP_VECTORS);
    static_assert(colxtr::ROWS % R == 0, "rows are readable up to a multiple of colxtr::ROWS");
    strips += strip * dim * colxtr::STRIP;
    std::int32_t start[STRIPS * colxtr::STRIP];
    for (std::size_t s = 0; s < STRIPS; ++s)
        I::start(strips + s * dim * colxtr::STRIP, dim / 4, start + s * colxtr::STRIP);
    for (std::size_t row = 0; row < n_rows; row += R) {
        Tile<R, STRIPS> tile(start);
        values.add(tile, row, dim, strips);
        store_scores(tile, rows, row, strip * colxtr::STRIP, stride, scores);
    }
}

template <typename Values>
inline void score_from(const Values& values, const colxtr::ScoredRows& rows, std::size_t n_rows,
                       std::size_t dim, const std::int8_t* strips, std::size_t n_strips,
                       float* scores) {
    const std::size_t stride = n_strips * colxtr::STRIP;
    std::size_t s = 0;
    for (; s + 2 <= n_strips; s += 2)
        score_strips<2>(values, rows, n_rows, dim, strips, s, stride, scores);
    if (s < n_strips) score_strips<1>(values, rows, n_rows, dim, strips, s, stride, scores);
}

void score(const colxtr::ScoredRows& rows, std::size_t n_rows, std::size_t dim,
           const std::int8_t* strips, std::size_t n_strips, float* scores) {
    if (rows.codes && rows.width == 4)
        score_from(CodedRows<4>{rows.codebook, rows.codes}, rows, n_rows, dim, strips, n_strips,
                   scores);
    else if (rows.codes)
        score_from(CodedRows<8>{rows.codebook, rows.codes}, rows, n_rows, dim, strips, n_strips,
                   scores);
    else
        score_from(PlainRows{rows.values}, rows, n_rows, dim, strips, n_strips, scores);
}

std::size_t find_between(const float* rows, std::size_t n_rows, std::size_t stride,
                         const float* floors, const float* ceilings, std::uint32_t* lanes) {
    V floor[STRIP_VECTORS], ceiling[STRIP_VECTORS];
    for (std::size_t v = 0; v < STRIP_VECTORS; ++v) {
        floor[v] = V::load(floors + v * V::LANES);
        ceiling[v] = V::load(ceilings + v * V::LANES);
    }
    for (std::size_t row = 0; row < n_rows; ++row) {
        std::uint32_t found = 0;
        for (std::size_t v = 0; v < STRIP_VECTORS; ++v) {
            const V value = V::load(rows + row * stride + v * V::LANES);
            found |= V::between(value, floor[v], ceiling[v]) << (v * V::LANES);
        }
        if (found) {
            *lanes = found;
            return row;
        }
    }
    return n_rows;
}

void count_above(const float* rows, std::size_t n_rows, std::size_t stride,
                 const float (*floors)[colxtr::STRIP], std::uint32_t (*counts)[colxtr::STRIP]) {
    for (std::size_t v = 0; v < STRIP_VECTORS; ++v) {
        const std::size_t lane = v * V::LANES;
        V floor[colxtr::FLOORS];
        typename V::Counter count[colxtr::FLOORS];
        for (std::size_t f = 0; f < colxtr::FLOORS; ++f) {
            floor[f] = V::load(floors[f] + lane);
            count[f] = V::load_count(counts[f] + lane);
        }
        for (std::size_t row = 0; row < n_rows; ++row) {
            const V value = V::load(rows + row * stride + lane);
            for (std::size_t f = 0; f < colxtr::FLOORS; ++f)
                count[f] = V::count(count[f], value, floor[f]);
        }
        for (std::size_t f = 0; f < colxtr::FLOORS; ++f) V::store_count(counts[f] + lane, count[f]);
    }
}

void transform(const float* rows, std::size_t n_rows, std::size_t dim, const float* matrix,
               float* into) {
    for (std::size_t row = 0; row < n_rows; ++row) {
        float* sums = into + row * dim;
        for (std::size_t i = 0; i < dim; ++i) sums[i] = 0;
        for (std::size_t d = 0; d < dim; ++d) {
            const V value = V::broadcast(rows + row * dim + d);
            std::size_t i = 0;
            for (; i + V::LANES <= dim; i += V::LANES)
                V::store(sums + i, V::add(V::load(sums + i),
                                          V::multiply(value, V::load(matrix + d * dim + i))));
            for (; i < dim; ++i) sums[i] += rows[row * dim + d] * matrix[d * dim + i];
        }
    }
}

constexpr std::size_t PARTIAL = 16;  // partial sums: lane l goes to partial sum l % PARTIAL

void sum_maxima(const float* rows, std::size_t n_rows, std::size_t stride, const float* floors,
                const float* weights, float* sums) {
    for (std::size_t row = 0; row < n_rows; ++row) {
        const float* values = rows + row * stride;
        V partial[PARTIAL / V::LANES];
        for (std::size_t v = 0; v < PARTIAL / V::LANES; ++v) partial[v] = V::zero();
        for (std::size_t lane = 0; lane < stride; lane += PARTIAL)
            for (std::size_t v = 0; v < PARTIAL / V::LANES; ++v) {
                const std::size_t at = lane + v * V::LANES;
                const V largest = V::max(V::load(values + at), V::load(floors + at));
                partial[v] = V::add(partial[v], V::multiply(V::load(weights + at), largest));
            }
        float lanes[PARTIAL];
        for (std::size_t v = 0; v < PARTIAL / V::LANES; ++v)
            V::store(lanes + v * V::LANES, partial[v]);
        for (std::size_t half = PARTIAL / 2; half > 0; half /= 2)
            for (std::size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
        sums[row] = lanes[0];
    }
}
