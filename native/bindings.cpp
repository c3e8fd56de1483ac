// The module `colxtr._native`: checks shapes, holds references, releases the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "candidates.h"
#include "codec.h"
#include "collection.h"
#include "groups.h"
#include "kernels.h"
#include "maxsim.h"
#include "packing.h"
#include "panels.h"
#include "promising.h"
#include "query.h"
#include "segment.h"
#include "skim.h"

namespace nb = nanobind;
using namespace nb::literals;
using namespace colxtr;

namespace {

template <typename T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
template <typename T>
using Matrix = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

void require(bool holds, const std::string& what) {
    if (!holds) throw nb::value_error(what.c_str());
}

template <typename A>
void require_size(const A& array, std::size_t axis, std::size_t size, const char* name) {
    require(array.shape(axis) == size,
            std::string(name) + " has " + std::to_string(array.shape(axis)) + " entries in axis " +
                std::to_string(axis) + ", expected " + std::to_string(size));
}

// A segment goes with any codec of the same shape; kernels rely on no more.
void require_fits(const Segment& segment, const Codec& codec) {
    require(segment.code_bytes == codec.code_bytes() &&
                (segment.gains != nullptr) == !codec.is_half() &&
                (segment.lengths != nullptr) == codec.has_lengths() &&
                (segment.n_lists == 0 ||
                 segment.list_centroids[segment.n_lists - 1] < codec.n_centroids()),
            "the segment was coded by another codec");
}

// A new NumPy array, and the memory to write it to.
template <typename T>
struct Result {
    explicit Result(std::vector<std::size_t> sizes) : shape(std::move(sizes)) {
        std::size_t size = 1;
        for (const std::size_t extent : shape) size *= extent;
        values = new T[size]();
    }
    ~Result() { delete[] values; }
    Result(const Result&) = delete;
    Result& operator=(const Result&) = delete;

    nb::ndarray<nb::numpy, T> take() {
        T* taken = values;
        values = nullptr;
        nb::capsule owner(taken, [](void* p) noexcept { delete[] static_cast<T*>(p); });
        return nb::ndarray<nb::numpy, T>(taken, shape.size(), shape.data(), owner);
    }
    std::vector<std::size_t> shape;
    T* values;
};

const float* table(const std::optional<Vector<float>>& array, const char* name) {
    require(array.has_value(), std::string(name) + " is missing");
    require_size(*array, 0, Codec::LEVELS, name);
    return array->data();
}

// Each centroid once, and groups that are not empty.
void require_groups(const Vector<std::uint32_t>& grouped, const Vector<std::uint32_t>& ends,
                    std::size_t n_centroids) {
    require_size(grouped, 0, n_centroids, "grouped");
    std::vector<bool> seen(n_centroids);
    for (std::size_t i = 0; i < n_centroids; ++i) {
        require(grouped(i) < n_centroids && !seen[grouped(i)],
                "grouped does not hold each centroid once");
        seen[grouped(i)] = true;
    }
    std::size_t end = 0;
    for (std::size_t g = 0; g < ends.shape(0); ++g) {
        require(ends(g) > end, "group_ends does not ascend");
        end = ends(g);
    }
    require(end == n_centroids, "group_ends does not end with the last centroid");
}

void make_codec(Codec* self, unsigned n_bits, Matrix<std::int8_t> centroids,
                Vector<float> centroid_scales, std::optional<Matrix<std::int8_t>> codebook,
                std::optional<Vector<float>> codebook_scale, std::optional<Matrix<float>> rotation,
                std::optional<Vector<float>> gains, std::optional<Vector<float>> lengths,
                std::optional<Vector<std::uint32_t>> grouped,
                std::optional<Vector<std::uint32_t>> group_ends) {
    require(n_bits == 1 || n_bits == 2 || n_bits == 4 || n_bits == 8 || n_bits == HALF,
            "n_bits is " + std::to_string(n_bits) + "; 1, 2, 4, 8 or 16 are possible");
    Codec::Parameters p;
    p.dim = centroids.shape(1);
    p.n_bits = n_bits;
    p.n_centroids = centroids.shape(0);
    require(p.dim >= 16 && p.dim <= 1024 && p.dim % 8 == 0,
            "dim is " + std::to_string(p.dim) + "; multiples of 8 from 16 to 1024 are possible");
    require(p.n_centroids > 0, "there must be at least one centroid");
    require_size(centroid_scales, 0, p.n_centroids, "centroid_scales");
    p.centroids = centroids.data();
    p.centroid_scales = centroid_scales.data();
    if (n_bits != HALF) {
        require(codebook.has_value(), "codebook is missing");
        require_size(*codebook, 0, Codec::n_codewords(n_bits), "codebook");
        require_size(*codebook, 1, 8 / n_bits, "codebook");
        p.codebook = codebook->data();
        require(codebook_scale.has_value(), "codebook_scale is missing");
        require_size(*codebook_scale, 0, 1, "codebook_scale");
        p.codebook_scale = (*codebook_scale)(0);
        require(rotation.has_value(), "rotation is missing");
        require_size(*rotation, 0, p.dim, "rotation");
        require_size(*rotation, 1, p.dim, "rotation");
        p.rotation = rotation->data();
        p.gains = table(gains, "gains");
        if (lengths) p.lengths = table(lengths, "lengths");
    }
    require(grouped.has_value() == group_ends.has_value(), "grouped goes with group_ends");
    if (grouped) {
        require_groups(*grouped, *group_ends, p.n_centroids);
        p.grouped = grouped->data();
        p.group_ends = group_ends->data();
        p.n_groups = group_ends->shape(0);
    }
    new (self) Codec(p);
}

nb::tuple encode(const Codec& codec, Matrix<float> embeddings, Vector<std::uint32_t> centroids) {
    require(!codec.is_half(), "n_bits=16 has no residual codes");
    require_size(embeddings, 1, codec.dim(), "embeddings");
    const std::size_t n = embeddings.shape(0);
    require_size(centroids, 0, n, "centroids");
    for (std::size_t i = 0; i < n; ++i)
        require(centroids(i) < codec.n_centroids(), "a centroid is not below n_centroids");
    Result<std::uint8_t> codes({n, codec.code_bytes()}), gains({n}), lengths({n});
    {
        nb::gil_scoped_release release;
        codec.encode(embeddings.data(), centroids.data(), n, codes.values, gains.values,
                     lengths.values);
    }
    if (!codec.has_lengths()) return nb::make_tuple(codes.take(), gains.take(), nb::none());
    return nb::make_tuple(codes.take(), gains.take(), lengths.take());
}

// sums[group of row] += row
void add_rows(nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu> sums,
              Matrix<float> rows, Vector<std::uint32_t> groups) {
    const std::size_t n = rows.shape(0), dim = rows.shape(1);
    require_size(sums, 1, dim, "sums");
    require_size(groups, 0, n, "groups");
    for (std::size_t i = 0; i < n; ++i)
        require(groups(i) < sums.shape(0), "a group is not below the number of sums");
    nb::gil_scoped_release release;
    for (std::size_t i = 0; i < n; ++i) {
        const float* row = rows.data() + i * dim;
        float* sum = sums.data() + groups.data()[i] * dim;
        for (std::size_t d = 0; d < dim; ++d) sum[d] += row[d];
    }
}

nb::tuple counting_sort(Vector<std::uint32_t> keys, std::size_t n_keys) {
    Result<std::uint64_t> places({keys.shape(0)}), counts({n_keys});
    const std::size_t n = keys.shape(0);
    for (std::size_t i = 0; i < n; ++i) require(keys(i) < n_keys, "a key is not below n_keys");
    {
        nb::gil_scoped_release release;
        const std::uint32_t* key = keys.data();
        for (std::size_t i = 0; i < n; ++i) ++counts.values[key[i]];
        std::vector<std::uint64_t> next(n_keys);
        std::uint64_t end = 0;
        for (std::size_t k = 0; k < n_keys; ++k) {
            next[k] = end;
            end += counts.values[k];
        }
        for (std::size_t i = 0; i < n; ++i) places.values[i] = next[key[i]]++;
    }
    return nb::make_tuple(places.take(), counts.take());
}

nb::ndarray<nb::numpy, std::uint32_t> nearest(const Panels& panels, Matrix<float> rows) {
    require_size(rows, 1, panels.dim(), "rows");
    Result<std::uint32_t> best({rows.shape(0)});
    {
        nb::gil_scoped_release release;
        panels.nearest(rows.data(), rows.shape(0), best.values);
    }
    return best.take();
}

void make_groups(Groups* self, Matrix<float> vectors, Vector<std::uint32_t> group_of,
                 Matrix<float> centres) {
    require(vectors.size() > 0, "there must be at least one vector");
    require_size(group_of, 0, vectors.shape(0), "group_of");
    require_size(centres, 1, vectors.shape(1), "centres");
    for (std::size_t i = 0; i < group_of.shape(0); ++i)
        require(group_of(i) < centres.shape(0), "a group is not below the number of centres");
    nb::gil_scoped_release release;
    new (self) Groups(vectors.data(), group_of.data(), vectors.shape(0), centres.data(),
                      centres.shape(0), vectors.shape(1));
}

nb::ndarray<nb::numpy, std::uint32_t> nearest_in_groups(const Groups& groups, Matrix<float> rows,
                                                        std::size_t n_probe) {
    require_size(rows, 1, groups.dim(), "rows");
    require(n_probe > 0 && n_probe <= groups.n_groups(),
            "n_probe is " + std::to_string(n_probe) + "; 1 to " +
                std::to_string(groups.n_groups()) + " are possible");
    Result<std::uint32_t> best({rows.shape(0)});
    {
        nb::gil_scoped_release release;
        groups.nearest(rows.data(), rows.shape(0), n_probe, best.values);
    }
    return best.take();
}

void require_width(unsigned width) {
    require(width <= MOST_BITS,
            "width is " + std::to_string(width) + "; 0 to 56 bits are possible");
}

Packed packed(const Vector<std::uint8_t>& bytes, std::size_t count, unsigned width) {
    require_width(width);
    require(count <= (std::size_t{1} << 57), "more integers than fit a memory");
    require_size(bytes, 0, packed_bytes(count, width), "packed integers");
    return {bytes.data(), count, width};
}

nb::ndarray<nb::numpy, std::uint8_t> pack_values(Vector<std::uint64_t> values, unsigned width) {
    require_width(width);
    for (std::size_t i = 0; i < values.shape(0); ++i)
        require(values(i) >> width == 0,
                "a value needs more than " + std::to_string(width) + " bits");
    Result<std::uint8_t> bytes({packed_bytes(values.shape(0), width)});
    pack(values.data(), values.shape(0), width, bytes.values);
    return bytes.take();
}

nb::ndarray<nb::numpy, std::uint64_t> unpack_values(Vector<std::uint8_t> bytes, std::size_t count,
                                                    unsigned width, std::size_t begin,
                                                    std::size_t end) {
    const Packed values = packed(bytes, count, width);
    require(begin <= end && end <= count, "from " + std::to_string(begin) + " to " +
                                              std::to_string(end) + " of " + std::to_string(count) +
                                              " values");
    Result<std::uint64_t> result({end - begin});
    for (std::size_t i = begin; i < end; ++i) result.values[i - begin] = values[i];
    return result.take();
}

struct MappedSegment {  // a Segment and the arrays it points into
    Segment segment;
    std::vector<nb::object> arrays;
};

void make_segment(MappedSegment* self, const Codec& codec, const std::string& name,
                  std::uint64_t first_ordinal, Vector<std::uint32_t> list_centroids,
                  Vector<std::uint64_t> list_offsets, Vector<std::uint64_t> document_offsets,
                  Vector<std::uint8_t> ordinals, unsigned ordinal_bits,
                  Vector<std::uint8_t> positions, unsigned position_bits,
                  Matrix<std::uint8_t> codes, std::optional<Vector<std::uint8_t>> gains,
                  std::optional<Vector<std::uint8_t>> lengths) {
    Segment s;
    s.name = name;
    s.first_ordinal = first_ordinal;
    s.n_tokens = codes.shape(0);
    s.code_bytes = codes.shape(1);
    s.n_lists = list_centroids.shape(0);
    require_size(list_offsets, 0, s.n_lists + 1, "list_offsets");
    require(document_offsets.shape(0) > 0, "document_offsets is empty");
    s.n_documents = document_offsets.shape(0) - 1;
    s.list_centroids = list_centroids.data();
    s.list_offsets = list_offsets.data();
    s.document_offsets = document_offsets.data();
    s.ordinals = packed(ordinals, s.n_tokens, ordinal_bits);
    s.positions = packed(positions, s.n_tokens, position_bits);
    s.codes = codes.data();
    require(!codec.is_half() || reinterpret_cast<std::uintptr_t>(s.codes) % 2 == 0,
            "codes in half precision are not aligned");
    if (gains) {
        require_size(*gains, 0, s.n_tokens, "gains");
        s.gains = gains->data();
    }
    if (lengths) {
        require_size(*lengths, 0, s.n_tokens, "lengths");
        s.lengths = lengths->data();
    }
    s.prepare(codec);
    std::vector<nb::object> arrays{nb::cast(list_centroids),   nb::cast(list_offsets),
                                   nb::cast(document_offsets), nb::cast(ordinals),
                                   nb::cast(positions),        nb::cast(codes)};
    if (gains) arrays.push_back(nb::cast(*gains));
    if (lengths) arrays.push_back(nb::cast(*lengths));
    new (self) MappedSegment{s, std::move(arrays)};
}

std::size_t checked_ordinal(const Segment& segment, std::uint64_t ordinal) {
    require(ordinal < segment.n_documents, "ordinal " + std::to_string(ordinal) +
                                               " is not below the segment's " +
                                               std::to_string(segment.n_documents) + " documents");
    return static_cast<std::size_t>(ordinal);
}

nb::tuple decode_document(const MappedSegment& self, const Codec& codec, std::uint64_t ordinal) {
    const Segment& s = self.segment;
    require_fits(s, codec);
    const std::size_t document = checked_ordinal(s, ordinal);
    const std::size_t begin = s.document_offsets[document];
    const std::size_t count = s.document_offsets[document + 1] - begin;
    Result<float> embeddings({count, codec.dim()});
    Result<std::uint32_t> centroids({count});
    for (std::size_t i = 0; i < count; ++i) {
        const std::size_t position = s.position(begin + i);
        centroids.values[i] = s.centroid(position);
        codec.decode(centroids.values[i], s.code(position), s.gain(position), s.length(position),
                     embeddings.values + i * codec.dim());
    }
    return nb::make_tuple(embeddings.take(), centroids.take());
}

struct MappedCollection {  // a Collection and what it points to
    Collection collection;
    std::vector<nb::object> held;
};

void make_collection(MappedCollection* self, nb::handle_t<Codec> codec, nb::list segments) {
    MappedCollection made;
    made.collection.codec = nb::cast<const Codec*>(codec);
    made.held.push_back(nb::borrow(codec));
    for (nb::handle each : segments) {
        const Segment& segment = nb::cast<const MappedSegment&>(each).segment;
        require_fits(segment, *made.collection.codec);
        require(segment.first_ordinal >= made.collection.n_ordinals(),
                "segments must ascend by first_ordinal");
        made.collection.segments.push_back(&segment);
        made.held.push_back(nb::borrow(each));
    }
    new (self) MappedCollection(std::move(made));
}

void make_query(Query* self, const Codec& codec, Matrix<float> embeddings, std::size_t n_probe,
                std::size_t threads, bool levels, std::size_t most_kept) {
    require_size(embeddings, 1, codec.dim(), "embeddings");
    require(embeddings.shape(0) > 0, "a query needs at least one token");
    require(n_probe <= codec.n_centroids(), "n_probe is " + std::to_string(n_probe) + "; up to " +
                                                std::to_string(codec.n_centroids()) +
                                                " are possible");
    require(threads > 0, "threads is 0; at least 1 is needed");
    require(!levels || (n_probe > 0 && !codec.is_half() && !codec.has_lengths()),
            "levels go with probes, codes, and tokens of length 1");
    nb::gil_scoped_release release;
    new (self)
        Query(codec, embeddings.data(), embeddings.shape(0), n_probe, threads, levels, most_kept);
}

nb::ndarray<nb::numpy, std::uint32_t> probes(const Query& query) {
    const std::size_t n = query.n_tokens();
    Result<std::uint32_t> centroids({n, query.probes().size() / n});
    std::copy(query.probes().begin(), query.probes().end(), centroids.values);
    return centroids.take();
}

nb::ndarray<nb::numpy, std::uint8_t> levels_of(const Query& query) {
    require(query.has_levels(), "the query was made without levels");
    const std::size_t n = query.n_tokens(), n_lists = query.probed().size();
    Result<std::uint8_t> levels({n_lists, n});
    for (std::size_t list = 0; list < n_lists; ++list)
        std::copy_n(query.probed_levels(list), n, levels.values + list * n);
    return levels.take();
}

void require_same(const Query& query, const MappedCollection& self) {
    require(&query.codec() == self.collection.codec, "the query was made for another codec");
}

void require_known(const MappedCollection& self, const Vector<std::uint64_t>& ordinals) {
    for (std::size_t i = 0; i < ordinals.shape(0); ++i)
        if (self.collection.holding(ordinals(i)) == nullptr)
            throw nb::value_error(
                ("the ordinal " + std::to_string(ordinals(i)) + " is in no segment").c_str());
}

using Scores = void (*)(const Query&, const Collection&, const std::uint64_t*, std::size_t, float*);

template <Scores scores_of>
nb::ndarray<nb::numpy, float> document_scores(const Query& query, const MappedCollection& self,
                                              Vector<std::uint64_t> ordinals) {
    require_same(query, self);
    require(scores_of != skim || query.has_levels(), "the query was made without levels");
    require_known(self, ordinals);
    Result<float> scores({ordinals.shape(0)});
    {
        nb::gil_scoped_release release;
        scores_of(query, self.collection, ordinals.data(), ordinals.shape(0), scores.values);
    }
    return scores.take();
}

void make_candidates(Candidates* self, const Query& query, const MappedCollection& collection,
                     std::size_t k_prime, bool all_lists, bool own_lists, bool thresholds,
                     std::size_t shortlist, std::size_t sought, float unlikely,
                     std::optional<Vector<std::uint8_t>> allowed) {
    require_same(query, collection);
    Pooling pooling;
    if (allowed) {
        require(allowed->shape(0) >= (collection.collection.n_ordinals() + 7) / 8,
                "allowed has too few bits for the ordinals");
        pooling.allowed = allowed->data();
    }
    require(!shortlist || (query.has_levels() && !all_lists),
            "a shortlist needs levels, and lists that were probed");
    require(sought > 0, "sought is 0; at least 1 is possible");
    pooling.shortlist = shortlist;
    pooling.sought = sought;
    pooling.unlikely = unlikely;
    pooling.k_prime = k_prime;
    pooling.all_lists = all_lists;
    pooling.own_lists = own_lists;
    pooling.thresholds = thresholds;
    nb::gil_scoped_release release;
    new (self) Candidates(query, collection.collection, pooling);
}

nb::tuple ranking(const std::vector<Scored>& found) {
    Result<std::uint64_t> ordinals({found.size()});
    Result<float> scores({found.size()});
    for (std::size_t i = 0; i < found.size(); ++i) {
        ordinals.values[i] = found[i].number;
        scores.values[i] = found[i].score;
    }
    return nb::make_tuple(ordinals.take(), scores.take());
}

nb::tuple best_promising_of(const Query& query, const MappedCollection& self,
                            Vector<std::uint64_t> ordinals, Vector<float> estimates, std::size_t k,
                            std::size_t first, double unlikely) {
    require_same(query, self);
    require_known(self, ordinals);
    require_size(estimates, 0, ordinals.shape(0), "estimates");
    require(k > 0, "k is 0; at least 1 is possible");
    std::vector<Scored> found;
    {
        nb::gil_scoped_release release;
        found = best_promising(query, self.collection, ordinals.data(), estimates.data(),
                               ordinals.shape(0), {k, first, unlikely});
    }
    return ranking(found);
}

nb::tuple best_imputed(const Candidates& candidates, std::size_t k, bool retrieved_only) {
    std::vector<Scored> found;
    {
        nb::gil_scoped_release release;
        found = candidates.best_imputed(k, retrieved_only);
    }
    return ranking(found);
}

nb::tuple best_lower_bounds(const Candidates& candidates, std::size_t k, bool retrieved_only) {
    std::vector<Scored> found;
    {
        nb::gil_scoped_release release;
        found = candidates.best_lower_bounds(k, retrieved_only);
    }
    return ranking(found);
}

nb::tuple best_expected(const Candidates& candidates, std::size_t k) {
    std::vector<Scored> found;
    {
        nb::gil_scoped_release release;
        found = candidates.best_expected(k);
    }
    return ranking(found);
}

template <typename T>
nb::ndarray<nb::numpy, T> array(const std::vector<T>& values) {
    Result<T> copy({values.size()});
    std::copy(values.begin(), values.end(), copy.values);
    return copy.take();
}

std::vector<std::string> instruction_sets() {
    const char* names[8];
    const std::size_t n = available(names, 8);
    return {names, names + n};
}

}  // namespace

NB_MODULE(_native, m) {
    nb::exception<Corrupt>(m, "CorruptError");

    m.def("instruction_sets", &instruction_sets);
    m.def("instruction_set", [] { return std::string(kernels().name); });
    m.def(
        "use_instruction_set", [](const std::string& name) { return use(name.c_str()); }, "name"_a);

    m.def("pack", &pack_values, "values"_a, "width"_a);
    m.def("unpack", &unpack_values, "packed"_a, "count"_a, "width"_a, "begin"_a, "end"_a);

    m.def("add_rows", &add_rows, "sums"_a.noconvert(), "rows"_a, "groups"_a);

    m.def("counting_sort", &counting_sort, "keys"_a, "n_keys"_a);

    nb::class_<Panels>(m, "Panels")
        .def(
            "__init__",
            [](Panels* self, Matrix<float> vectors) {
                require(vectors.size() > 0, "there must be at least one vector");
                nb::gil_scoped_release release;
                new (self) Panels(vectors.data(), vectors.shape(0), vectors.shape(1));
            },
            "vectors"_a)
        .def("nearest", &nearest, "rows"_a);

    nb::class_<Groups>(m, "Groups")
        .def("__init__", &make_groups, "vectors"_a, "group_of"_a, "centres"_a)
        .def("nearest", &nearest_in_groups, "rows"_a, "n_probe"_a);

    nb::class_<Codec>(m, "Codec")
        .def("__init__", &make_codec, "n_bits"_a, "centroids"_a, "centroid_scales"_a,
             "codebook"_a = nb::none(), "codebook_scale"_a = nb::none(), "rotation"_a = nb::none(),
             "gains"_a = nb::none(), "lengths"_a = nb::none(), "grouped"_a = nb::none(),
             "group_ends"_a = nb::none())
        .def("encode", &encode, "embeddings"_a, "centroids"_a);

    nb::class_<MappedSegment>(m, "Segment")
        .def("__init__", &make_segment, "codec"_a, "name"_a, "first_ordinal"_a, "list_centroids"_a,
             "list_offsets"_a, "document_offsets"_a, "ordinals"_a, "ordinal_bits"_a, "positions"_a,
             "position_bits"_a, "codes"_a, "gains"_a = nb::none(), "lengths"_a = nb::none())
        .def("decode_document", &decode_document, "codec"_a, "ordinal"_a);

    nb::class_<MappedCollection>(m, "Collection")
        .def("__init__", &make_collection, "codec"_a, "segments"_a);

    nb::class_<Query>(m, "Query")
        .def("__init__", &make_query, nb::keep_alive<1, 2>(), "codec"_a, "embeddings"_a,
             "n_probe"_a = 0, "threads"_a = 1, "levels"_a = false, "most_kept"_a = 0)
        .def("probes", &probes)
        .def("levels", &levels_of)
        .def("skim", &document_scores<skim>, "collection"_a, "ordinals"_a)
        .def("maxsim", &document_scores<maxsim>, "collection"_a, "ordinals"_a)
        .def("best_promising", &best_promising_of, "collection"_a, "ordinals"_a, "estimates"_a,
             "k"_a, "first"_a, "unlikely"_a);

    nb::class_<Candidates>(m, "Candidates")
        .def("__init__", &make_candidates, nb::keep_alive<1, 2>(), nb::keep_alive<1, 3>(),
             "query"_a, "collection"_a, "k_prime"_a, "all_lists"_a = false, "own_lists"_a = false,
             "thresholds"_a = true, "shortlist"_a = 0, "sought"_a = 1, "unlikely"_a = 0.0f,
             "allowed"_a = nb::none())
        .def("best_imputed", &best_imputed, "k"_a, "retrieved_only"_a = false)
        .def("best_expected", &best_expected, "k"_a)
        .def("best_lower_bounds", &best_lower_bounds, "k"_a, "retrieved_only"_a = false)
        .def("retrieved", [](const Candidates& c) { return array(c.retrieved()); })
        .def("thresholds", [](const Candidates& c) { return array(c.thresholds()); });
}
