#include "candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "bits.h"
#include "kernels.h"
#include "rows.h"
#include "select.h"
#include "shortlist.h"
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
    // n_tokens: that this part will get.
    Part(const Query& query, Workspace::Part& room, std::size_t n_ordinals, std::size_t n_tokens,
         const Pooling& pooling)
        : query_(query),
          room_(room),
          stride_(query.stride()),
          k_prime_(pooling.k_prime),
          keeps_rows_(pooling.thresholds && pooling.k_prime > 0),
          seen_(query.n_tokens()),
          lowest_(stride_, NEVER) {
        for (std::size_t i = 0; i < AHEAD; ++i) blocks_.emplace_back(query);
        if (room.slots.size() < n_ordinals) room.slots.resize(n_ordinals, NO_SLOT);
        capacity_ = std::min(n_tokens, ROW_BYTES / (stride_ * sizeof(float))) + Query::BLOCK;
        if (!keeps_rows_) capacity_ = Query::BLOCK;
        room.rows.of(capacity_ * stride_);
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
    std::size_t slot(std::uint64_t ordinal) const { return room_.slots[ordinal]; }

    // Tokens that follow are of `n_documents` at most that are new to all parts, those of other
    // documents than the allowed are passed over.
    void begin(std::size_t n_documents, const std::uint8_t* allowed) {
        allowed_ = allowed;
        joined_ = ordinals_.size();
        room_.best.of((joined_ + n_documents) * stride_, joined_ * stride_);
    }

    // Adds tokens of one list. `base`: the products of its centroid. `probed`, if given: which
    // query tokens see them.
    void add(const Stretch& stretch, const float* base, const Probed* probed) {
        const Segment& segment = *stretch.segment;
        if (blocks_[at_].block.count && blocks_[at_].block.segment != &segment) step();
        if (!allowed_) {
            for (std::size_t position = stretch.begin; position < stretch.end; ++position)
                add(segment, position, base, probed);
            return;
        }
        std::uint32_t found[Query::BLOCK];
        for (std::size_t first = stretch.begin; first < stretch.end; first += Query::BLOCK) {
            const std::size_t n = std::min(Query::BLOCK, stretch.end - first);
            const std::size_t count = find_allowed(segment, first, n, found);
            for (std::size_t i = 0; i < count; ++i) add(segment, first + found[i], base, probed);
        }
    }

    // Scores what waits.
    void finish() {
        for (std::size_t i = 0; i < AHEAD; ++i) step();
    }

    // Takes over what another part has found since its `begin`; its rows stay with it.
    void join(Part& other) {
        for (std::size_t i = 0; i < seen_.size(); ++i) seen_[i] += other.seen_[i];
        std::fill(other.seen_.begin(), other.seen_.end(), 0);
        for (std::size_t d = other.joined_; d < other.ordinals_.size(); ++d) {
            float* best = best_of(other.ordinals_[d]);
            kernels().maxima(other.best(d), 1, stride_, &best);
        }
        for (std::size_t i = 0; i < stride_; ++i)
            lowest_[i] = std::min(lowest_[i], other.lowest_[i]);
    }

 private:
    void add(const Segment& segment, std::size_t position, const float* base,
             const Probed* probed) {
        const std::uint64_t ordinal = segment.first_ordinal + segment.ordinal(position);
        Filled& filled = blocks_[at_];
        Query::Block& block = filled.block;
        prefetch_line(room_.slots.data() + ordinal);
        segment.prefetch_code(position);
        filled.owners[block.count] = ordinal;
        filled.probed[block.count] = probed;
        block.segment = &segment;
        block.bases[block.count] = base;
        block.positions[block.count++] = position;
        if (block.count == Query::BLOCK) step();
    }

    // Which of the `n` tokens from `first` on belong to documents that count, without a branch that
    // nobody can guess.
    std::size_t find_allowed(const Segment& segment, std::size_t first, std::size_t n,
                             std::uint32_t* found) const {
        std::size_t count = 0;
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint64_t ordinal = segment.first_ordinal + segment.ordinal(first + i);
            found[count] = static_cast<std::uint32_t>(i);
            count += is_set(allowed_, ordinal);
        }
        return count;
    }

    // A block of tokens on its way.
    struct Filled {
        explicit Filled(const Query& query) : block(query) {}
        Query::Block block;
        std::uint64_t owners[Query::BLOCK];
        const Probed* probed[Query::BLOCK];
        float* best[Query::BLOCK];  // the rows of the owners
    };
    static constexpr std::size_t AHEAD = 3;  // slots asked for | rows asked for | scored

    // Lets the blocks move on by one: what memory was asked for has come when it is needed.
    void step() {
        find_rows(blocks_[(at_ + AHEAD - 1) % AHEAD]);
        at_ = (at_ + 1) % AHEAD;
        score(blocks_[at_]);
    }

    void find_rows(Filled& filled) {
        for (std::size_t r = 0; r < filled.block.count; ++r) {
            filled.best[r] = best_of(filled.owners[r]);
            for (std::size_t i = 0; i < stride_; i += 16) prefetch_line(filled.best[r] + i);
        }
    }

    // Scores a block and lets its documents have the maxima; empties it.
    void score(Filled& filled) {
        const std::size_t count = filled.block.count;
        if (count == 0) return;
        if (n_rows_ + Query::BLOCK > capacity_) make_room();
        float* rows = room_.rows.data() + n_rows_ * stride_;
        query_.score(filled.block, rows);
        for (std::size_t i = 0; i < query_.n_tokens(); ++i) seen_[i] += count;
        for (std::size_t r = 0; r < count; ++r)
            if (filled.probed[r]) hide(rows + r * stride_, *filled.probed[r]);
        kernels().maxima(rows, count, stride_, filled.best);
        if (keeps_rows_) n_rows_ += count;
        filled.block.count = 0;
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
    void hide(float* row, const Probed& probed) {
        for (std::size_t i = 0; i < query_.n_tokens(); ++i) {
            if (!probed[i])
                row[i] = NONE, --seen_[i];
            else if (row[i] < lowest_[i])
                lowest_[i] = row[i];
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
        room_.rows.of(capacity_ * stride_, n_rows_ * stride_);
    }

    const Query& query_;
    Workspace::Part& room_;
    std::size_t stride_, k_prime_, capacity_, n_rows_ = 0;
    const std::uint8_t* allowed_ = nullptr;
    bool keeps_rows_;
    std::vector<std::size_t> seen_;  // tokens of this part that each query token sees
    std::vector<float> lowest_;      // with own lists: of what each query token saw
    std::vector<std::uint64_t> ordinals_;
    std::size_t joined_ = 0;  // documents found before `begin`
    std::vector<Filled> blocks_;
    std::size_t at_ = 0;  // the block that is being filled
};

// What is pooled: lists, the products of their centroids, which query tokens see them (empty for
// all), and how many tokens each part takes.
struct Candidates::Work {
    const std::vector<Stretch>& lists;
    const std::vector<const float*>& bases;
    const std::vector<Probed>& probed;
    std::size_t share;
};

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

// Whether a document that was only glanced at may yet be among those sought, judged by those that
// were looked at. In eighths of a level: sums of integers (exact up to 2^53) are the same in any
// order.
class Outlook {
 public:
    Outlook(const Query& query, const Pooling& pooling)
        : level_(query.score_of_level()),
          sought_(pooling.sought),
          unlikely_(pooling.unlikely),
          best_(pooling.sought) {}

    void add(const Shortlist::Document& document, float expected) {
        best_.offer({expected, document.ordinal});
        const double more = std::nearbyint(8 * (double{expected} / level_ - document.sum));
        ++count_, sum_ += more, squares_ += more * more;
    }

    // The least sum with which that is likely enough.
    std::uint32_t least() const {
        if (count_ < sought_) return 0;
        const double n = static_cast<double>(count_), mean = sum_ / n;
        const double variance = squares_ / n - mean * mean;
        const double most = mean + unlikely_ * std::sqrt(std::max(0.0, variance));
        const double least = std::ceil(double{best_.floor()} / level_ - most / 8);
        return static_cast<std::uint32_t>(std::clamp<double>(least, 0, UINT32_MAX));
    }

 private:
    double level_;
    std::size_t sought_;
    double unlikely_;
    Top best_;
    std::size_t count_ = 0;
    double sum_ = 0, squares_ = 0;
};

}  // namespace

Candidates::Candidates(const Query& query, const Collection& collection, const Pooling& pooling)
    : query_(query), thresholds_(query.stride(), NONE) {
    const std::vector<Stretch> stretches = find_lists(query, collection, pooling.all_lists);
    std::size_t n_tokens = 0;
    for (const Stretch& each : stretches) n_tokens += each.end - each.begin;
    const std::vector<Probed> probed =
        pooling.own_lists && !pooling.all_lists ? probers(query) : std::vector<Probed>();
    const std::size_t n_parts =
        std::max<std::size_t>(1, std::min(query.threads(), n_tokens / (8 * Query::BLOCK)));
    auto& rooms = lease_->parts;
    if (rooms.size() < n_parts) rooms.resize(n_parts);
    parts_.reserve(n_parts);
    std::optional<Shortlist> shortlist;  // takes room of its own: before the parts take theirs
    if (pooling.shortlist > 0 && n_tokens > GLANCED * pooling.shortlist)
        shortlist.emplace(query, collection, stretches, EXPECTED, pooling.shortlist,
                          pooling.allowed, *lease_);
    const std::size_t share = (n_tokens + n_parts - 1) / n_parts;
    const std::size_t n_ordinals = static_cast<std::size_t>(collection.n_ordinals());
    for (std::size_t p = 0; p < n_parts; ++p)
        parts_.emplace_back(query, rooms[p], n_ordinals, share, pooling);
    std::vector<std::uint32_t> centroids;
    for (const Stretch& each : stretches) centroids.push_back(each.centroid);
    std::vector<const float*> bases(stretches.size());
    query.find_bases(centroids.data(), centroids.size(),
                     lease_->bases.of(query.spare_room(centroids.size())), bases.data());
    const Work work{stretches, bases, probed, share};
    if (shortlist)
        pool_promising(work, *shortlist, pooling);
    else
        pool(work, std::min(n_ordinals, n_tokens), pooling.allowed);
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

// Pools the tokens of the allowed documents, of which `n_documents` at most are new.
void Candidates::pool(const Work& work, std::size_t n_documents, const std::uint8_t* allowed) {
    for (Part& part : parts_) part.begin(n_documents, allowed);
    // Each part takes the tokens p * share .. (p + 1) * share - 1 of all lists in order.
    run(parts_.size(), query_.threads(), [&](std::size_t p, std::size_t) {
        std::size_t passed = 0;
        for (std::size_t s = 0; s < work.lists.size(); ++s) {
            const Stretch& whole = work.lists[s];
            const std::size_t size = whole.end - whole.begin;
            const std::size_t from = std::max(p * work.share, passed),
                              to = std::min((p + 1) * work.share, passed + size);
            if (from < to) {
                Stretch mine = whole;
                mine.begin = whole.begin + (from - passed);
                mine.end = whole.begin + (to - passed);
                parts_[p].add(mine, work.bases[s],
                              work.probed.empty() ? nullptr : &work.probed[whole.centroid]);
            }
            passed += size;
        }
        parts_[p].finish();
    });
    for (std::size_t p = 1; p < parts_.size(); ++p) parts_[0].join(parts_[p]);
}

// Pools the documents of a shortlist, until no other is likely to be among those sought.
void Candidates::pool_promising(const Work& work, Shortlist& shortlist, const Pooling& pooling) {
    const std::vector<float> floors = expected_floors();
    Outlook outlook(query_, pooling);
    std::uint32_t least = 0;
    while (shortlist.next(least)) {
        pool(work, shortlist.documents().size(), shortlist.bits().data());
        const std::size_t known = expected_.size(), count = ordinals().size() - known;
        expected_.resize(known + count);
        kernels().sum_maxima(parts_[0].best(known), count, query_.stride(), floors.data(),
                             query_.weights(), expected_.data() + known);
        for (const Shortlist::Document& each : shortlist.documents()) {
            const std::size_t slot = parts_[0].slot(each.ordinal);
            work.lists[0].segment->require(slot < expected_.size(), "changed while it was read");
            outlook.add(each, expected_[slot]);
        }
        least = outlook.least();
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

std::vector<float> Candidates::expected_floors() const {
    std::vector<float> floors(query_.stride(), 0);
    for (std::size_t i = 0; i < query_.n_tokens(); ++i) floors[i] = EXPECTED * query_.reach()[i];
    return floors;
}

std::vector<Scored> Candidates::best_expected(std::size_t k) const {
    if (query_.reach().empty()) return best_lower_bounds(k, false);
    if (expected_.empty()) return best_by(expected_floors().data(), k, false);
    Top top(k);
    for (std::size_t d = 0; d < expected_.size(); ++d) top.offer({expected_[d], ordinals()[d]});
    return top.sorted();
}

std::vector<Scored> Candidates::best_lower_bounds(std::size_t k, bool retrieved_only) const {
    const std::vector<float> floors(query_.stride(), -std::numeric_limits<float>::max());
    return best_by(floors.data(), k, retrieved_only);
}

std::vector<std::uint64_t> Candidates::retrieved() const {
    const std::vector<float> below = just_below_thresholds();
    std::vector<std::uint64_t> found;
    for (std::size_t d = 0; d < ordinals().size(); ++d)
        if (keeps(d, below)) found.push_back(ordinals()[d]);
    return found;
}

}  // namespace colxtr
