/* reconcile/secrets/sops_value.h - one value of a SOPS file: ENC[...] texts, types, MAC texts
 *
 * Specs/sops-age.md 2.5, 2.6, 2.9. Nothing here knows about trees or formats.
 */
#pragma once
#include "base/buf.h"
#include "base/node.h"

#define SOPS_KEY_SIZE 32
#define SOPS_IV_SIZE  32 /* of what we write */
#define SOPS_IV_MAX   128

enum sops_type {
	SOPS_STR,
	SOPS_INT,
	SOPS_FLOAT,
	SOPS_BOOL,
	SOPS_TIME,
	SOPS_BYTES,
	SOPS_COMMENT,
	SOPS_TYPES
};

/** The additional data that a value is bound to: its path's keys, each with a colon. */
struct sops_aad {
	const char *text;
	size_t len;
};

/** A value without its encryption. */
struct sops_plain {
	struct buf text; /* BUF_INIT_SECRET */
	enum sops_type type;
};

/** AES-256-GCM under one data key; one for a whole file. Not for several threads. */
struct sops_cipher;
/** Copies the key into wiped memory. */
struct sops_cipher *sops_cipher_new(const uint8_t key[SOPS_KEY_SIZE]);
/** Wipes. */
void sops_cipher_free(struct sops_cipher *cipher);
DEFINE_CLEANUP(struct sops_cipher, sops_cipher_free)
#define auto_sops_cipher CLEANUP(sops_cipher_free_at)

/**
 * Decrypt an ENC[...] text.
 * @param plain_out  the bytes are appended to its text
 * @return false with a message that tells what is wrong, never a value
 */
MUST_USE bool sops_value_decrypt(struct sops_cipher *cipher, const struct node *node,
	struct sops_aad aad, struct sops_plain *plain_out, struct error *err);

/** Append the ENC[...] text of @p plain, which is not empty, under a fresh IV. */
void sops_value_encrypt(struct sops_cipher *cipher, const struct sops_plain *plain,
	struct sops_aad aad, struct buf *out);

/** Does the text have the form ENC[AES256_GCM,...] with all its parts? */
bool sops_value_is_encrypted(const char *text, size_t len);

/** The type whose name is used for a plain node of this kind. */
enum sops_type sops_type_of(enum node_kind kind);

/** Append the MAC text of a plain scalar; NODE_NULL has none. ERR_INVALID for a time that SOPS has
 *  no form for. */
MUST_USE bool sops_value_mac_text(const struct node *node, struct buf *out, struct error *err);

/** Make the node of a decrypted text. SOPS_COMMENT gives NULL. */
MUST_USE bool sops_value_node(struct arena *arena, const struct node *place,
	const struct sops_plain *plain, const struct node **node_out, struct error *err);

/** Append the shortest decimal digits that read back as @p number, never with an exponent. */
void sops_format_float(double number, struct buf *out);

/** SHA-512 over MAC texts. */
struct sops_mac;
struct sops_mac *sops_mac_new(bool only_encrypted);
/** NULL is fine. */
void sops_mac_free(struct sops_mac *mac);
DEFINE_CLEANUP(struct sops_mac, sops_mac_free)
#define auto_sops_mac CLEANUP(sops_mac_free_at)
/** Hash more. */
void sops_mac_add(struct sops_mac *mac, const char *text, size_t len);
#define SOPS_MAC_TEXT_SIZE 129
/** 128 upper-case hex digits into @p text; the mac cannot be used after it. */
void sops_mac_end(struct sops_mac *mac, char text[SOPS_MAC_TEXT_SIZE]);
