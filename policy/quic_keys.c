#include "policy/quic_keys.h"

#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "base/check.h"
#include "base/cursor.h"

enum { SECRET_BYTES = 32, LABEL_BYTES_MAX = 64 }; /* SHA-256 */

struct version {
    uint8_t salt[20];
    const char *key, *iv, *hp; /* labels */
};

static const struct version versions[QUIC_VERSIONS] = {
    /* RFC 9001 section 5.2 */
    [QUIC_V1] = {{0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
                  0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a},
                 "quic key", "quic iv", "quic hp"},
    /* RFC 9369 section 3.3 */
    [QUIC_V2] = {{0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93,
                  0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9},
                 "quicv2 key", "quicv2 iv", "quicv2 hp"},
};

/* Owned by the process. */
static struct {
    EVP_MAC_CTX *hmac;
    EVP_CIPHER_CTX *ecb, *gcm;
} contexts;

/* One after the other: what could not be made this time is tried again the next time. */
static int contexts_make(void)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};

    if (!contexts.hmac) {
        EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
        EVP_MAC_CTX *hmac = mac ? EVP_MAC_CTX_new(mac) : NULL;

        EVP_MAC_free(mac); /* the context holds its own reference */
        if (hmac && EVP_MAC_CTX_set_params(hmac, params) == 1)
            contexts.hmac = hmac;
        else
            EVP_MAC_CTX_free(hmac);
    }
    if (!contexts.ecb)
        contexts.ecb = EVP_CIPHER_CTX_new();
    if (!contexts.gcm)
        contexts.gcm = EVP_CIPHER_CTX_new();
    return contexts.hmac && contexts.ecb && contexts.gcm ? 0 : -EIO;
}

/* Initialise with the cipher once; afterwards only the key changes, which spares looking the cipher up. */
static int cipher_start(EVP_CIPHER_CTX *ctx, const char *name, int encrypt, const uint8_t *key, const uint8_t *iv)
{
    EVP_CIPHER *cipher = NULL;
    int ok;

    if (!EVP_CIPHER_CTX_get0_cipher(ctx)) {
        cipher = EVP_CIPHER_fetch(NULL, name, NULL);
        if (!cipher)
            return -EIO;
    }
    ok = EVP_CipherInit_ex2(ctx, cipher, key, iv, encrypt, NULL);
    EVP_CIPHER_free(cipher); /* the context holds its own reference */
    return ok == 1 ? 0 : -EIO;
}

/* ---- keys ---- */

static int hmac(const uint8_t *key, size_t key_len, const uint8_t *bytes, size_t len,
                uint8_t out_mac[static SECRET_BYTES])
{
    size_t out_len = 0;

    if (EVP_MAC_init(contexts.hmac, key, key_len, NULL) != 1 || EVP_MAC_update(contexts.hmac, bytes, len) != 1 ||
        EVP_MAC_final(contexts.hmac, out_mac, &out_len, SECRET_BYTES) != 1 || out_len != SECRET_BYTES)
        return -EIO;
    return 0;
}

/* HKDF-Expand-Label with an empty context (RFC 8446 section 7.1), of at most one block of HKDF (RFC 5869). */
static int expand(const uint8_t secret[static SECRET_BYTES], const char *label, uint8_t *out_bytes, size_t len)
{
    static const char prefix[] = "tls13 ";
    uint8_t info[LABEL_BYTES_MAX], block[SECRET_BYTES];
    struct writer w = writer_of(info, sizeof(info));
    int r;

    CHECK(len <= sizeof(block));
    writer_u16(&w, (uint16_t)len);
    writer_u8(&w, (uint8_t)(strlen(prefix) + strlen(label)));
    writer_bytes(&w, prefix, strlen(prefix));
    writer_bytes(&w, label, strlen(label));
    writer_u8(&w, 0); /* context */
    writer_u8(&w, 1); /* first block */
    CHECK(writer_done(&w) > 0);
    r = hmac(secret, SECRET_BYTES, info, w.len, block);
    if (r == 0)
        memcpy(out_bytes, block, len);
    return r;
}

int quic_keys_derive(enum quic_version version, const uint8_t *dcid, size_t dcid_len, struct quic_keys *out_keys)
{
    const struct version *v = &versions[version];
    uint8_t initial[SECRET_BYTES], client[SECRET_BYTES];
    struct quic_keys keys;

    if (contexts_make() < 0 || hmac(v->salt, sizeof(v->salt), dcid, dcid_len, initial) < 0 ||
        expand(initial, "client in", client, sizeof(client)) < 0 ||
        expand(client, v->key, keys.key, sizeof(keys.key)) < 0 ||
        expand(client, v->iv, keys.iv, sizeof(keys.iv)) < 0 ||
        expand(client, v->hp, keys.hp, sizeof(keys.hp)) < 0)
        return -EIO;
    *out_keys = keys;
    return 0;
}

/* ---- packets ---- */

int quic_keys_mask(const struct quic_keys *keys, const uint8_t sample[static QUIC_SAMPLE_BYTES],
                   uint8_t out_mask[static QUIC_MASK_BYTES])
{
    uint8_t block[QUIC_SAMPLE_BYTES];
    int len = 0;

    if (contexts_make() < 0 || cipher_start(contexts.ecb, "AES-128-ECB", 1, keys->hp, NULL) < 0 ||
        EVP_CIPHER_CTX_set_padding(contexts.ecb, 0) != 1 ||
        EVP_CipherUpdate(contexts.ecb, block, &len, sample, QUIC_SAMPLE_BYTES) != 1 || len != QUIC_SAMPLE_BYTES)
        return -EIO;
    memcpy(out_mask, block, QUIC_MASK_BYTES);
    return 0;
}

static int header_add(const uint8_t *bytes, size_t len)
{
    int ignored;

    return EVP_CipherUpdate(contexts.gcm, NULL, &ignored, bytes, (int)len) == 1 ? 0 : -EIO;
}

int quic_keys_open(const struct quic_keys *keys, uint64_t pn, const struct quic_header *header, const uint8_t *sealed,
                   size_t len, uint8_t *out_plain)
{
    uint8_t nonce[QUIC_IV_BYTES], tag[QUIC_TAG_BYTES];
    size_t plain_len = len - QUIC_TAG_BYTES;
    int plain = 0, rest = 0;

    CHECK(len >= QUIC_TAG_BYTES);
    memcpy(nonce, keys->iv, sizeof(nonce));
    for (unsigned i = 0; i < sizeof(pn); i++)
        nonce[QUIC_IV_BYTES - 1 - i] ^= (uint8_t)(pn >> 8 * i);
    memcpy(tag, sealed + plain_len, sizeof(tag));
    if (contexts_make() < 0 || cipher_start(contexts.gcm, "AES-128-GCM", 0, keys->key, nonce) < 0 ||
        header_add(&header->first, 1) < 0 || header_add(header->middle, header->middle_len) < 0 ||
        header_add(header->pn, header->pn_len) < 0 ||
        (plain_len > 0 && EVP_CipherUpdate(contexts.gcm, out_plain, &plain, sealed, (int)plain_len) != 1) ||
        EVP_CIPHER_CTX_ctrl(contexts.gcm, EVP_CTRL_AEAD_SET_TAG, QUIC_TAG_BYTES, tag) != 1)
        return -EIO;
    if (EVP_CipherFinal_ex(contexts.gcm, out_plain + plain, &rest) != 1)
        return -EBADMSG;
    return (size_t)plain == plain_len && rest == 0 ? 0 : -EIO;
}
