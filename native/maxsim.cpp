#include "maxsim.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels.h"
#include "threads.h"

namespace colxtr {

namespace {

constexpr float NONE = -std::numeric_limits<float>::infinity();

// The tokens of some documents, in blocks, each of one document: positions are looked up, and the
// memory behind them asked for, some blocks before they are scored.
class Reader {
 public:
    Reader(const Query& query, const Collection& collection, const std::uint64_t* ordinals,
           std::size_t count)
        : query_(query), collection_(collection), ordinals_(ordinals), count_(count) {
        for (std::size_t i = 0; i < AHEAD; ++i) blocks_.emplace_back(query, count);
        for (std::size_t i = 0; i + 1 < AHEAD; ++i) advance();
    }

    // The next block, ready to be scored, and its document; null at the end.
    Query::Block* next(std::size_t* document) {
        advance();
        // `advance` has just filled the block before this one.
        Read& read = blocks_[at_];
        *document = read.document;
        if (*document == count_) return nullptr;
        query_.find_bases(read.centroids, read.block.count, read.spare.data(), read.block.bases);
        return &read.block;
    }

 private:
    struct Read {
        Read(const Query& query, std::size_t none)
            : block(query), document(none), spare(query.spare_room(Query::BLOCK)) {}
        Query::Block block;
        std::size_t document;  // count_ for none
        std::uint32_t centroids[Query::BLOCK];
        Buffer<float> spare;
    };

    static constexpr std::size_t AHEAD = 3;  // asked for | list known | scored

    // Fills one block of the ring, finds the lists of the one before it, and steps to the next.
    void advance() {
        const std::size_t filled = at_, known = (at_ + AHEAD - 1) % AHEAD;
        fill(filled);
        if (blocks_[known].document < count_) find_centroids(blocks_[known]);
        at_ = (at_ + 1) % AHEAD;
    }

    void fill(std::size_t which) {
        while (token_ == end_ && document_ < count_) {
            segment_ = collection_.holding(ordinals_[document_]);
            const std::size_t local =
                static_cast<std::size_t>(ordinals_[document_] - segment_->first_ordinal);
            token_ = segment_->document_offsets[local];
            end_ = segment_->document_offsets[local + 1];
            ++document_;
            ask_for(document_);
        }
        blocks_[which].document = count_;
        if (token_ == end_) return;
        Query::Block& block = blocks_[which].block;
        blocks_[which].document = document_ - 1;
        block.segment = segment_;
        block.count = std::min(Query::BLOCK, end_ - token_);
        for (std::size_t r = 0; r < block.count; ++r) {
            block.positions[r] = segment_->position(token_ + r);
            segment_->prefetch(block.positions[r]);
        }
        token_ += block.count;
    }

    void ask_for(std::size_t document) const {
        if (document >= count_) return;
        const Segment* segment = collection_.holding(ordinals_[document]);
        segment->prefetch_positions(
            static_cast<std::size_t>(ordinals_[document] - segment->first_ordinal));
    }

    void find_centroids(Read& read) {
        const Query::Block& block = read.block;
        for (std::size_t r = 0; r < block.count; ++r) {
            read.centroids[r] = block.segment->centroid(block.positions[r]);
            query_.prefetch(read.centroids[r]);
        }
    }

    const Query& query_;
    const Collection& collection_;
    const std::uint64_t* ordinals_;
    std::size_t count_, document_ = 0, at_ = 0;
    const Segment* segment_ = nullptr;
    std::size_t token_ = 0, end_ = 0;  // of the document at hand
    std::vector<Read> blocks_;
};

}  // namespace

void maxsim(const Query& query, const Collection& collection, const std::uint64_t* ordinals,
            std::size_t count, float* scores) {
    constexpr std::size_t PIECE = 4;  // documents
    const std::size_t stride = query.stride();
    const std::vector<float> floors(stride, -std::numeric_limits<float>::max());
    const std::size_t pieces =
        query.threads() > 1 ? (count + PIECE - 1) / PIECE : std::min<std::size_t>(count, 1);
    const std::size_t size = query.threads() > 1 ? PIECE : count;
    run(pieces, query.threads(), [&](std::size_t piece, std::size_t) {
        const std::size_t first = piece * size, n = std::min(size, count - first);
        Reader reader(query, collection, ordinals + first, n);
        Buffer<float> rows(Query::BLOCK * stride), best(stride);
        float* into[Query::BLOCK];
        std::fill_n(into, Query::BLOCK, best.data());
        std::fill(scores + first, scores + first + n, NONE);
        std::size_t document, scored = n;
        const auto finish = [&] {
            if (scored < n)
                kernels().sum_maxima(best.data(), 1, stride, floors.data(), query.weights(),
                                     scores + first + scored);
        };
        while (Query::Block* block = reader.next(&document)) {
            if (document != scored) {
                finish();
                scored = document;
                std::fill(best.data(), best.data() + stride, NONE);
            }
            query.score(*block, rows.data());
            kernels().maxima(rows.data(), block->count, stride, into);
        }
        finish();
    });
}

}  // namespace colxtr
