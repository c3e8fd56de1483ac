#include "groups.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>

namespace colxtr {

namespace {

constexpr std::size_t MOST_ROWS =
    16384;                               // sorted by group together: each group's panels serve many
constexpr std::size_t CENTRE_ROWS = 64;  // multiplied with the centres together

std::size_t whole_panels(std::size_t count) { return (count + PANEL - 1) / PANEL * PANEL; }

constexpr std::size_t RUN = 16;

// The largest of RUN values: four at a time, so that the compiler finds vectors in it.
float largest_of_run(const float* values) {
    float top[4] = {values[0], values[1], values[2], values[3]};
    for (std::size_t i = 4; i < RUN; i += 4)
        for (std::size_t lane = 0; lane < 4; ++lane)
            top[lane] = values[i + lane] > top[lane] ? values[i + lane] : top[lane];
    return std::max(std::max(top[0], top[1]), std::max(top[2], top[3]));
}

// The places of the largest of some values; the first of equals. Scratch is kept between calls.
class Largest {
 public:
    Largest(std::size_t n, std::size_t wanted)
        : n_(n), wanted_(wanted), tops_((n + RUN - 1) / RUN) {}

    // `values`: n, readable and below all others up to the next multiple of RUN.
    const std::vector<std::uint32_t>& operator()(const float* values) {
        const float bound = lower_bound_of_wanted(values);
        found_.clear();
        for (std::size_t t = 0; t < tops_.size(); ++t)
            if (tops_[t] >= bound)
                for (std::size_t i = t * RUN; i < std::min(n_, t * RUN + RUN); ++i)
                    if (values[i] >= bound) found_.push_back(static_cast<std::uint32_t>(i));
        if (found_.size() > wanted_) {
            const auto before = [&](std::uint32_t a, std::uint32_t b) {
                return values[a] > values[b] || (values[a] == values[b] && a < b);
            };
            std::nth_element(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(wanted_),
                             found_.end(), before);
            found_.resize(wanted_);
        }
        return found_;
    }

 private:
    // At least `wanted` values reach it: the wanted-th of the runs' largest.
    float lower_bound_of_wanted(const float* values) {
        for (std::size_t t = 0; t < tops_.size(); ++t) tops_[t] = largest_of_run(values + t * RUN);
        if (wanted_ > tops_.size()) return std::numeric_limits<float>::lowest();
        sorted_ = tops_;
        const auto last = sorted_.begin() + static_cast<std::ptrdiff_t>(wanted_ - 1);
        std::nth_element(sorted_.begin(), last, sorted_.end(), std::greater<float>());
        return *last;
    }

    std::size_t n_, wanted_;
    std::vector<float> tops_, sorted_;
    std::vector<std::uint32_t> found_;
};

}  // namespace

Groups::Groups(const float* vectors, const std::uint32_t* group_of, std::size_t count,
               const float* centres, std::size_t n_groups, std::size_t dim)
    : dim_(dim), n_groups_(n_groups), centres_(centres, n_groups, dim), groups_(n_groups) {
    for (std::size_t i = 0; i < count; ++i) ++groups_[group_of[i]].count;
    std::size_t end = 0;
    for (Group& group : groups_) {
        group.first = end;
        end += whole_panels(group.count);
    }
    columns_ = Buffer<float>(end * dim);
    numbers_.assign(end, 0);
    std::vector<std::size_t> next(n_groups);
    for (std::size_t g = 0; g < n_groups; ++g) next[g] = groups_[g].first;
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t column = next[group_of[i]]++;
        numbers_[column] = static_cast<std::uint32_t>(i);
        float* values = columns_.data() + column / PANEL * PANEL * dim + column % PANEL;
        for (std::size_t d = 0; d < dim; ++d) values[d * PANEL] = vectors[i * dim + d];
    }
}

Groups::Visits Groups::visits(const float* rows, std::size_t n_rows, std::size_t n_probe) const {
    const std::size_t stride = centres_.stride();
    Buffer<float> some(CENTRE_ROWS * dim_), products(CENTRE_ROWS * stride);
    Largest largest(n_groups_, n_probe);
    std::vector<std::uint32_t> chosen(n_rows * n_probe);
    Visits visits{std::vector<std::size_t>(n_groups_ + 1), {}};
    for (std::size_t row = 0; row < n_rows; row += CENTRE_ROWS) {
        const std::size_t count = std::min(n_rows - row, CENTRE_ROWS);
        std::memcpy(some.data(), rows + row * dim_, count * dim_ * sizeof(float));
        centres_.multiply(some.data(), count, products.data());
        for (std::size_t i = 0; i < count; ++i) {
            float* values = products.data() + i * stride;
            std::fill(values + n_groups_, values + stride, std::numeric_limits<float>::lowest());
            const std::vector<std::uint32_t>& found = largest(values);
            std::copy(found.begin(), found.end(), chosen.data() + (row + i) * n_probe);
        }
    }
    for (const std::uint32_t group : chosen) ++visits.starts[group + 1];
    for (std::size_t g = 0; g < n_groups_; ++g) visits.starts[g + 1] += visits.starts[g];
    visits.which.resize(chosen.size());
    std::vector<std::size_t> next(visits.starts.begin(), visits.starts.end() - 1);
    for (std::size_t i = 0; i < chosen.size(); ++i)
        visits.which[next[chosen[i]]++] = static_cast<std::uint32_t>(i / n_probe);
    return visits;
}

void Groups::nearest(const float* rows, std::size_t n_rows, std::size_t n_probe,
                     std::uint32_t* best) const {
    std::vector<Best> running(std::min(n_rows, MOST_ROWS));
    for (std::size_t row = 0; row < n_rows; row += MOST_ROWS) {
        const std::size_t count = std::min(n_rows - row, MOST_ROWS);
        const float* some = rows + row * dim_;
        const Visits sorted = visits(some, count, n_probe);
        std::fill(running.begin(), running.end(), no_best());
        for (std::size_t g = 0; g < n_groups_; ++g)
            kernels().improve(some, sorted.which.data() + sorted.starts[g],
                              sorted.starts[g + 1] - sorted.starts[g], dim_,
                              columns_.data() + groups_[g].first * dim_, groups_[g].count,
                              static_cast<std::uint32_t>(groups_[g].first), running.data());
        for (std::size_t i = 0; i < count; ++i) best[row + i] = numbers_[winner(running[i])];
    }
}

}  // namespace colxtr
