// Every table of kernels that a machine runs, held against the scalar one: for processors on which
// the tests in Python cannot run, in an emulator (`make neon`). Ends with 1 if one differs.
//
// Integers, and all that is promised to round alike, must be equal; products of floats may differ
// by the order in which they are added.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "kernels.h"

using namespace colxtr;

namespace {

std::mt19937 source(1);

int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(source); }

template <typename T>
std::vector<T> integers(std::size_t n, int low, int high) {
    std::vector<T> values(n);
    for (T& value : values) value = static_cast<T>(between(low, high));
    return values;
}

std::vector<float> floats(std::size_t n, float most) {
    std::vector<float> values(n);
    std::uniform_real_distribution<float> any(-most, most);
    for (float& value : values) value = any(source);
    return values;
}

// What a kernel wrote, as bytes: to be equal.
class Output {
 public:
    template <typename T>
    void add(const std::vector<T>& values) {
        add(values.data(), values.size());
    }
    template <typename T>
    void add(const T* values, std::size_t n) {
        const auto* first = reinterpret_cast<const unsigned char*>(values);
        bytes_.insert(bytes_.end(), first, first + n * sizeof(T));
    }
    bool operator==(const Output& other) const { return bytes_ == other.bytes_; }

 private:
    std::vector<unsigned char> bytes_;
};

struct Score {
    std::size_t n_rows = static_cast<std::size_t>(between(1, 70)),
                padded = (n_rows + ROWS - 1) / ROWS * ROWS, width = between(0, 1) ? 8 : 4,
                n_strips = static_cast<std::size_t>(between(1, 5)),
                dim = width * static_cast<std::size_t>(between(8, 32));
    std::vector<std::int8_t> strips = integers<std::int8_t>(n_strips * STRIP * dim, -127, 127),
                             values = integers<std::int8_t>(padded * dim, -128, 127),
                             codebook = integers<std::int8_t>(4096 * width, -128, 127);
    std::vector<std::uint8_t> codes = integers<std::uint8_t>(padded * dim / width, 0, 255);
    std::vector<float> gains = floats(padded, 1), weights = floats(padded, 1),
                       bases = floats(padded * n_strips * STRIP, 1000);

    void run(const Kernels& kernels, Output& output) const {
        std::vector<const std::int8_t*> value_rows;
        std::vector<const std::uint8_t*> code_rows;
        std::vector<const float*> base_rows;
        for (std::size_t row = 0; row < padded; ++row) {
            value_rows.push_back(values.data() + row * dim);
            code_rows.push_back(codes.data() + row * dim / width);
            base_rows.push_back(bases.data() + row * n_strips * STRIP);
        }
        for (const bool coded : {false, true})
            for (const bool based : {false, true}) {
                ScoredRows rows;
                rows.values = value_rows.data();
                rows.codes = coded ? code_rows.data() : nullptr;
                rows.codebook = codebook.data();
                rows.width = width;
                rows.gains = gains.data();
                rows.weights = weights.data();
                rows.bases = based ? base_rows.data() : nullptr;
                std::vector<float> scores(padded * n_strips * STRIP);
                kernels.score(rows, n_rows, dim, strips.data(), n_strips, scores.data());
                output.add(scores.data(), n_rows * n_strips * STRIP);
            }
    }
};

struct Thresholds {
    std::size_t n_rows = static_cast<std::size_t>(between(1, 200)),
                stride = STRIP * static_cast<std::size_t>(between(1, 4));
    std::vector<float> rows = floats(n_rows * stride, 3), floors = floats(FLOORS * STRIP, 3),
                       weights = floats(stride, 2), bounds = floats(stride, 3), best = rows;

    void run(const Kernels& kernels, Output& output) const {
        std::uint32_t counts[FLOORS][STRIP] = {};
        const auto* of_lanes = reinterpret_cast<const float (*)[STRIP]>(floors.data());
        kernels.count_above(rows.data(), n_rows, stride, of_lanes, counts);
        output.add(&counts[0][0], FLOORS * STRIP);
        std::uint32_t lanes = 0;
        const std::size_t found =
            kernels.find_between(rows.data(), n_rows, stride, of_lanes[0], of_lanes[1], &lanes);
        output.add(&found, 1);
        output.add(&lanes, 1);
        std::vector<float> sums(n_rows), largest(best.rbegin(), best.rend());
        kernels.sum_maxima(rows.data(), n_rows, stride, bounds.data(), weights.data(), sums.data());
        output.add(sums);
        std::vector<float*> into;
        for (std::size_t row = 0; row < n_rows; ++row)
            into.push_back(largest.data() + row / 3 * stride);  // some have several rows
        kernels.maxima(rows.data(), n_rows, stride, into.data());
        output.add(largest);
    }
};

struct Levels {
    std::size_t n_rows = static_cast<std::size_t>(between(1, 70)), n_ordinals = 200,
                stride = STRIP * static_cast<std::size_t>(between(1, 5));
    unsigned width = static_cast<unsigned>(between(7, 26));
    std::vector<float> values = floats(n_rows * stride, 13'000), factors = floats(stride, 0.025f);
    std::vector<std::uint8_t> floors = integers<std::uint8_t>(stride, 0, 255),
                              margins = integers<std::uint8_t>(stride, 0, 10),
                              least = integers<std::uint8_t>(stride, 0, 255);
    std::vector<int> ordinals = integers<int>(n_ordinals, 0, static_cast<int>(n_rows) + 1);

    void run(const Kernels& kernels, Output& output) const {
        std::vector<std::uint8_t> levels(n_rows * stride);
        kernels.to_levels(values.data(), n_rows, stride, factors.data(), levels.data());
        output.add(levels);

        std::vector<std::uint8_t> packed(n_ordinals * width / 8 + 16);
        for (std::size_t i = 0; i < n_ordinals; ++i) {
            std::uint64_t word;
            std::memcpy(&word, &packed[i * width / 8], sizeof word);
            word |= static_cast<std::uint64_t>(ordinals[i]) << (i * width % 8);
            std::memcpy(&packed[i * width / 8], &word, sizeof word);
        }
        std::vector<std::uint8_t> raised(n_rows * stride);
        std::vector<std::uint32_t> touched(n_rows + 1);
        std::size_t n_touched = 0;
        for (std::size_t at = 0; at < n_ordinals; ++at) {
            at = kernels.raise_levels(packed.data(), width, at, n_ordinals, 1, n_rows,
                                      levels.data() + at % n_rows * stride, stride, raised.data(),
                                      touched.data(), &n_touched);
            output.add(&at, 1);
        }
        output.add(raised);
        output.add(touched.data(), n_touched);

        std::vector<std::uint32_t> sums(n_touched);
        kernels.sum_levels(raised.data(), touched.data(), n_touched, stride, floors.data(),
                           sums.data());
        output.add(sums);

        std::vector<const std::uint8_t*> rows;
        for (std::size_t row = 0; row < n_rows; ++row) rows.push_back(levels.data() + row * stride);
        std::vector<std::uint8_t> largest(stride);
        std::vector<std::uint32_t> found(n_rows + 1);
        const std::size_t n_found = kernels.find_near(rows.data(), n_rows, stride, margins.data(),
                                                      least.data(), largest.data(), found.data());
        output.add(largest);
        output.add(found.data(), n_found);
    }
};

struct Codes {
    std::size_t n_pairs = std::size_t{1} << between(0, 2),
                n_groups = static_cast<std::size_t>(between(1, 40));
    std::vector<std::int32_t> bases =
        integers<std::int32_t>(Trellis::STATES * 16 * Trellis::STATES, 0, 1 << 20);
    std::vector<std::int16_t> values =
        integers<std::int16_t>(bases.size() * n_pairs * 2, -16 * 128, 16 * 127);
    std::vector<std::int16_t> shapes = integers<std::int16_t>(
        Trellis::TOKENS * n_groups * 2 * n_pairs, -16 * Trellis::MOST, 16 * Trellis::MOST);

    void run(const Kernels& kernels, Output& output) const {
        Trellis trellis;
        trellis.bases = bases.data();
        trellis.values = values.data();
        trellis.n_pairs = n_pairs;
        std::vector<std::uint8_t> codes(Trellis::TOKENS * n_groups);
        kernels.search_trellis(trellis, shapes.data(), n_groups, codes.data());
        output.add(codes);
    }
};

struct Plain {
    std::size_t n_rows = static_cast<std::size_t>(between(1, 20)),
                dim = 8 * static_cast<std::size_t>(between(1, 20));
    std::vector<float> rows = floats(n_rows * dim, 2), matrix = floats(dim * dim, 1);

    void run(const Kernels& kernels, Output& output) const {
        std::vector<float> into(n_rows * dim);
        kernels.transform(rows.data(), n_rows, dim, matrix.data(), into.data());
        output.add(into);
        std::vector<std::uint16_t> halves;
        for (unsigned bits = 0; bits < 65'536; ++bits)
            if ((bits & 0x7c00) != 0x7c00 || (bits & 0x3ff) == 0)  // no NaN
                halves.push_back(static_cast<std::uint16_t>(bits));
        halves.resize(halves.size() / 8 * 8);
        std::vector<float> singles(halves.size());
        kernels.half_to_float(halves.data(), halves.size(), singles.data());
        output.add(singles);
    }
};

// Products of floats: their largest difference, and whether the same columns win by more than that.
struct Products {
    std::size_t n_rows = static_cast<std::size_t>(between(1, 40)),
                padded = (n_rows + ROWS - 1) / ROWS * ROWS,
                dim = 16 * static_cast<std::size_t>(between(1, 16)),
                n_panels = static_cast<std::size_t>(between(1, 4)),
                n_columns = n_panels * PANEL - static_cast<std::size_t>(between(0, PANEL - 1));
    std::vector<float> rows = floats(padded * dim, 1), panels = floats(n_panels * PANEL * dim, 1);

    bool agree(const Kernels& one, const Kernels& other) const {
        const float rounding = 1e-6f * static_cast<float>(dim);
        std::vector<float> first(padded * n_panels * PANEL), second(first.size());
        one.multiply(rows.data(), n_rows, dim, panels.data(), n_panels, first.data());
        other.multiply(rows.data(), n_rows, dim, panels.data(), n_panels, second.data());
        for (std::size_t i = 0; i < n_rows * n_panels * PANEL; ++i)
            if (std::fabs(first[i] - second[i]) > rounding) return false;
        std::vector<Best> best(2 * n_rows);
        for (Best& each : best) {
            std::fill_n(each.score, PANEL, -1e30f);
            std::fill_n(each.column, PANEL, 0u);
        }
        std::vector<std::uint32_t> which;
        for (std::size_t row = 0; row < n_rows; ++row)
            which.push_back(static_cast<std::uint32_t>(n_rows - 1 - row));
        const Kernels* both[] = {&one, &other};
        for (std::size_t i = 0; i < 2; ++i)
            both[i]->improve(rows.data(), which.data(), n_rows, dim, panels.data(), n_columns, 7,
                             best.data() + i * n_rows);
        for (std::size_t row = 0; row < n_rows; ++row)
            for (std::size_t lane = 0; lane < PANEL; ++lane) {
                const Best &a = best[row], &b = best[n_rows + row];
                if (std::fabs(a.score[lane] - b.score[lane]) > rounding) return false;
                // The product with the column that won, by the first table, is that score.
                const std::size_t column =
                    b.column[lane] < 7 ? PANEL * n_panels : b.column[lane] - 7;
                if (column >= n_columns) {
                    if (a.column[lane] != b.column[lane]) return false;
                    continue;
                }
                const float product = first[row * n_panels * PANEL + column];
                if (std::fabs(product - b.score[lane]) > rounding) return false;
            }
        return true;
    }
};

template <typename Case>
bool all_equal(const char* what, const Kernels& one, const Kernels& other, int n_cases) {
    int different = 0;
    for (int i = 0; i < n_cases; ++i) {
        const Case made;
        Output first, second;
        made.run(one, first);
        made.run(other, second);
        different += !(first == second);
    }
    std::printf("%s, %s: %d of %d differ\n", other.name, what, different, n_cases);
    return different == 0;
}

}  // namespace

int main() {
    const char* names[8];
    const std::size_t n = available(names, 8);
    use(names[0]);
    const Kernels& scalar = kernels();
    bool equal = true;
    for (std::size_t i = 1; i < n; ++i) {
        use(names[i]);
        const Kernels& other = kernels();
        equal &= all_equal<Score>("scores", scalar, other, 200);
        equal &= all_equal<Thresholds>("thresholds", scalar, other, 200);
        equal &= all_equal<Levels>("levels", scalar, other, 300);
        equal &= all_equal<Codes>("codes", scalar, other, 30);
        equal &= all_equal<Plain>("plain", scalar, other, 10);
        int different = 0;
        for (int j = 0; j < 100; ++j) different += !Products().agree(scalar, other);
        std::printf("%s, products: %d of 100 differ\n", other.name, different);
        equal &= different == 0;
    }
    std::printf("%s\n",
                n > 1 ? (equal ? "all agree" : "NOT equal") : "one table: nothing compared");
    return equal && n > 1 ? 0 : 1;
}
