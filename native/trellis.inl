// The search for a token's codewords along a trellis, written once over a vector type `T` that each
// simd_*.cpp defines first:
//
//   T::LANES 32-bit integers, T::load, T::store, T::broadcast, T::add, T::min
//   T::TOKENS: tokens that share a load of codewords
//   T::Pair: two coordinates of a token, for all lanes; T::pair(two values)
//   T::costs<PAIRS>(bases, pairs, values): bases + sum over the pairs of first * first value +
//     second * second value, `values` two for each lane, pair after pair, STATES lanes apart
//
// The Viterbi algorithm: after each group, and for each of the STATES states that its byte may
// leave, the cheapest way there is kept. Costs are integers: all instruction sets find the same
// bytes. They fit 32 bits: 4 y^2 - x y is from -196,480 to 327,552 with |x| <= 2,047 and y from
// -128 to 127, and a group has at most 8 coordinates. A byte leads from every state to every other
// one, so the costs kept differ by at most 256 * 8 * (327,552 + 196,480) < 1.08e9, and a group adds
// less than 256 * 8 * 327,552 < 0.68e9 to them.

constexpr std::size_t STATES = colxtr::Trellis::STATES;
constexpr std::size_t LOW = 16;  // values of a byte's low four bits

using Costs = std::int32_t[STATES];
using Branches = std::uint8_t[STATES];  // of each state: the one before << 4 | the byte's low bits

// From the costs of the states before a group to those after it, for N tokens; of the states
// before, from the first one to the last. The low eight bits of a cost are its branch.
template <std::size_t PAIRS, std::size_t N>
inline void advance(const colxtr::Trellis& trellis, const std::int16_t* const (&shapes)[N],
                    const Costs* before, std::size_t first, std::size_t last, Costs* after) {
    typename T::Pair pairs[N][PAIRS];
    for (std::size_t t = 0; t < N; ++t)
        for (std::size_t p = 0; p < PAIRS; ++p) pairs[t][p] = T::pair(shapes[t] + 2 * p);
    for (std::size_t lane = 0; lane < STATES; lane += T::LANES) {
        T best[N];
        for (std::size_t t = 0; t < N; ++t) best[t] = T::broadcast(INT32_MAX);
        for (std::size_t state = first; state <= last; ++state) {
            T least[N];
            for (std::size_t t = 0; t < N; ++t) least[t] = T::broadcast(INT32_MAX);
            for (std::size_t low = 0; low < LOW; ++low) {
                const std::size_t block = (state * LOW + low) * STATES;
                const T bases = T::load(trellis.bases + block + lane);
                const std::int16_t* values = trellis.values + (block * PAIRS + lane) * 2;
                for (std::size_t t = 0; t < N; ++t)
                    least[t] = T::min(least[t], T::template costs<PAIRS>(bases, pairs[t], values));
            }
            for (std::size_t t = 0; t < N; ++t)
                best[t] = T::min(best[t], T::add(least[t], T::broadcast(before[t][state])));
        }
        for (std::size_t t = 0; t < N; ++t) T::store(after[t] + lane, best[t]);
    }
}

// Takes the branches out of the costs, and the least cost from all of them.
inline void settle(Costs& costs, Branches& branches) {
    std::int32_t least = INT32_MAX;
    for (std::size_t state = 0; state < STATES; ++state) {
        branches[state] = static_cast<std::uint8_t>(costs[state] & 255);
        costs[state] &= ~255;
        least = costs[state] < least ? costs[state] : least;
    }
    for (std::size_t state = 0; state < STATES; ++state) costs[state] -= least;
}

// Some groups of a token, one after the other in a circle.
struct Stretch {
    std::size_t first, count, n_groups;
    std::size_t group(std::size_t step) const { return (first + step) % n_groups; }
};

// The byte of each group on the way that ends in a state, into codes[group], the last first; the
// state before the `n_kept` last ones.
inline std::size_t trace_back(const Branches* branches, const Stretch& stretch, std::size_t state,
                              std::size_t n_kept, std::uint8_t* codes) {
    for (std::size_t step = stretch.count; step-- > stretch.count - n_kept;) {
        const std::size_t branch = branches[step][state];
        codes[stretch.group(step)] = static_cast<std::uint8_t>(state << 4 | (branch & 15));
        state = branch >> 4;
    }
    return state;
}

template <std::size_t PAIRS>
class Paths {
 public:
    static constexpr std::size_t TOKENS = colxtr::Trellis::TOKENS, N = T::TOKENS;

    Paths(const colxtr::Trellis& trellis, const std::int16_t* shapes, std::size_t n_groups)
        : trellis_(trellis), shapes_(shapes), n_groups_(n_groups) {}

    // Tail-biting: the state in which the last byte leaves the trellis is the one in which the
    // first byte finds it. Which one it is, a search round the seam tells, from any state to any.
    void search(std::uint8_t* codes) {
        const std::size_t half = n_groups_ / 2;
        const std::size_t window = half < colxtr::Trellis::WINDOW ? half : colxtr::Trellis::WINDOW;
        const Stretch seam{n_groups_ - window, 2 * window, n_groups_}, all{0, n_groups_, n_groups_};
        for (std::size_t t = 0; t < TOKENS; ++t)
            for (std::size_t state = 0; state < STATES; ++state) costs_[t][state] = 0;
        advance_all(seam, 0);
        for (std::size_t t = 0; t < TOKENS; ++t) {
            std::size_t cheapest = 0;
            for (std::size_t state = 1; state < STATES; ++state)
                if (costs_[t][state] < costs_[t][cheapest]) cheapest = state;
            ends_[t] = trace_back(branches_[t], seam, cheapest, window, codes + t * n_groups_);
        }
        for (std::size_t t = 0; t < TOKENS; ++t) start(t);
        advance_all(all, 1);
        for (std::size_t t = 0; t < TOKENS; ++t)
            trace_back(branches_[t], all, ends_[t], n_groups_, codes + t * n_groups_);
    }

 private:
    const std::int16_t* shape(std::size_t token, std::size_t group) const {
        return shapes_ + (token * n_groups_ + group) * 2 * PAIRS;
    }

    // The first group of a token, from the one state that is allowed.
    void start(std::size_t token) {
        const std::int16_t* const shapes[1] = {shape(token, 0)};
        const Costs zero[1] = {};
        advance<PAIRS, 1>(trellis_, shapes, zero, ends_[token], ends_[token], costs_ + token);
        settle(costs_[token], branches_[token][0]);
    }

    void advance_all(const Stretch& stretch, std::size_t first_step) {
        for (std::size_t step = first_step; step < stretch.count; ++step)
            for (std::size_t t = 0; t < TOKENS; t += N) {
                const std::int16_t* shapes[N];
                for (std::size_t i = 0; i < N; ++i) shapes[i] = shape(t + i, stretch.group(step));
                Costs after[N];
                advance<PAIRS, N>(trellis_, shapes, costs_ + t, 0, STATES - 1, after);
                for (std::size_t i = 0; i < N; ++i) {
                    settle(after[i], branches_[t + i][step]);
                    for (std::size_t state = 0; state < STATES; ++state)
                        costs_[t + i][state] = after[i][state];
                }
            }
    }

    const colxtr::Trellis& trellis_;
    const std::int16_t* shapes_;
    const std::size_t n_groups_;
    std::size_t ends_[TOKENS];  // the state after the last group, and before the first
    Costs costs_[TOKENS];
    Branches branches_[TOKENS][colxtr::Trellis::MOST_GROUPS];
};

void search_trellis(const colxtr::Trellis& trellis, const std::int16_t* shapes,
                    std::size_t n_groups, std::uint8_t* codes) {
    switch (trellis.n_pairs) {
        case 1:
            return Paths<1>(trellis, shapes, n_groups).search(codes);
        case 2:
            return Paths<2>(trellis, shapes, n_groups).search(codes);
        default:
            return Paths<4>(trellis, shapes, n_groups).search(codes);
    }
}
