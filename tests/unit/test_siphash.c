#include "base/siphash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Aumasson, Bernstein, 2012: key 00 01 .. 0f, input 00 01 .. (n - 1). Appendix A works n = 15 through. */
static const struct {
    size_t n;
    uint64_t hash;
} vectors[] = {
    {0, 0x726fdb47dd0e0e31u}, {1, 0x74f839c593dc67fdu}, {2, 0x0d6c8009d9a94f5au},  {3, 0x85676696d7fb7e2du},
    {4, 0xcf2794e0277187b7u}, {5, 0x18765564cd99a68du}, {6, 0xcbc9466e58fee3ceu},  {7, 0xab0200f58b01d137u},
    {8, 0x93f5f5799a932462u}, {15, 0xa129ca6149be45e5u},
};

static void test_vectors(void **state)
{
    static const struct siphash_key key = {{0x0706050403020100u, 0x0f0e0d0c0b0a0908u}};
    uint8_t in[1 + 64]; /* read at an odd address too */

    (void)state;
    for (size_t shift = 0; shift <= 1; shift++) {
        for (size_t i = 0; i < 64; i++)
            in[shift + i] = (uint8_t)i;
        for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
            assert_int_equal(siphash(&key, in + shift, vectors[i].n), vectors[i].hash);
    }
}

/* Two keys of two processes, and the hashes by them, have nothing in common. */
static void test_random_keys(void **state)
{
    struct siphash_key a = {{0, 0}}, b = {{0, 0}};

    (void)state;
    siphash_key_random(&a);
    siphash_key_random(&b);
    assert_true(a.k[0] != b.k[0] && a.k[1] != b.k[1] && a.k[0] != 0 && a.k[0] != a.k[1]);
    assert_true(siphash(&a, "x", 1) != siphash(&b, "x", 1));
    assert_true(siphash(&a, "x", 1) == siphash(&a, "x", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_random_keys),
    };

    return cmocka_run_group_tests_name("siphash", tests, NULL, NULL);
}
