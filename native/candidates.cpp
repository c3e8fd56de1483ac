#include "candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "bits.h"
#include "kernels.h"
#include "rows.h"
#include "select.h"
#include "threads.h"

namespace colxtr {

namespace {

constexpr float NONE = -std::numeric_limits<float>::infinity();
constexpr float NEVER = std::numeric_limits<float>::infinity();
constexpr std::uint32_t NO_SLOT = Workspace::NO_SLOT;
constexpr std::size_t ROW_BYTES = std::size_t{1} << 26;  // of the pooled tokens' rows, at first
constexpr std::size_t DOCUMENTS = 256;                   // scored together

using Probed = std::vector<bool>;  // which query tokens look into a list

}  // namespace

// What one thread pools.
class Candidates::Part {
 public:
    // n_documents: at most, of all parts; n_tokens: that this part will get.
    Part(const Query& query, Workspace::Part& room, std::size_t n_ordinals, std::size_t n_documents,
         std::size_t n_tokens, const Pooling& pooling)
        : query_(query),
          room_(room),
          stride_(query.stride()),
          k_prime_(pooling.k_prime),
          allowed_(pooling.allowed),
          keeps_rows_(pooling.thresholds && pooling.k_prime > 0),
          seen_(query.n_tokens()),
          lowest_(stride_, NEVER),
          block_(query) {
        if (room.slots.size() < n_ordinals) room.slots.resize(n_ordinals, NO_SLOT);
        capacity_ = std::min(n_tokens, ROW_BYTES / (stride_ * sizeof(float)));
        capacity_ = keeps_rows_ ? std::max(capacity_, 2 * Query::BLOCK) : Query::BLOCK;
        room.rows.of((capacity_ + Query::BLOCK) * stride_);
        room.best.of(n_documents * stride_);
    }

    ~Part() {
        for (const std::uint64_t ordinal : ordinals_) room_.slots[ordinal] = NO_SLOT;
    }
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    Part(Part&&) = default;

    const std::vector<std::uint64_t>& ordinals() const { return ordinals_; }
    const float* best(std::size_t document) const { return room_.best.data() + document * stride_; }
    Rows rows() const { return {room_.rows.data(), keeps_rows_ ? n_rows_ : 0}; }
    const std::vector<std::size_t>& seen() const { return seen_; }
    const std::vector<float>& lowest() const { return lowest_; }

    // Adds tokens of one list. `probed`, if given: which query tokens see them.
    void add(const Stretch& stretch, const Probed* probed) {
        block_.segment = stretch.segment;
        query_.share(stretch.centroid, block_);
        for (std::size_t at = stretch.begin; at < stretch.end;) {
            at = fill(at, stretch.end);
            if (block_.count) add_block(probed);
        }
    }

    // Lets the documents have what waits for them.
    void finish() {
        if (waiting_)
            kernels().maxima(room_.rows.data() + waiting_rows_ * stride_, waiting_, stride_, best_);
        waiting_ = 0;
    }

    // Takes over what another part found; its rows stay with it.
    void join(const Part& other) {
        for (std::size_t i = 0; i < seen_.size(); ++i) seen_[i] += other.seen_[i];
        for (std::size_t d = 0; d < other.ordinals_.size(); ++d) {
            float* best = best_of(other.ordinals_[d]);
            kernels().maxima(other.best(d), 1, stride_, &best);
        }
        for (std::size_t i = 0; i < stride_; ++i)
            lowest_[i] = std::min(lowest_[i], other.lowest_[i]);
    }

 private:
    // Takes the next tokens of documents that count, a block at most; returns where it stopped.
    // Asks for the slots of their documents.
    std::size_t fill(std::size_t at, std::size_t end) {
        const Segment& segment = *block_.segment;
        for (block_.count = 0; at < end && block_.count < Query::BLOCK; ++at) {
            const std::uint64_t ordinal = segment.first_ordinal + segment.ordinal(at);
            if (allowed_ && !is_allowed(ordinal)) continue;
            prefetch_line(room_.slots.data() + ordinal);
            owners_[block_.count] = ordinal;
            block_.positions[block_.count++] = at;
        }
        return at;
    }

    bool is_allowed(std::uint64_t ordinal) const {
        return allowed_[ordinal / 8] >> (ordinal % 8) & 1;
    }

    // Scores a block; what it changes of its documents waits until the next one has been scored,
    // and the memory asked for has come.
    void add_block(const Probed* probed) {
        if (n_rows_ + block_.count > capacity_) {
            finish();
            make_room();
        }
        const std::size_t row = keeps_rows_ ? n_rows_ : waiting_rows_ ? 0 : Query::BLOCK;
        float* rows = room_.rows.data() + row * stride_;
        query_.score(block_, rows);
        if (probed) hide(rows, *probed);
        for (std::size_t i = 0; i < query_.n_tokens(); ++i)
            if (!probed || (*probed)[i]) seen_[i] += block_.count;
        finish();
        for (std::size_t r = 0; r < block_.count; ++r) {
            best_[r] = best_of(owners_[r]);
            for (std::size_t i = 0; i < stride_; i += 16) prefetch_line(best_[r] + i);
        }
        waiting_ = block_.count;
        waiting_rows_ = row;
        if (keeps_rows_) n_rows_ += block_.count;
    }

    // Where the largest similarities of a document are kept: all but lowest, if it is new.
    float* best_of(std::uint64_t ordinal) {
        std::uint32_t& slot = room_.slots[ordinal];
        const bool is_new = slot == NO_SLOT;
        if (is_new) {
            ordinals_.push_back(ordinal);
            slot = static_cast<std::uint32_t>(ordinals_.size() - 1);
        }
        float* best = room_.best.data() + slot * stride_;
        if (is_new) std::fill_n(best, stride_, NONE);
        return best;
    }

    // What a query token does not look at, it does not see; of the rest it notes the lowest.
    void hide(float* rows, const Probed& probed) {
        for (std::size_t i = 0; i < query_.n_tokens(); ++i)
            for (std::size_t r = 0; r < block_.count; ++r) {
                float& value = rows[r * stride_ + i];
                if (!probed[i])
                    value = NONE;
                else if (value < lowest_[i])
                    lowest_[i] = value;
            }
    }

    // Drops the rows that are below the thresholds in all columns: a threshold over more tokens
    // is no lower. If that does not help much, takes more memory.
    void make_room() {
        std::vector<std::size_t> ranks(query_.n_tokens());
        for (std::size_t i = 0; i < ranks.size(); ++i) ranks[i] = std::min(k_prime_, seen_[i]);
        std::vector<float> floors(stride_, NEVER);
        kth_largest({rows()}, stride_, ranks, 1, floors.data());
        for (std::size_t i = 0; i < ranks.size(); ++i)
            floors[i] = ranks[i] < k_prime_ ? NONE : std::nextafter(floors[i], NONE);
        float* rows = room_.rows.data();
        std::size_t kept = 0;
        for (std::size_t row = 0; row < n_rows_; ++row)
            if (any_above(rows + row * stride_, stride_, floors.data()))
                std::copy_n(rows + row * stride_, stride_, rows + kept++ * stride_);
        n_rows_ = kept;
        if (kept <= capacity_ / 2) return;
        capacity_ *= 2;
        room_.rows.of((capacity_ + Query::BLOCK) * stride_, n_rows_ * stride_);
    }

    const Query& query_;
    Workspace::Part& room_;
    std::size_t stride_, k_prime_, capacity_, n_rows_ = 0;
    const std::uint8_t* allowed_;
    bool keeps_rows_;
    std::vector<std::size_t> seen_;  // tokens of this part that each query token sees
    std::vector<float> lowest_;      // with own lists: of what each query token saw
    std::vector<std::uint64_t> ordinals_;
    Query::Block block_;
    std::uint64_t owners_[Query::BLOCK];  // of the block's tokens
    float* best_[Query::BLOCK];           // of the documents of the tokens that wait
    std::size_t waiting_ = 0, waiting_rows_ = 0;
};

std::vector<Candidates::Stretch> Candidates::find_lists(const Collection& collection,
                                                        const Pooling& pooling) {
    std::vector<std::uint32_t> probed = query_.probes();
    std::sort(probed.begin(), probed.end());
    probed.erase(std::unique(probed.begin(), probed.end()), probed.end());
    std::vector<Stretch> found;
    for (const Segment* segment : collection.segments) {
        const auto add = [&](std::size_t list) {
            found.push_back({segment, segment->list_centroids[list], segment->list_offsets[list],
                             segment->list_offsets[list + 1]});
            n_tokens_ += found.back().end - found.back().begin;
        };
        if (pooling.all_lists) {
            for (std::size_t list = 0; list < segment->n_lists; ++list) add(list);
            continue;
        }
        const std::uint32_t *begin = segment->list_centroids, *end = begin + segment->n_lists;
        const std::uint32_t* at = begin;
        for (const std::uint32_t centroid : probed) {
            at = std::lower_bound(at, end, centroid);
            if (at != end && *at == centroid) add(static_cast<std::size_t>(at - begin));
        }
    }
    return found;
}

namespace {

// By centroid, for those that are probed: which query tokens probe it.
std::vector<Probed> probers(const Query& query) {
    std::vector<Probed> probed(query.codec().n_centroids());
    const std::size_t n_probe = query.probes().size() / query.n_tokens();
    for (std::size_t i = 0; i < query.probes().size(); ++i) {
        Probed& tokens = probed[query.probes()[i]];
        tokens.resize(query.n_tokens());
        tokens[i / n_probe] = true;
    }
    return probed;
}

}  // namespace

Candidates::Candidates(const Query& query, const Collection& collection, const Pooling& pooling)
    : query_(query), thresholds_(query.stride(), NONE) {
    const std::vector<Stretch> stretches = find_lists(collection, pooling);
    const std::vector<Probed> probed =
        pooling.own_lists && !pooling.all_lists ? probers(query) : std::vector<Probed>();
    const std::size_t n_parts =
        std::max<std::size_t>(1, std::min(query.threads(), n_tokens_ / (8 * Query::BLOCK)));
    auto& rooms = lease_->parts;
    if (rooms.size() < n_parts) rooms.resize(n_parts);
    parts_.reserve(n_parts);
    const std::size_t share = (n_tokens_ + n_parts - 1) / n_parts;
    const std::size_t n_ordinals = static_cast<std::size_t>(collection.n_ordinals());
    for (std::size_t p = 0; p < n_parts; ++p)
        parts_.emplace_back(query, rooms[p], n_ordinals, std::min(n_ordinals, n_tokens_), share,
                            pooling);
    // Each part takes the tokens p * share .. (p + 1) * share - 1 of all stretches in order.
    run(n_parts, query.threads(), [&](std::size_t p, std::size_t) {
        std::size_t passed = 0;
        for (const Stretch& whole : stretches) {
            const std::size_t size = whole.end - whole.begin;
            const std::size_t from = std::max(p * share, passed),
                              to = std::min((p + 1) * share, passed + size);
            if (from < to) {
                Stretch mine = whole;
                mine.begin = whole.begin + (from - passed);
                mine.end = whole.begin + (to - passed);
                parts_[p].add(mine, probed.empty() ? nullptr : &probed[whole.centroid]);
            }
            passed += size;
        }
        parts_[p].finish();
    });
    for (std::size_t p = 1; p < n_parts; ++p) parts_[0].join(parts_[p]);
    seen_ = parts_[0].seen();
    if (!pooling.thresholds) return;
    if (pooling.k_prime > 0) {
        std::vector<Rows> rows;
        for (const Part& part : parts_) rows.push_back(part.rows());
        std::vector<std::size_t> ranks(seen_.size());
        for (std::size_t i = 0; i < ranks.size(); ++i)
            ranks[i] = std::min<std::size_t>(pooling.k_prime, seen_[i]);
        kth_largest(rows, query.stride(), ranks, query.threads(), thresholds_.data());
    } else if (!probed.empty()) {
        for (std::size_t i = 0; i < seen_.size(); ++i)
            if (seen_[i]) thresholds_[i] = parts_[0].lowest()[i];
    }
}

Candidates::~Candidates() = default;

const std::vector<std::uint64_t>& Candidates::ordinals() const { return parts_[0].ordinals(); }

std::vector<float> Candidates::thresholds() const {
    std::vector<float> found(query_.n_tokens());
    for (std::size_t i = 0; i < found.size(); ++i) found[i] = thresholds_[i] * query_.scales()[i];
    return found;
}

std::vector<float> Candidates::just_below_thresholds() const {
    std::vector<float> floors(query_.stride(), NEVER);
    for (std::size_t i = 0; i < query_.n_tokens(); ++i)
        if (seen_[i])
            floors[i] =
                std::max(std::nextafter(thresholds_[i], NONE), -std::numeric_limits<float>::max());
    return floors;
}

bool Candidates::keeps(std::size_t document, const std::vector<float>& floors) const {
    return any_above(parts_[0].best(document), query_.stride(), floors.data());
}

std::vector<Scored> Candidates::best_by(const float* floors, std::size_t k,
                                        bool retrieved_only) const {
    const std::vector<float> below = just_below_thresholds();
    Top top(k);
    float sums[DOCUMENTS];
    for (std::size_t first = 0; first < ordinals().size(); first += DOCUMENTS) {
        const std::size_t count = std::min(DOCUMENTS, ordinals().size() - first);
        kernels().sum_maxima(parts_[0].best(first), count, query_.stride(), floors,
                             query_.weights(), sums);
        for (std::size_t d = 0; d < count; ++d)
            if (sums[d] >= top.floor() && (!retrieved_only || keeps(first + d, below)))
                top.offer({sums[d], ordinals()[first + d]});
    }
    return top.sorted();
}

std::vector<Scored> Candidates::best_imputed(std::size_t k, bool retrieved_only) const {
    std::vector<float> floors = thresholds_;
    for (std::size_t i = 0; i < query_.stride(); ++i)
        if (i >= query_.n_tokens() || !seen_[i]) floors[i] = 0;  // favours no document
    return best_by(floors.data(), k, retrieved_only);
}

std::vector<Scored> Candidates::best_lower_bounds(std::size_t k) const {
    const std::vector<float> floors(query_.stride(), -std::numeric_limits<float>::max());
    return best_by(floors.data(), k, false);
}

std::vector<std::uint64_t> Candidates::retrieved() const {
    const std::vector<float> below = just_below_thresholds();
    std::vector<std::uint64_t> found;
    for (std::size_t d = 0; d < ordinals().size(); ++d)
        if (keeps(d, below)) found.push_back(ordinals()[d]);
    return found;
}

}  // namespace colxtr
