/* Six bytes a fragment: id and flag, age, offset, length. Memory is bounded, a datagram inside its buffer. */
#include "base/check.h"
#include "stack/frag.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t packet[20 + 1023 * 8 + 8] = {0x45};
    static struct frag_table table;
    static struct pool pool;
    uint64_t now_ms = 0;
    CHECK(pool.bytes_max > 0 || pool_init(&pool, 8 * POOL_BIG_BYTES) == 0);
    for (; size >= 6; data += 6, size -= 6) {
        struct buf *whole = NULL;
        struct frame f = {.fragment = true, .ip = packet, .l4 = packet + 20, .kind = FRAME_IPV4,
            .frag_id = data[0] & 15, .frag_more = data[0] & 16,
            .frag_offset = ((data[2] << 8 | data[3]) & 0x1fff) * 8u,
            .l4_bytes = ((data[4] << 8 | data[5]) & 1023) * 8u + (data[0] & 16 ? 8 : 1)};

        now_ms += data[1];
        if (frag_add(&table, &pool, &f, now_ms, &whole) == 1)
            CHECK(f.l4 >= whole->data + 20 && f.l4 + f.l4_bytes <= whole->data + whole->cap && !f.fragment);
        buf_unref(whole);
        CHECK(pool.bytes_used <= FRAG_BYTES_MAX);
    }
    frag_deinit(&table);
    CHECK(pool.bytes_used == 0);
    return 0;
}
