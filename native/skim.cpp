#include "skim.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels.h"
#include "threads.h"

namespace colxtr {

namespace {

constexpr float NONE = -std::numeric_limits<float>::infinity();

// Some documents on their way, one a stage behind the other, so that memory that was asked for has
// come when it is read.
class Skimmer {
 public:
    Skimmer(const Query& query, const Collection& collection)
        : query_(query),
          collection_(collection),
          largest_(query.stride()),
          floors_(query.stride(), -std::numeric_limits<float>::max()),
          best_(query.stride()),
          scores_(Query::BLOCK * query.stride()),
          block_(query) {
        std::fill_n(into_, Query::BLOCK, best_.data());
    }

    void look(const std::uint64_t* ordinals, std::size_t count, float* scores) {
        for (std::size_t i = 0; i < count + STAGES - 1; ++i) {
            if (i < count) find(ordinals[i], on_way(i));
            if (i >= 1 && i - 1 < count) find_positions(on_way(i - 1));
            if (i >= 2 && i - 2 < count) find_centroids(on_way(i - 2));
            if (i >= 3 && i - 3 < count) choose(on_way(i - 3));
            if (i >= 4) scores[i - 4] = score(on_way(i - 4));
        }
    }

 private:
    static constexpr std::size_t STAGES = 5;
    struct Document {
        const Segment* segment = nullptr;
        std::size_t first = 0, count = 0;  // tokens
        std::vector<std::size_t> positions;
        std::vector<std::uint32_t> centroids;
        std::vector<float> spare;
        std::vector<const float*> bases;  // of the centroids
        std::vector<std::uint32_t> near;  // numbers of tokens
        std::size_t n_near = 0;
    };

    Document& on_way(std::size_t i) { return documents_[i % STAGES]; }

    void find(std::uint64_t ordinal, Document& document) const {
        const Segment* segment = collection_.holding(ordinal);
        const std::size_t local = static_cast<std::size_t>(ordinal - segment->first_ordinal);
        document.segment = segment;
        document.first = segment->document_offsets[local];
        document.count = segment->document_offsets[local + 1] - document.first;
        segment->prefetch_positions(local);
    }

    void find_positions(Document& document) const {
        document.positions.resize(document.count);
        for (std::size_t t = 0; t < document.count; ++t) {
            document.positions[t] = document.segment->position(document.first + t);
            document.segment->lists.prefetch(document.positions[t]);
        }
    }

    void find_centroids(Document& document) const {
        const Segment& segment = *document.segment;
        document.centroids.resize(document.count);
        for (std::size_t t = 0; t < document.count; ++t) {
            document.centroids[t] = segment.centroid(document.positions[t]);
            query_.prefetch(document.centroids[t]);
        }
    }

    void choose(Document& document) {
        const std::size_t count = document.count;
        document.near.resize(count);
        document.spare.resize(query_.spare_room(count));
        document.bases.resize(count);
        query_.find_bases(document.centroids.data(), count, document.spare.data(),
                          document.bases.data());
        if (count <= query_.short_document()) {
            document.n_near = count;
            std::iota(document.near.begin(), document.near.end(), 0);
        } else {
            levels_.resize(count);
            for (std::size_t t = 0; t < count; ++t) levels_[t] = query_.levels(document.bases[t]);
            document.n_near =
                kernels().find_near(levels_.data(), count, query_.stride(), query_.margins(),
                                    query_.least(), largest_.data(), document.near.data());
        }
        for (std::size_t n = 0; n < document.n_near; ++n)
            document.segment->prefetch_code(document.positions[document.near[n]]);
    }

    float score(const Document& document) {
        if (document.n_near == 0) return NONE;
        std::fill_n(best_.data(), query_.stride(), NONE);
        block_.segment = document.segment;
        for (std::size_t done = 0; done < document.n_near; done += Query::BLOCK) {
            block_.count = std::min(Query::BLOCK, document.n_near - done);
            for (std::size_t r = 0; r < block_.count; ++r) {
                const std::uint32_t token = document.near[done + r];
                block_.positions[r] = document.positions[token];
                block_.bases[r] = document.bases[token];
            }
            query_.score(block_, scores_.data());
            kernels().maxima(scores_.data(), block_.count, query_.stride(), into_);
        }
        float sum;
        kernels().sum_maxima(best_.data(), 1, query_.stride(), floors_.data(), query_.weights(),
                             &sum);
        return sum;
    }

    const Query& query_;
    const Collection& collection_;
    Buffer<std::uint8_t> largest_;
    std::vector<const std::uint8_t*> levels_;  // of a document's tokens
    std::vector<float> floors_;
    Buffer<float> best_, scores_;
    Query::Block block_;
    float* into_[Query::BLOCK];
    Document documents_[STAGES];
};

}  // namespace

bool is_skimmed_whole(const Query& query, const Collection& collection, std::uint64_t ordinal) {
    const Segment* segment = collection.holding(ordinal);
    const std::size_t local = static_cast<std::size_t>(ordinal - segment->first_ordinal);
    return segment->document_offsets[local + 1] - segment->document_offsets[local] <=
           query.short_document();
}

void skim(const Query& query, const Collection& collection, const std::uint64_t* ordinals,
          std::size_t count, float* scores) {
    constexpr std::size_t PIECE = 8;  // documents
    const std::size_t size = query.threads() > 1 ? PIECE : std::max<std::size_t>(count, 1);
    run((count + size - 1) / size, query.threads(), [&](std::size_t piece, std::size_t) {
        const std::size_t first = piece * size;
        Skimmer(query, collection)
            .look(ordinals + first, std::min(size, count - first), scores + first);
    });
}

}  // namespace colxtr
