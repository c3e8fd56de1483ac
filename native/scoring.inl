// The kernels of search, written once over the vector types that each simd_*.cpp defines first: `V`
// (kernels.inl), with
//
//   V::add, V::multiply, V::between(a, low, high): a bit for each lane with low < a <= high,
//   V::Counter, V::count(c, a, b): c + 1 in the lanes with a > b, V::load_count, V::store_count
//
// and `I`, of LANES 32-bit sums of products of bytes:
//
//   I::Group (four values of a row, for all lanes), I::Columns (four values of each lane's column),
//   I::group, I::columns, I::dot(sums, group, columns), I::load, I::to_float,
//   I::start(panel, n_groups, into): sums of PANEL lanes before the first `dot`
//
// No multiplication is contracted with an addition here (the build says so to the compiler): all
// instruction sets round alike.

constexpr std::size_t SUM_VECTORS = colxtr::PANEL / I::LANES;
static_assert(I::LANES == V::LANES, "sums become floats vector by vector");

// R rows times one panel, in registers, and their similarities.
template <std::size_t R>
inline void score_tile(const colxtr::ScoredRows& rows, std::size_t row, std::size_t dim,
                       const std::int8_t* panel, const std::int32_t* start, std::size_t lane0,
                       std::size_t stride, float* scores) {
    I sums[R][SUM_VECTORS];
    for (std::size_t r = 0; r < R; ++r)
        for (std::size_t v = 0; v < SUM_VECTORS; ++v) sums[r][v] = I::load(start + v * I::LANES);
    const std::int8_t* values = rows.values + row * dim;
    for (std::size_t d = 0; d < dim; d += 4) {
        typename I::Columns columns[SUM_VECTORS];
        for (std::size_t v = 0; v < SUM_VECTORS; ++v)
            columns[v] = I::columns(panel + d * colxtr::PANEL + v * I::LANES * 4);
        for (std::size_t r = 0; r < R; ++r) {
            const typename I::Group group = I::group(values + r * dim + d);
            for (std::size_t v = 0; v < SUM_VECTORS; ++v)
                sums[r][v] = I::dot(sums[r][v], group, columns[v]);
        }
    }
    for (std::size_t r = 0; r < R; ++r) {
        const V gain = V::broadcast(rows.gains + row + r);
        for (std::size_t v = 0; v < SUM_VECTORS; ++v) {
            const std::size_t lane = lane0 + v * V::LANES;
            V score = V::multiply(gain, I::to_float(sums[r][v]));
            if (rows.bases)
                score = V::add(V::multiply(V::broadcast(rows.weights + row + r),
                                           V::load(rows.bases[row + r] + lane)),
                               score);
            V::store(scores + (row + r) * stride + lane, score);
        }
    }
}

void score(const colxtr::ScoredRows& rows, std::size_t n_rows, std::size_t dim,
           const std::int8_t* panels, std::size_t n_panels, float* scores) {
    constexpr std::size_t R = I::ROWS;
    static_assert(colxtr::ROWS % R == 0, "rows are readable up to a multiple of colxtr::ROWS");
    const std::size_t stride = n_panels * colxtr::PANEL;
    for (std::size_t p = 0; p < n_panels; ++p) {
        const std::int8_t* panel = panels + p * dim * colxtr::PANEL;
        std::int32_t start[colxtr::PANEL];
        I::start(panel, dim / 4, start);
        for (std::size_t row = 0; row < n_rows; row += R)
            score_tile<R>(rows, row, dim, panel, start, p * colxtr::PANEL, stride, scores);
    }
}

std::size_t find_between(const float* rows, std::size_t n_rows, std::size_t stride,
                         const float* floors, const float* ceilings, std::uint32_t* lanes) {
    V floor[VECTORS], ceiling[VECTORS];
    for (std::size_t v = 0; v < VECTORS; ++v) {
        floor[v] = V::load(floors + v * V::LANES);
        ceiling[v] = V::load(ceilings + v * V::LANES);
    }
    for (std::size_t row = 0; row < n_rows; ++row) {
        std::uint32_t found = 0;
        for (std::size_t v = 0; v < VECTORS; ++v) {
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
                 const float (*floors)[colxtr::PANEL], std::uint32_t (*counts)[colxtr::PANEL]) {
    for (std::size_t v = 0; v < VECTORS; ++v) {
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
