#include "pool.h"

#include <algorithm>
#include <functional>

#include "kernels.h"

namespace colxtr {

namespace {
constexpr float NONE = -std::numeric_limits<float>::infinity();
constexpr std::uint32_t NO_SLOT = std::numeric_limits<std::uint32_t>::max();
}  // namespace

void Threshold::add(float value) {
    if (!(value > floor_)) return;  // nor what is not a number: it has no place in an order
    if (keep_ == 0) {
        smallest_ = std::min(smallest_, value);
        return;
    }
    values_.push_back(value);
    if (values_.size() / 2 >= keep_) cut();
}

void Threshold::cut() {
    const auto last = values_.begin() + static_cast<std::ptrdiff_t>(keep_ - 1);
    std::nth_element(values_.begin(), last, values_.end(), std::greater<float>());
    floor_ = *last;
    values_.resize(keep_);
}

float Threshold::value() const {
    if (smallest_ < std::numeric_limits<float>::infinity()) return smallest_;
    if (values_.empty()) return NONE;
    std::vector<float> values = values_;
    const std::size_t rank = std::min(keep_, values.size()) - 1;
    const auto last = values.begin() + static_cast<std::ptrdiff_t>(rank);
    std::nth_element(values.begin(), last, values.end(), std::greater<float>());
    return *last;
}

Pool::Pool(const Query& query, std::size_t k_prime)
    : query_(query), thresholds_(query.n_tokens(), Threshold(k_prime)) {}

std::size_t Pool::slot(const Segment& segment, std::size_t position) {
    std::uint32_t& found = slots_[segment.ordinal(position)];
    if (found == NO_SLOT) {
        found = static_cast<std::uint32_t>(ordinals_.size());
        ordinals_.push_back(segment.first_ordinal + segment.ordinal(position));
        best_.resize(best_.size() + query_.stride(), NONE);
    }
    return found;
}

void Pool::accumulate(const Segment& segment, std::size_t count, Query::Scratch& scratch,
                      const bool* const* probed) {
    const std::size_t stride = query_.stride(), n = query_.n_tokens();
    query_.score(segment, count, scratch);
    for (std::size_t r = 0; r < count; ++r) {
        float* row = scratch.similarities.data() + r * stride;
        if (probed[r])
            for (std::size_t i = 0; i < n; ++i)
                if (!probed[r][i]) row[i] = NONE;
        for (std::size_t i = 0; i < n; ++i) thresholds_[i].add(row[i]);
        const std::size_t document = slot(segment, scratch.positions[r]);
        kernels().maximum(best_.data() + document * stride, row, stride);
    }
}

void Pool::add(const Segment& segment, const std::uint32_t* lists, std::size_t n_lists,
               const bool* probed) {
    slots_.assign(segment.n_documents, NO_SLOT);
    Query::Scratch scratch(query_);
    const bool* rows[Query::BLOCK];
    std::size_t count = 0;
    for (std::size_t l = 0; l < n_lists; ++l) {
        const std::size_t list = lists[l];
        for (std::size_t p = segment.list_offsets[list]; p < segment.list_offsets[list + 1]; ++p) {
            scratch.positions[count] = p;
            scratch.centroids[count] = segment.list_centroids[list];
            rows[count] = probed ? probed + l * query_.n_tokens() : nullptr;
            if (++count == Query::BLOCK) {
                accumulate(segment, count, scratch, rows);
                count = 0;
            }
        }
    }
    accumulate(segment, count, scratch, rows);
}

void Pool::best(float* into) const {
    for (std::size_t document = 0; document < ordinals_.size(); ++document)
        std::copy_n(best_.data() + document * query_.stride(), query_.n_tokens(),
                    into + document * query_.n_tokens());
}

void Pool::thresholds(float* into) const {
    for (std::size_t i = 0; i < thresholds_.size(); ++i) into[i] = thresholds_[i].value();
}

}  // namespace colxtr
