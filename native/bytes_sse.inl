// Vectors of 16 bytes (levels.inl) for the instruction sets of x86-64; `from_floats` is theirs.

struct B {
    __m128i lanes;

    static B load(const std::uint8_t* p) {
        return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))};
    }
    static void store(std::uint8_t* p, B a) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(p), a.lanes);
    }
    static B max(B a, B b) { return {_mm_max_epu8(a.lanes, b.lanes)}; }
    static B above(B a, B b) { return {_mm_subs_epu8(a.lanes, b.lanes)}; }
    static std::uint32_t sum(B a) {
        const __m128i halves = _mm_sad_epu8(a.lanes, _mm_setzero_si128());
        return static_cast<std::uint32_t>(_mm_cvtsi128_si32(halves) + _mm_extract_epi16(halves, 4));
    }
    static bool reaches(B a, B b) {
        return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_max_epu8(a.lanes, b.lanes), a.lanes)) != 0;
    }
    static B from_floats(const float* values, const float* factors);
};
