#include "shortlist.h"

#include <algorithm>
#include <cstring>

#include "bits.h"
#include "kernels.h"
#include "threads.h"

namespace colxtr {

namespace {

constexpr std::size_t RANGE_BYTES = std::size_t{1} << 19;  // of rows: half of a second cache
constexpr std::size_t LISTS_AHEAD = 8;

// Where a thread stands in each list: a list position.
using Places = std::vector<std::size_t>;

// What one thread sees: the documents of neighbouring ordinals.
class Glance {
 public:
    Glance(const Query& query, const std::vector<Stretch>& lists,
           const Buffer<std::uint8_t>& floors, Workspace::Part& room)
        : query_(query), lists_(lists), floors_(floors), room_(room) {
        for (std::size_t i = 0; i < lists.size(); ++i) {
            if (segments_.empty() || segments_.back().segment != lists[i].segment)
                segments_.push_back({lists[i].segment, i, i});
            segments_.back().end = i + 1;
        }
    }

    void look(std::size_t first, std::size_t last) {
        const std::size_t most = std::max<std::size_t>(1, RANGE_BYTES / query_.stride());  // rows
        room_.levels.of(most * query_.stride());
        room_.touched.of(last - first + 1);
        room_.sums.of(last - first + 1);
        begins_ = ends_ = places_at(first);
        for (; first < last; first += most) look_at(first, std::min(most, last - first));
    }

    const std::uint32_t* ordinals() const { return room_.touched.data(); }
    const std::uint32_t* sums() const { return room_.sums.data(); }
    std::size_t n_seen() const { return n_seen_; }
    const Places& begins() const { return begins_; }

    // A list that was left before its end does not ascend below n_documents. Disorder within a
    // range does no harm here.
    void check(const Glance* next) const {
        for (std::size_t i = 0; i < lists_.size(); ++i)
            lists_[i].segment->require(
                ends_[i] == (next ? next->begins_[i] : lists_[i].end),
                "an ordinal is not below n_documents, or less than the one before it");
    }

 private:
    // In each list, the first token of a document from `first` on.
    Places places_at(std::size_t first) const {
        Places places;
        for (const Stretch& list : lists_) {
            std::size_t low = list.begin, high = list.end;
            while (first > 0 && low < high) {
                const std::size_t middle = low + (high - low) / 2;
                if (list.segment->first_ordinal + list.segment->ordinals[middle] < first)
                    low = middle + 1;
                else
                    high = middle;
            }
            places.push_back(low);
        }
        return places;
    }

    void look_at(std::size_t first, std::size_t count) {
        const std::size_t stride = query_.stride();
        std::uint8_t* rows = room_.levels.data();
        std::uint32_t* touched = room_.touched.data() + n_seen_;
        std::size_t n_touched = 0;
        std::memset(rows, 0, count * stride);
        for (const auto& [owner, first_list, end_list] : segments_) {
            const Segment& segment = *owner;
            const std::uint64_t end =
                std::min<std::uint64_t>(first + count, segment.first_ordinal + segment.n_documents);
            if (end <= std::max<std::uint64_t>(first, segment.first_ordinal)) continue;
            for (std::size_t i = first_list; i < end_list; ++i) {
                if (i + LISTS_AHEAD < end_list) ask_for(i + LISTS_AHEAD, count);
                ends_[i] = kernels().raise_levels(
                    segment.ordinals.bytes, segment.ordinals.width, ends_[i], lists_[i].end,
                    first - segment.first_ordinal, end - first,
                    query_.probed_levels(lists_[i].probed), stride, rows, touched, &n_touched);
            }
        }
        kernels().sum_levels(rows, touched, n_touched, stride, floors_.data(),
                             room_.sums.data() + n_seen_);
        for (std::size_t i = 0; i < n_touched; ++i) touched[i] += static_cast<std::uint32_t>(first);
        n_seen_ += n_touched;
    }

    // Asks for what the next `count` ordinals' share of a list is likely to be.
    COLXTR_PREFETCH void ask_for(std::size_t i, std::size_t count) const {
        const Segment& segment = *lists_[i].segment;
        const std::size_t left = lists_[i].end - ends_[i];
        if (left == 0) return;  // so are all lists of a segment without documents
        const std::size_t share =
            std::min(left, (lists_[i].end - lists_[i].begin) * count / segment.n_documents + 1);
        const std::size_t last = (ends_[i] + share) * segment.ordinals.width / 8;
        for (std::size_t byte = ends_[i] * segment.ordinals.width / 8; byte <= last; byte += 64)
            prefetch_line(segment.ordinals.bytes + byte);
        for (std::size_t lane = 0; lane < query_.stride(); lane += 64)
            prefetch_line(query_.probed_levels(lists_[i].probed) + lane);
    }

    struct Lists {  // of one segment
        const Segment* segment;
        std::size_t first, end;
    };

    const Query& query_;
    const std::vector<Stretch>& lists_;
    std::vector<Lists> segments_;
    const Buffer<std::uint8_t>& floors_;
    Workspace::Part& room_;
    Places begins_, ends_;
    std::size_t n_seen_ = 0;
};

}  // namespace

Shortlist::Shortlist(const Query& query, const Collection& collection,
                     const std::vector<Stretch>& lists, float expected, std::size_t first,
                     const std::uint8_t* allowed, Workspace& room)
    : allowed_(allowed),
      with_(std::size_t{Query::MOST_LEVEL} * query.n_tokens() + 2),
      wanted_(first) {
    constexpr std::size_t LEAST = 1024;  // documents of a thread
    std::vector<float> reach = query.reach();
    for (float& each : reach) each *= expected;
    const Buffer<std::uint8_t> floors = query.floor_levels(reach);
    const std::size_t n = static_cast<std::size_t>(collection.n_ordinals());
    const std::size_t threads = std::max<std::size_t>(1, std::min(query.threads(), n / LEAST));
    if (room.parts.size() < threads) room.parts.resize(threads);
    std::vector<Glance> glances;
    for (std::size_t t = 0; t < threads; ++t)
        glances.emplace_back(query, lists, floors, room.parts[t]);
    run(threads, threads, [&](std::size_t t, std::size_t) {
        glances[t].look(t * n / threads, (t + 1) * n / threads);
    });
    for (std::size_t t = 0; t < threads; ++t) {
        glances[t].check(t + 1 < threads ? &glances[t + 1] : nullptr);
        parts_.push_back({glances[t].ordinals(), glances[t].sums(), glances[t].n_seen()});
    }
    for (const Seen& part : parts_)
        for (std::size_t i = 0; i < part.count; ++i)
            with_[part.sums[i]] += !allowed || is_set(allowed, part.ordinals[i]);
    floor_ = with_.size();
    bits_.resize((n + 7) / 8);
}

bool Shortlist::next(std::uint32_t least) {
    const std::size_t before = floor_;
    while (floor_ > least && n_given_ < wanted_) n_given_ += with_[--floor_];
    wanted_ = GROWTH * n_given_;
    for (const Document& each : documents_) bits_[each.ordinal / 8] = 0;
    documents_.clear();
    for (const Seen& part : parts_)
        for (std::size_t i = 0; i < part.count; ++i) {
            const std::uint32_t ordinal = part.ordinals[i], sum = part.sums[i];
            if (sum < floor_ || sum >= before || (allowed_ && !is_set(allowed_, ordinal))) continue;
            documents_.push_back({ordinal, sum});
            std::uint8_t& bits = bits_[ordinal / 8];
            bits = static_cast<std::uint8_t>(bits | 1 << (ordinal % 8));
        }
    return !documents_.empty();
}

}  // namespace colxtr
